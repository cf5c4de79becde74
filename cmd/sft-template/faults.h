/* SPDX-License-Identifier: Apache-2.0 */
/* What may be wrong with samples: counted, the first of each sort named. */
#ifndef SFT_TEMPLATE_FAULTS_H
#define SFT_TEMPLATE_FAULTS_H

#include "chat/chat.h"
#include "stream/stream.h"

enum fault_sort { FAULT_EMPTY, FAULT_STOP, FAULT_BOS, FAULT_HEAD, FAULT_UNRENDERED, FAULTS };
#define FAULT_WORDS "empty,stop,bos,head,unrendered"

struct faults {
    bool allowed[FAULTS];
    uint64_t count[FAULTS];
    struct buf names[FAULTS]; /* file:row of the first few */
    struct buf first;         /* what the first unrendered thing is */
    uint64_t samples, tokens, trained, straddling, decoded, unheeded, empty, outside;
    uint64_t omitted[CHAT_OMITTED_KINDS];
};

/* words: some of FAULT_WORDS with commas, or NULL. ERR_USAGE names an unknown one. */
int faults_allow(struct faults *f, const char *words, struct err *e);
/* Counts a sample; at -v each fault and each thing that is left out is named. */
void faults_see(struct faults *f, const struct chat_facts *s, struct stream_source at);
/* A few lines for people about everything. */
int faults_summary(const struct faults *f, struct err *e);
/* Writes what was left out or changed into the trailer. */
int faults_notes(const struct faults *f, struct stream_writer *out, struct err *e);
/* ERR_DATA when a sort that is not allowed occurred; warns of the others. */
int faults_check(const struct faults *f, struct err *e);
void faults_free(struct faults *f);

#endif
