/* SPDX-License-Identifier: Apache-2.0 */
/* What a checkpoint contains: which tensors are in which file, and where each comes from. */
#ifndef SFT_SAVE_LAYOUT_H
#define SFT_SAVE_LAYOUT_H

#include "model/weights.h"
#include "parallel/mesh.h"
#include "save/list.h"

enum { LAYOUT_PARTS = 4 };
/* State that is saved beside the weights, one flat allocation with the weights' offsets; `name` is
 * PyTorch's: "master", "exp_avg", "exp_avg_sq" or "momentum_buffer". "master" has the trained
 * weights at their most exact. */
struct save_part {
    const char *name;
    void **flat; /* where its address is, once the plan is bound */
    enum dtype type;
};
/* A flat allocation that tensors are read from. */
struct layout_part {
    struct weights *weights;
    const char *name; /* before the parameter's: "exp_avg"; NULL: the weights */
    void **flat;      /* where the plan puts its address */
    enum dtype type;
    void *buffer; /* for conversions; of the layout */
    struct layout *owner;
};
struct layout {
    struct saver_list list; /* for the saver */
    struct saver_tensor *tensors;
    size_t count, cap;
    struct layout_part parts[LAYOUT_PARTS]; /* weights, then the optimizer's */
    int nparts, best; /* best: the part that has trained weights at their most exact */
    void *buffer;
    struct weights *weights;
    const struct mesh *mesh; /* NULL unless ranks hold a part each */
    struct arena names;
};
/* model.safetensors has every parameter in the type dtype: the master weight, where there is one;
 * state/optimizer.safetensors has the state of each that is trained, tensor by tensor: master.NAME,
 * exp_avg.NAME and exp_avg_sq.NAME (SGD: momentum_buffer.NAME) in their type. There is no such file
 * where nothing is kept. With an adapter (LoRA) adapter_model.safetensors has what is trained, and
 * nothing else, under peft's names. Both are in the order of the allocation. c must stay where it
 * is; weights and state must outlive it. */
int layout_make(struct layout *c, struct weights *w, const struct save_part *state, int nstate,
                enum dtype dtype, struct err *e);
/* Bytes of a checkpoint's tensors on the disk, in the model's file and in all. */
void layout_bytes(const struct layout *c, uint64_t *model, uint64_t *all);
/* The type in a checkpoint of what is kept with type t. */
enum dtype layout_dtype(enum dtype t);
void layout_free(struct layout *c);

/* What this rank of m does of a checkpoint, after layout_make and before the saver is opened.
 * Rank 0 reads. Where the optimizer is sharded the others read too, and give what they hold to rank
 * 0 over the mesh's side channel: a save is one pass over the list on each rank, in any order of
 * time. Else the others have nothing to do: their list is empty. */
void layout_spread(struct layout *c, const struct mesh *m, bool sharded);
/* True if another thread may read the tensors while this one trains. */
bool layout_reads_beside(const struct layout *c);
/* Inside: elements [at, at + n) of one part, from this device. */
saver_read layout_read_here;

#endif
