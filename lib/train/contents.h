/* SPDX-License-Identifier: Apache-2.0 */
/* What a checkpoint contains: which tensors are in which file, and where each comes from. */
#ifndef SFT_TRAIN_CONTENTS_H
#define SFT_TRAIN_CONTENTS_H

#include "train/optimizer.h"
#include "train/saver.h"

enum { CONTENTS_PARTS = 4 };
/* A flat allocation that tensors are read from. */
struct contents_part {
    struct weights *weights;
    const char *name; /* before the parameter's: "exp_avg"; NULL: the weights */
    void **flat;      /* where the plan puts its address */
    enum dtype type;
    void *buffer; /* for conversions; of the contents */
    struct contents *owner;
};
struct contents {
    struct saver_content list; /* for the saver */
    struct saver_tensor *tensors;
    size_t count, cap;
    struct contents_part parts[CONTENTS_PARTS]; /* weights, then the optimizer's */
    int nparts, best; /* best: the part that has trained weights at their most exact */
    void *buffer;
    struct weights *weights;
    const struct mesh *mesh; /* NULL unless ranks hold a part each */
    struct arena names;
};
/* model.safetensors has every parameter in the type dtype: the master weight, where there is one;
 * state/optimizer.safetensors has what the optimizer keeps of each that is trained, tensor by
 * tensor: master.NAME, exp_avg.NAME and exp_avg_sq.NAME (SGD: momentum_buffer.NAME) in their type.
 * There is no such file where nothing is kept. With an adapter (LoRA) adapter_model.safetensors has
 * what is trained, and nothing else, under peft's names. Both are in the order of the allocation. c
 * must stay where it is; weights and optimizer must outlive it. */
int contents_make(struct contents *c, struct weights *w, struct optimizer *o, enum hf_dtype dtype,
                  struct err *e);
/* Bytes of a checkpoint's tensors on the disk, in the model's file and in all. */
void contents_bytes(const struct contents *c, uint64_t *model, uint64_t *all);
/* The type in a checkpoint of what is kept with type t. */
enum hf_dtype contents_dtype(enum dtype t);
void contents_free(struct contents *c);

/* What this rank of m does of a checkpoint, after contents_make and before the saver is opened.
 * Rank 0 reads. Where the optimizer is sharded the others read too, and give what they hold to rank
 * 0 over the mesh's side channel: a save is one pass over the list on each rank, in any order of
 * time. Else the others have nothing to do: their list is empty. */
void contents_spread(struct contents *c, const struct mesh *m, bool sharded);
/* Inside: elements [at, at + n) of one part, from this device. */
saver_read contents_read_here;

#endif
