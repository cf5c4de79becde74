/* SPDX-License-Identifier: Apache-2.0 */
/* The arguments of schedules, for the two tables that contain them. Internal. */
#ifndef SFT_CONFIG_KEYS_SCHEDULE_H
#define SFT_CONFIG_KEYS_SCHEDULE_H

#include "config/keys.h"

#define KWARG(field) TO(sft_train.training_args.lr_scheduler_kwargs.field)
#define KWARG_REAL(R, D, field, least, most, text)                                                 \
    R(#field, KEY_REAL, KWARG(field), .lo = least, .hi = most, .doc = D(text))
#define KWARG_COUNT(R, D, field, least, text)                                                      \
    R(#field, KEY_INT, KWARG(field), .lo = least, .hi = MAX_COUNT, .doc = D(text))
#define KWARG_CURVE(R, D, field, text)                                                             \
    R(#field, KEY_WORD, KWARG(field), .words = CONFIG_CURVE_WORDS, .doc = D(text))
/* A list of rows: R makes one of (name, type, fields...), D its line of documentation. */
/* clang-format off */
#define SCHEDULE_KWARGS(R, D) \
    KWARG_REAL(R, D, num_cycles, 0, 1e6, "Waves of a cosine, default 0.5; with restarts their number, default 1"), \
    KWARG_REAL(R, D, power, 0, 1e3, "polynomial: the power; default 1"), \
    KWARG_REAL(R, D, lr_end, 0, 1e3, "polynomial: the last rate; default 1e-7"), \
    KWARG_REAL(R, D, min_lr, 0, 1e3, "cosine_*_min_lr: the last rate; this or min_lr_rate is required"), \
    KWARG_REAL(R, D, min_lr_rate, 0, 1, "The same as a part of learning_rate"), \
    KWARG_REAL(R, D, warmup_lr_rate, 0, 1, "cosine_warmup_with_min_lr: the first rate, as a part of learning_rate"), \
    KWARG_COUNT(R, D, timescale, 1, "inverse_sqrt: time scale in steps; default warmup_steps, else 10000"), \
    KWARG_COUNT(R, D, num_decay_steps, 0, "warmup_stable_decay: steps of decay; required"), \
    KWARG_COUNT(R, D, num_stable_steps, 0, "warmup_stable_decay: steps at learning_rate; default the remaining steps"), \
    KWARG_CURVE(R, D, warmup_type, "warmup_stable_decay: default linear"), \
    KWARG_CURVE(R, D, decay_type, "warmup_stable_decay: default cosine"), \
    KWARG_REAL(R, D, min_lr_ratio, 0, 1, "warmup_stable_decay: first and last rate, as a part of learning_rate; default 0")
/* clang-format on */

#endif
