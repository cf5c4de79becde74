/* SPDX-License-Identifier: Apache-2.0 */
/* Errors, memory, buffers, hashes and messages. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "test.h"

static void test_err(void)
{
    struct err e = {0};
    CHECK("error: a message is formatted", err_set(&e, ERR_DATA, "%s: row %d", "a.json", 3) == -1 &&
                                               e.code == ERR_DATA &&
                                               !strcmp(e.msg, "a.json: row 3"));
    CHECK("error: a prefix is put before the message",
          err_prefix(&e, "step %d", 1) == -1 && !strcmp(e.msg, "step 1: a.json: row 3"));
    CHECK("error: an argument that is the message",
          err_set(&e, ERR_IO, "<%s>", e.msg) == -1 && !strcmp(e.msg, "<step 1: a.json: row 3>"));
    errno = ENOENT;
    CHECK("error: the text of errno is added",
          err_errno(&e, ERR_NOINPUT, "x") == -1 && !strcmp(e.msg, "x: No such file or directory"));
    CHECK("error: NULL for the struct is taken", err_set(NULL, ERR_IO, "x") == -1 &&
                                                     err_prefix(NULL, "x") == -1 &&
                                                     err_errno(NULL, ERR_IO, "x") == -1);
    err_set(&e, ERR_DATA, "a\nb\x1b[2J\x7f\xc2\x9b\xc3\xa9");
    CHECK("error: control characters become question marks", !strcmp(e.msg, "a?b?[2J???\xc3\xa9"));
    char text[3000];
    for (int shift = 0; shift < 3; shift++) { /* cut at each place in a three-byte character */
        size_t n = 0;
        while (n < (size_t)shift) text[n++] = 'x';
        while (n < 2990) {
            memcpy(text + n, "\xe4\xbd\xa0", 3);
            n += 3;
        }
        text[n] = 0;
        err_set(&e, ERR_DATA, "%s", text);
        n = strlen(e.msg);
        EXPECT("error: a long message is cut between characters",
               n < sizeof e.msg && n > sizeof e.msg - 8 && !strcmp(e.msg + n - 3, "...") &&
                   (n - 3 - (size_t)shift) % 3 == 0);
    }
    for (int i = 0; i < 2000; i++) err_prefix(&e, "level %d", i);
    CHECK("error: prefixes stay within bounds",
          strlen(e.msg) < sizeof e.msg && !strncmp(e.msg, "level 1999: ", 12));
}

static void test_mem(void)
{
    struct err e = {0};
    CHECK("memory: a product that overflows is refused",
          !mem_alloc(SIZE_MAX / 2, 3, &e) && e.code == ERR_MEMORY);
    char *p = mem_alloc(0, 8, &e);
    CHECK("memory: an allocation of no elements is one byte", p && *p == 0);
    free(p);
    int *v = NULL;
    size_t cap = 0;
    bool ok = true;
    for (size_t i = 0; i < 1000; i++) {
        ok &= mem_grow(&v, &cap, i + 1, sizeof *v, &e) == 0 && cap > i;
        v[i] = (int)i;
    }
    CHECK("memory: an array grows with its contents", ok && v[0] == 0 && v[999] == 999);
    size_t had = cap;
    CHECK("memory: an array that cannot grow keeps its contents",
          mem_grow(&v, &cap, SIZE_MAX / 2, sizeof *v, &e) < 0 && cap == had && v[999] == 999);
    free(v);

    struct arena a = {.max = 1 << 20};
    ok = true;
    for (size_t i = 0; i < 2000; i++) {
        unsigned char *q = arena_alloc(&a, i % 300, &e);
        ok &= q && (uintptr_t)q % _Alignof(max_align_t) == 0;
        for (size_t k = 0; q && k < i % 300; k++) ok &= q[k] == 0;
        if (q) memset(q, 0xff, i % 300);
        if (i == 1000) arena_reset(&a);
    }
    CHECK("arena: zeroed and aligned, also after a reset", ok);
    CHECK("arena: a large allocation is given", arena_alloc(&a, 500000, &e) != NULL);
    CHECK("arena: an allocation over the bound is an error",
          !arena_alloc(&a, 1 << 20, &e) && e.code == ERR_MEMORY);
    CHECK("arena: a size that overflows is an error",
          !arena_alloc(&a, SIZE_MAX, &e) && !arena_copy(&a, "", SIZE_MAX, &e));
    p = arena_copy(&a, "a\0b", 3, &e);
    CHECK("arena: a copy ends with NUL", p && memcmp(p, "a\0b", 4) == 0);
    arena_free(&a);
    struct str s = {"a\0b", 3};
    CHECK("strings: equal ones have length and bytes in common",
          str_eq(s, (struct str){p = (char[]){'a', 0, 'b'}, 3}) && !str_is(s, "a") &&
              str_is(STR("ab"), "ab") && str_eq((struct str){0}, STR("")));
}

