/* SPDX-License-Identifier: Apache-2.0 */
/* What may be wrong with samples: counted, the first of each sort named. */
#ifndef SFT_TEMPLATE_FAULTS_H
#define SFT_TEMPLATE_FAULTS_H

#include "chat/chat.h"
#include "stream/stream.h"

enum fault_sort { FAULT_EMPTY, FAULT_STOP, FAULT_BOS, FAULTS };

struct faults {
    bool allowed[FAULTS];
    uint64_t count[FAULTS];
    struct buf names[FAULTS]; /* file:row of the first few */
    uint64_t samples, tokens, trained, straddling;
};

/* words: "stop,bos,empty" or some of them, or NULL. ERR_USAGE names an unknown one. */
int faults_allow(struct faults *f, const char *words, struct err *e);
/* Counts sample s; at -v each fault is named. */
void faults_see(struct faults *f, const struct chat_sample *s, struct stream_source at);
/* One line for people about everything. */
void faults_summary(const struct faults *f);
/* ERR_DATA when a sort that is not allowed occurred; warns of the others. */
int faults_check(const struct faults *f, struct err *e);
void faults_free(struct faults *f);

#endif
