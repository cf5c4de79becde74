/* SPDX-License-Identifier: Apache-2.0 */
/* Counts faulty samples and keeps the first of each sort for messages. */
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
    struct buf first;         /* description of the first item that is not rendered */
    uint64_t samples, tokens, trained, straddling, decoded, joined, unheeded, empty, outside;
    uint64_t omitted[CHAT_OMITTED_KINDS];
};

/* Allows sorts of faults: words of FAULT_WORDS separated by commas, or NULL. ERR_USAGE for an
 * unknown word. */
int faults_allow(struct faults *f, const char *words, struct err *e);
/* Counts a sample. With -v, logs each fault and each item that is not rendered. */
void faults_count(struct faults *f, const struct chat_facts *s, struct stream_source at);
/* Logs the counts. */
int faults_summary(const struct faults *f, struct err *e);
/* Adds the counts of omitted and changed data to the trailer. */
int faults_notes(const struct faults *f, struct stream_writer *out, struct err *e);
/* ERR_DATA when a sort occurred that is not allowed; logs warnings about the others. */
int faults_check(const struct faults *f, struct err *e);
void faults_free(struct faults *f);

#endif
