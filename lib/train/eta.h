/* SPDX-License-Identifier: Apache-2.0 */
/* The time that a run still takes: its steps, validations, answers and saves, each at its mean so
 * far. */
#ifndef SFT_TRAIN_ETA_H
#define SFT_TRAIN_ETA_H

#include <stdbool.h>
#include <stdint.h>

enum eta_kind {
    ETA_STEP,
    ETA_VALIDATION,
    ETA_ANSWER, /* to all prompts of the run */
    ETA_SAVE,   /* what training waits for a save before the last */
    ETA_LAST,   /* the last save, which the run waits for; its time is that of a whole save */
    ETA_KINDS
};
struct eta {
    struct {
        uint64_t todo, measured;
        double seconds; /* of the measured ones */
    } of[ETA_KINDS];
};
/* Returns how often something is done at the steps (from, total]: at each multiple of `every`, and
 * at the last. every 0: at the last alone. */
uint64_t eta_times(uint64_t every, uint64_t from, uint64_t total);
void eta_measure(struct eta *a, enum eta_kind kind, double seconds); /* adds to the mean */
void eta_done(struct eta *a, enum eta_kind kind);                    /* one less is to come */
/* Seconds of all that is to come. A kind of which nothing is measured yet counts as nothing. */
double eta_left(const struct eta *a);

#endif