static void test_buf(void)
{
    struct buf b = {0};
    struct err e;
    buf_puts(&b, "n=");
    buf_printf(&b, "%d,%s", 5, "x");
    buf_putc(&b, '.');
    buf_str(&b, STR("!"));
    CHECK("buffer: text is appended", b.len == 7 && !strcmp(b.data, "n=5,x.!"));
    buf_reset(&b);
    buf_u32(&b, 0x01020304);
    buf_u64(&b, 0x0102030405060708);
    CHECK("buffer: integers are little-endian",
          b.len == 12 && !memcmp(b.data, "\4\3\2\1\10\7\6\5\4\3\2\1", 12));
    buf_reset(&b);
    buf_varint(&b, 0);
    buf_varint(&b, 300);
    buf_varint(&b, UINT64_MAX);
    CHECK("buffer: varints are as short as they can be",
          b.len == 13 && !memcmp(b.data, "\0\xac\2\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", 13));
    buf_reset(&b);
    buf_json(&b, (struct str){"a\"\\\n\t\b\f\r\x01\0\x7f\xc3\xa9", 13});
    CHECK("buffer: a JSON string is escaped",
          !strcmp(b.data, "\"a\\\"\\\\\\n\\t\\b\\f\\r\\u0001\\u0000\x7f\xc3\xa9\""));
    static const double reals[] = {0.1, 1234.5678, 1234567, -2e-7, 0, NAN, INFINITY, -INFINITY};
    buf_reset(&b);
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        buf_putc(&b, ' ');
        buf_json_number(&b, reals[i], 4);
    }
    CHECK("buffer: JSON numbers have the digits asked for, and null what is not finite",
          !strcmp(b.data, " 0.1 1235 1234567 -2e-07 0 null null null"));
    buf_reset(&b);
    buf_json_number(&b, 0.1 + 0.2, 0);
    for (size_t i = 1; i < sizeof reals / sizeof *reals; i += 4) {
        buf_putc(&b, ' ');
        buf_json_fixed(&b, reals[i], 2);
    }
    CHECK("buffer: JSON numbers, exact and fixed",
          !strcmp(b.data, "0.30000000000000004 1234.57 null"));
    buf_free(&b);
    b.max = 10;
    buf_puts(&b, "12345678901");
    buf_puts(&b, "x");
    CHECK("buffer: a bound of nothing fails", b.len == 0 && b.failed && !buf_room(&b, 1) &&
                                                  buf_check(&b, &e) < 0 && e.code == ERR_MEMORY);
    buf_reset(&b);
    CHECK("buffer: a failure is remembered", b.over && buf_check(&b, &e) < 0);
    buf_free(&b);
    buf_puts(&b, "1234567890");
    CHECK("buffer: it fills up to the bound", b.len == 10 && buf_check(&b, &e) == 0);
    buf_free(&b);
    b.max = 0;
    CHECK("buffer: a size that overflows fails", !buf_room(&b, SIZE_MAX) && b.failed && !b.over);
    buf_free(&b);
}

static void test_hash(void)
{
    struct err e;
    char hex[HASH128_HEX];
    /* values of the xxHash specification and of xxh128sum */
    CHECK("hash: XXH64 of nothing", hash64("", 0, 0) == 0xef46db3751d8e999u);
    CHECK("hash: XXH64 of abc is known", hash64("abc", 3, 0) == 0x44bc2cf5ad770999u);
    struct hash64 *h = hash64_new(&e);
    struct hash128 *k = hash128_new(&e);
    for (int i = 0; i < 3; i++) {
        hash64_add(h, &"abc"[i], 1);
        hash128_add(k, &"abc"[i], 1);
    }
    hash64_add(h, NULL, 0);
    hash128_add(k, NULL, 0);
    hash128_hex(k, hex);
    CHECK("hash: XXH64 in pieces is that of the whole", hash64_value(h) == 0x44bc2cf5ad770999u);
    CHECK("hash: XXH3-128 of abc is known", !strcmp(hex, "06b05ab6733a618578af5f94892f3950"));
    hash64_free(h);
    hash128_free(k);
}

/* The text that log calls write to standard error, which is sent to a file meanwhile. */
static void test_log(void)
{
    char path[300];
    const char *tmp = getenv("TEST_TMP");
    struct buf b = {0}, t = {0};
    struct err e = {0};
    snprintf(path, sizeof path, "%s/base_misc.%ld", tmp ? tmp : "/tmp", (long)getpid());
    int old = dup(2), fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600), tee[2];
    if (!EXPECT("log: a pipe is made", pipe(tee) == 0)) return;
    dup2(fd, 2);
    log_init("sft-x", LOG_INFO);
    log_tee(tee[1]);
    log_line(LOG_INFO, "hello\nworld %d", 5);
    log_line(LOG_DEBUG, "not this");
    err_set(&e, ERR_DATA, "bad");
    int code = log_fail(&e);
    log_tee(-1);
    log_init("sft-x", LOG_ERROR);
    log_line(LOG_WARN, "nor this");
    log_line(LOG_ERROR, "%05000d", 7);
    struct progress p;
    progress_start(&p, "job", 10);
    progress_step(&p, 10, NULL);
    progress_end(&p);
    int unknown = log_fail(&(struct err){0});
    dup2(old, 2);
    close(fd);
    close(old);
    io_slurp(path, 1 << 20, &b, &e);
    char *told = buf_room(&t, 100);
    ssize_t n = read(tee[0], told, 100);
    CHECK("log: lines begin with the command's name",
          !strncmp(b.data, "sft-x: hello?world 5\nsft-x: bad\nsft-x: 000", 41));
    CHECK("log: a long line ends with a newline",
          b.len > 4000 && b.len < 4200 && b.data[b.len - 1] == '\n');
    CHECK("log: a tee gets the same lines", n == 32 && !memcmp(told, b.data, 32));
    CHECK("log: the exit status is that of the error", code == 65 && unknown == 70);
    remove(path);
    close(tee[0]);
    close(tee[1]);
    buf_free(&b);
    buf_free(&t);
}

static void test_hash_key(void)
{
    CHECK("hash: a key of a table has the same hash twice",
          hash_key("abc", 3) == hash_key("abc", 3));
    CHECK("hash: a table's seed is not that of a file's hash",
          hash_key("abc", 3) != hash64("abc", 3, 0));
}

int main(void)
{
    test_hash_key();
    test_err();
    test_mem();
    test_buf();
    test_hash();
    test_log();
    TEST_END();
}
