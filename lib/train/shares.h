/* SPDX-License-Identifier: Apache-2.0 */
/* The ranks that hold one copy of a model, MESH_MODEL: which part each of them has, and what they
 * add up in a step. With one rank these do nothing. */
#ifndef SFT_TRAIN_SHARES_H
#define SFT_TRAIN_SHARES_H

#include "model/stage.h"
#include "parallel/mesh.h"

/* Sets the part of the model that this rank has: layers, tensor-parallel part, passes. ERR_CONFIG
 * where the model cannot be cut like this, or a setting does not work with it yet. */
int shares_options(const struct model *m, const struct mesh *mesh, struct weights_options *w,
                   struct stage_options *s, struct err *e);
/* Declares the host memory of collectives among these ranks; message: the bytes of the largest
 * between stages. */
void shares_plan(const struct mesh *mesh, const struct stage *s, size_t message, struct plan *plan);

/* True where shares_gradients has sums to make: until then no gradient is complete. */
bool shares_has_sums(const struct mesh *mesh, const struct weights *w);

/* These queue collectives behind the device's work, and its further work behind them. Failures are
 * kept for mesh_finish. */
/* After the last backward pass: the gradients of parameters that several ranks have parts of. */
void shares_gradients(const struct mesh *mesh, struct weights *w);
/* *loss (double, on the device) as the last stage has it. */
void shares_loss(const struct mesh *mesh, struct weights *w, double *loss);
/* *sumsq (double, on the device) becomes the sum over the ranks, see weights_counted. */
void shares_norm(const struct mesh *mesh, struct weights *w, double *sumsq);
/* True on one of these ranks: it counts what all of them do. */
bool shares_report(const struct mesh *mesh);

#endif
