/* SPDX-License-Identifier: Apache-2.0 */
/* The ranks that have one copy of a model, MESH_MODEL: the part of each rank, and the sums over
 * them in a step. With one rank these functions do nothing. */
#ifndef SFT_TRAIN_SHARES_H
#define SFT_TRAIN_SHARES_H

#include "model/stage.h"
#include "parallel/mesh.h"

/* Sets the part of the model that this rank has: layers, tensor-parallel part, experts, passes.
 * most: the most micro-batches of a step; 0: any number. Fails with ERR_CONFIG if the model cannot
 * be cut like this, or a setting is not supported with it. */
int shares_options(const struct model *m, const struct mesh *mesh, uint64_t most,
                   struct weights_options *w, struct stage_options *s, struct err *e);
/* Declares the host memory of collectives among these ranks; message: the bytes of the largest
 * message between stages; norms: the number of sums of the gradient's norm. answers: the stage of
 * trainer_answers; NULL: there is none. */
void shares_plan(const struct mesh *mesh, const struct stage *s, const struct stage *answers,
                 size_t message, size_t norms, struct plan *plan);

/* Returns true if shares_gradients has sums to compute: until then no gradient is complete. */
bool shares_has_sums(const struct mesh *mesh, const struct weights *w);

/* These queue collectives after the device's earlier work, and its later work waits for them.
 * mesh_finish reports failures. */
/* Sums the gradients of parameters of which several ranks have parts, after the last backward pass.
 */
void shares_gradients(const struct mesh *mesh, struct weights *w);
/* Broadcasts *loss (double, on the device) from the last stage. */
void shares_loss(const struct mesh *mesh, struct weights *w, double *loss);
/* Sums sums[n] (double, on the device) over the ranks, see weights_counted. */
void shares_norm(const struct mesh *mesh, struct weights *w, double *sums, size_t n);
/* Returns true on one of these ranks and of those that share its micro-batches, which counts the
 * work that all of them do. */
bool shares_report(const struct mesh *mesh);

#endif
