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
/* Names and JSON must outlive a. */
void numbers_add(struct numbers *a, const char *name, double value);
/* JSON in the place of a number: for metrics.jsonl, and not for TensorBoard. */
void numbers_json(struct numbers *a, const char *name, const char *json);
/* Of a step of so many samples that t has done. peak: FLOP/s of one rank's matrix products. */
void numbers_step(struct numbers *a, const struct trainer *t, const struct stream_header *h,
                  const struct trainer_report *r, size_t samples, double peak);
void numbers_system(struct numbers *a);

#endif
