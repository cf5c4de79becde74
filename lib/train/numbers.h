/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers of a step in the order of metrics.jsonl. Internal to lib/train. */
#ifndef SFT_TRAIN_NUMBERS_H
#define SFT_TRAIN_NUMBERS_H

#include "track/track.h"
#include "train/trainer.h"

struct numbers {
    struct track_value v[32];
    size_t n;
};
/* Adds a number. Names and JSON must outlive a. */
void numbers_add(struct numbers *a, const char *name, double value);
/* Adds JSON in place of a number: metrics.jsonl gets it, TensorBoard does not. */
void numbers_json(struct numbers *a, const char *name, const char *json);
/* Adds the numbers of the step of `samples` samples that t has done. peak: FLOP/s of one rank's
 * matrix products. */
void numbers_step(struct numbers *a, const struct trainer *t, const struct stream_header *h,
                  const struct trainer_report *r, size_t samples, double peak);
void numbers_system(struct numbers *a);

#endif
