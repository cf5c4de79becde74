/* SPDX-License-Identifier: Apache-2.0 */
/* state/run.json: the place of a checkpoint in its run, both ways. */
#ifndef SFT_SAVE_RUN_JSON_IMPL_H
#define SFT_SAVE_RUN_JSON_IMPL_H

#include "save/restore.h"
#include "save/saver.h"

int run_json_write(const struct saver_point *p, struct buf *b, struct err *e);
struct doc;
void run_card_write(const struct device_card *c, struct doc *d); /* adds the member "gpu" */
/* Reads c->path. A failure is ERR_DATA, or that of reading the file. */
int run_json_read(struct restore_cursor *c, struct err *e);

#endif
