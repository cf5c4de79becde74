/* SPDX-License-Identifier: Apache-2.0 */
/* The contents of a checkpoint: the tensors of each file, and the rank that has each of their
 * elements. */
#ifndef SFT_SAVE_LAYOUT_H
#define SFT_SAVE_LAYOUT_H

#include "model/weights.h"
#include "parallel/mesh.h"
#include "save/list.h"

enum { LAYOUT_PARTS = 4 };
/* State of the trained parameters that is saved beside the weights; `name` is PyTorch's: "master",
 * "exp_avg", "exp_avg_sq" or "momentum_buffer". "master" has the trained weights at their most
 * exact. */
struct save_part {
    const char *name;
    const struct weights_state *state; /* NULL: the weights themselves */
    enum dtype type;
};
/* The memory of this rank that tensors are read from. */
struct layout_part {
    const char *name;                  /* before the parameter's: "exp_avg"; NULL: the weights */
    const struct weights_state *state; /* NULL: the weights, which are whole */
    enum dtype type;
    struct layout *owner;
};
/* Elements [from, from + n) of a block of a tensor, row by row, which lie one after the other on
 * one rank: a data-parallel rank has a part of the elements, a tensor-parallel one some rows or
 * columns, a pipeline stage some tensors. */
struct layout_block {
    size_t place;             /* of the tensor in the canonical order */
    uint64_t width;           /* columns of the tensor */
    struct shard_block block; /* of the tensor */
    size_t from, n;
    int rank;             /* its number in the mesh */
    size_t offset, state; /* of the first, in its weights and in its optimizer's state */
};
struct layout {
    struct saver_list list; /* for the saver */
    struct saver_tensor *tensors;
    size_t count, cap;
    struct layout_block *blocks; /* rising by place, row, column and `from` */
    size_t nblocks, blocks_cap;
    struct layout_part parts[LAYOUT_PARTS]; /* weights, then the optimizer's */
    int shards;       /* data-parallel ranks that each have a part of the trained tensors */
    int nparts, best; /* best: the part that has trained weights at their most exact */
    float *buffer;    /* for conversions */
    void *whole;      /* a tensor that its file has in another order; or NULL */
    size_t whole_bytes;
    void *received; /* a piece from another rank that is not one run of the tensor; or NULL */
    struct weights *weights;
    const struct mesh *mesh;
    bool exchanges; /* this rank sends to the one that writes, or receives as that one */
    struct arena names;
};
/* model.safetensors has every parameter in the type dtype: the master weight, where there is one;
 * state/optimizer.safetensors has the state of each that is trained, tensor by tensor: master.NAME,
 * exp_avg.NAME and exp_avg_sq.NAME (SGD: momentum_buffer.NAME) in their type. There is no such file
 * where nothing is kept. With an adapter (LoRA) adapter_model.safetensors has what is trained, and
 * nothing else, under peft's names. Both are in canonical order.
 *
 * The rank that writes reads the elements that it has. The other ranks that have some pass over the
 * same list and send theirs of each piece over the mesh's side channel: a save is one pass over the
 * list on each rank, and the ranks may be at different places in it. The list of a rank that has no
 * element is empty. parts: the first so many data-parallel ranks each have a part of every bucket
 * of trained tensors; 1: the first one has all. Frozen tensors are as the weights have them. c must
 * stay where it is; weights, mesh and state must outlive it. */
int layout_make(struct layout *c, struct weights *w, const struct mesh *m, int parts,
                const struct save_part *state, int nstate, enum dtype dtype, struct err *e);
/* Bytes of a checkpoint's tensors on the disk, in the model's file and in all. */
void layout_bytes(const struct layout *c, uint64_t *model, uint64_t *all);
/* The type in a checkpoint of what is kept with type t. */
enum dtype layout_dtype(enum dtype t);
void layout_free(struct layout *c);
/* True if another thread may read the tensors while this one trains. */
bool layout_reads_beside(const struct layout *c);

#endif
