/* SPDX-License-Identifier: Apache-2.0 */
/* The settings on which results depend. A checkpoint has them, and a run that continues it with
 * others says so. */
#ifndef SFT_CONFIG_SETTINGS_H
#define SFT_CONFIG_SETTINGS_H

#include "base/json.h"
#include "config/config.h"

/* Appends {"learning_rate":"0.001",...}: each with its value as sft-config shows it. A key
 * that older checkpoints lack is left out where it has the value that they mean. */
int config_settings_write(const struct config *c, struct buf *b, struct err *e);
/* Calls say with one line for each setting that differs from `then`, an object that
 * config_settings_write made. */
int config_settings_compare(const struct config *c, const struct json *then,
                            void (*say)(void *arg, const char *text), void *arg, struct err *e);

#endif
