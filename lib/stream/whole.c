/* SPDX-License-Identifier: Apache-2.0 */
/* Checks that the file of a stream is whole, without decompressing a frame. */
#include <string.h>

#include "base/io.h"
#include "stream/format.h"

enum { HASH = 8, CHUNK = (1 << 20) - HASH };

/* Hashes all bytes of `in` except the last eight, which it copies to tail. *n: the size in bytes.
 */
static int hash_body(struct io_in *in, struct hash64 *h, unsigned char tail[HASH], uint64_t *n,
                     struct err *e)
{
    unsigned char *buf = mem_alloc(CHUNK + HASH, 1, e);
    size_t kept = 0; /* bytes at the front of buf that may be the tail */
    ssize_t got = buf ? 1 : -1;
    *n = 0;
    while (got > 0 && (got = io_read(in, buf + kept, CHUNK, e)) > 0) {
        size_t have = kept + (size_t)got, spare = have > HASH ? have - HASH : 0;
        *n += (uint64_t)got;
        hash64_add(h, buf, spare);
        kept = have - spare;
        memmove(buf, buf + spare, kept);
    }
    if (buf) memcpy(tail, buf, kept < HASH ? kept : HASH);
    mem_free(buf);
    return got < 0 ? -1 : 0;
}

int stream_whole(const char *path, struct err *e)
{
    unsigned char tail[HASH] = {0};
    uint64_t n = 0;
    struct io_in *in = io_open(path, e);
    struct hash64 *h = in ? hash64_new(e) : NULL;
    int rc = h ? hash_body(in, h, tail, &n, e) : -1;
    if (rc == 0 && (n <= HASH || hash64_value(h) != le64(tail)))
        rc =
            err_set(e, ERR_DATA,
                    "%s: cut short, damaged, or with bytes after the trailer: its last 8 bytes are "
                    "not the hash of the bytes before them; make the stream again",
                    path);
    hash64_free(h);
    io_close(in);
    return rc;
}
