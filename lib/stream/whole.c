/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a stream's file is whole, from its bytes alone: no frame is decompressed. */
#include <string.h>

#include "base/io.h"
#include "stream/format.h"

enum { HASH = 8, CHUNK = (1 << 20) - HASH };

/* Hashes all of in but its last eight bytes, which are left in tail; *n: the file's size. */
static int hash_body(struct io_in *in, struct hash64 *h, unsigned char tail[HASH], uint64_t *n,
                     struct err *e)
{
    unsigned char *buf = mem_alloc(CHUNK + HASH, 1, e);
    size_t kept = 0; /* bytes at the front of buf that may be the last ones */
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
    uint64_t n = 0, said = 0;
    struct io_in *in = io_open(path, e);
    struct hash64 *h = in ? hash64_new(e) : NULL;
    int rc = h ? hash_body(in, h, tail, &n, e) : -1;
    for (int i = HASH; i-- > 0;) said = said << 8 | tail[i];
    if (rc == 0 && (n <= HASH || hash64_value(h) != said))
        rc = err_set(e, ERR_DATA,
                     "%s: cut short, damaged, or with bytes after the trailer: its last bytes are "
                     "not the hash of those before; make it again",
                     path);
    hash64_free(h);
    io_close(in);
    return rc;
}
