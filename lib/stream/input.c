/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of a stream. Each byte is hashed when it is consumed, so that header and trailer are
 * held against the hash of all bytes before them. */
#include "stream/input.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_pipe(const char *path)
{
    struct stat st;
    bool standard = strcmp(path, "-") == 0;
    if ((standard ? fstat(STDIN_FILENO, &st) : stat(path, &st)) != 0) return false;
    return S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode);
}

int input_open(struct stream_input *in, const char *path, struct err *e)
{
    if (strcmp(path, "-") == 0 && isatty(STDIN_FILENO) == 1)
        return err_set(e, ERR_USAGE, "no stream to read: name a file, or pipe one in");
    in->pipe = is_pipe(path);
    in->in = io_open(path, e);
    in->hash = in->in ? hash64_new(e) : NULL;
    return in->hash ? 0 : -1;
}

void input_close(struct stream_input *in)
{
    io_close(in->in);
    hash64_free(in->hash);
}

int input_cut_short(const struct stream_input *in, struct err *e)
{
    uint64_t at = in->offset + input_has(in);
    if (in->pipe)
        return err_set(e, ERR_DATA,
                       "ended early, after %" PRIu64 " bytes: the stage before it "
                       "failed or was interrupted",
                       at);
    if (at == 0) return err_set(e, ERR_DATA, "the file is empty; make the stream again");
    return err_set(e, ERR_DATA, "cut short at byte %" PRIu64 "; make the stream again", at);
}

int input_fill(struct stream_input *in, size_t n, struct err *e)
{
    if (input_has(in) >= n) return 0;
    memmove(in->raw, in->raw + in->at, input_has(in));
    in->end -= in->at;
    in->at = 0;
    ssize_t k = io_read(in->in, in->raw + in->end, STREAM_RAW - in->end, e);
    if (k < 0) return -1;
    in->end += (size_t)k;
    return 0;
}

int input_need(struct stream_input *in, size_t n, struct err *e)
{
    if (input_fill(in, n, e)) return -1;
    return input_has(in) < n ? input_cut_short(in, e) : 0;
}

void input_take(struct stream_input *in, size_t n)
{
    hash64_add(in->hash, input_next(in), n);
    in->at += n;
    in->offset += n;
}

/* Appends n bytes of the input to b. */
static int read_bytes(struct stream_input *in, size_t n, struct buf *b, struct err *e)
{
    while (n > 0) {
        if (input_need(in, 1, e)) return -1;
        size_t k = input_has(in) < n ? input_has(in) : n;
        buf_add(b, input_next(in), k);
        if (buf_check(b, e)) return -1;
        input_take(in, k);
        n -= k;
    }
    return 0;
}

int input_sealed(struct stream_input *in, const char *what, size_t max, struct buf *b,
                 struct err *e)
{
    if (input_need(in, 8, e)) return -1;
    size_t n = le32(input_next(in) + 4);
    if (n < 8 || n > max) return err_set(e, ERR_DATA, "damaged: a %s of %zu bytes", what, n);
    input_take(in, 8);
    if (read_bytes(in, n - 8, b, e)) return -1;
    uint64_t hash = hash64_value(in->hash);
    if (read_bytes(in, 8, b, e)) return -1;
    b->len -= 8;
    if (le64((const unsigned char *)b->data + b->len) == hash) return 0;
    return err_set(e, ERR_DATA, "damaged: the hash of the %s does not match", what);
}
