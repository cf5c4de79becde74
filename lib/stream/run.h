/* SPDX-License-Identifier: Apache-2.0 */
/* A run of tokens with one loss weight: lib/chat computes them, samples of a stream hold them. */
#ifndef SFT_STREAM_RUN_H
#define SFT_STREAM_RUN_H

#include <stdint.h>

struct stream_run {
    uint32_t n;      /* successive tokens of one sample */
    float weight;    /* of each token's loss; 0: the tokens are not trained */
    int32_t message; /* index of the message that the text is from, -1: template text */
    uint32_t offset; /* byte offset of the first token in that message's content */
};

#endif
