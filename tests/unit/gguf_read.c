/* SPDX-License-Identifier: Apache-2.0 */
/* The GGUF reader against files that lie. */
#include "gguf_make.h"
#include "test.h"

static struct buf file; /* of the last parse */

static struct gguf *parse(struct make *m, struct err *e)
{
    buf_free(&file);
    file = make_file(m);
    memset(e, 0, sizeof *e);
    return gguf_parse(file.data, file.len, "x.gguf", e);
}

static bool refused(struct make *m, const char *text)
{
    struct err e;
    struct gguf *g = parse(m, &e);
    bool ok = !g && e.code == ERR_DATA && strstr(e.msg, text) && strstr(e.msg, "x.gguf");
    if (!ok) printf("# got %s: %s\n", g ? "success" : "refusal", e.msg);
    gguf_close(g);
    return ok;
}

static void make_good(struct make *m)
{
    const float x[6] = {1, 2, 3, 4, 5, 6};
    make_text(m, "general.name", "n\xc3\xa4me");
    make_u32(m, "a.count", 7);
    make_f32(m, "a.eps", 0.5f);
    make_key(m, "a.minus", GGUF_I16);
    buf_add(&m->pairs, "\xfe\xff", 2);
    make_key(m, "a.yes", GGUF_BOOL);
    buf_putc(&m->pairs, 1);
    make_array(m, "a.words", GGUF_STRING, 2);
    make_str(&m->pairs, "one");
    make_str(&m->pairs, "");
    make_array(m, "a.nested", GGUF_ARRAY, 1);
    buf_u32(&m->pairs, GGUF_U8);
    buf_u64(&m->pairs, 3);
    buf_add(&m->pairs, "\1\2\3", 3);
    make_tensor(m, "w", GGUF_TYPE_F32, 3, 2, x, sizeof x);
    make_tensor(m, "b", GGUF_TYPE_F32, 2, 0, x, 8);
}

static void good(void)
{
    struct make m = {0};
    struct err e;
    make_good(&m);
    struct gguf *g = parse(&m, &e);
    CHECK("GGUF: a file is read", g != NULL);
    if (!g) return;
    int64_t i = 0;
    double f = 0;
    bool yes = false;
    struct str s = {0};
    CHECK("GGUF: numbers of the metadata are read",
          gguf_get_int(g, "a.count", 0, 10, &i, &e) == 1 && i == 7 &&
              gguf_get_int(g, "a.minus", -5, 0, &i, &e) == 1 && i == -2 &&
              gguf_get_real(g, "a.eps", &f, &e) == 1 && f == 0.5 &&
              gguf_get_bool(g, "a.yes", &yes, &e) == 1 && yes);
    CHECK("GGUF: text of the metadata is read",
          gguf_get_str(g, "general.name", &s, &e) == 1 && str_is(s, "n\xc3\xa4me"));
    CHECK("GGUF: an absent key is told", gguf_get_int(g, "none", 0, 1, &i, &e) == 0);
    CHECK("GGUF: a number out of range is refused", gguf_get_int(g, "a.count", 0, 6, &i, &e) == -1);
    CHECK("GGUF: text in the place of a number is refused",
          gguf_get_int(g, "general.name", 0, 6, &i, &e) == -1);
    const struct gguf_value *a = gguf_get(g, "a.words"), *n = gguf_get(g, "a.nested");
    struct gguf_value v, w;
    const unsigned char *at = a->items;
    CHECK("GGUF: a list of strings is read in order",
          a->count == 2 && gguf_next(a, &at, &v) && str_is(v.s, "one") && gguf_next(a, &at, &v) &&
              v.s.n == 0 && !gguf_next(a, &at, &v));
    at = n->items;
    bool ok = gguf_next(n, &at, &v) && v.kind == GGUF_ARRAY && v.count == 3;
    at = v.items;
    CHECK("GGUF: a list within a list is read", ok && gguf_next(&v, &at, &w) && w.u == 1);
    const struct gguf_tensor *t = gguf_find(g, "w");
    float x[6];
    CHECK("GGUF: a tensor has its shape and values",
          t && t->ndim == 2 && t->dim[0] == 3 && t->bytes == 24 &&
              (gguf_dequant(t->type, t->data, 6, x), x[5] == 6));
    CHECK("GGUF: exactly two tensors are found", gguf_count(g) == 2 && !gguf_find(g, "v"));
    gguf_close(g);
    memset(&m, 0, sizeof m);
    g = parse(&m, &e);
    CHECK("GGUF: a file without tensors is read", g && gguf_count(g) == 0 && !gguf_get(g, "x"));
    gguf_close(g);
}

static void header(void)
{
    struct make m = {0};
    struct err e;
    CHECK("GGUF header: a file without the magic is refused",
          !gguf_parse("GGUX", 4, "x", &e) && strstr(e.msg, "not a GGUF"));
    m.version = 1;
    CHECK("GGUF header: version 1 is refused", refused(&m, "version 1"));
    m.ntensors = UINT64_MAX;
    CHECK("GGUF header: a count of 2^64 - 1 tensors is refused", refused(&m, "tensors, more than"));
    m.npairs = UINT64_MAX / 8;
    CHECK("GGUF header: a count of 2^61 values is refused",
          refused(&m, "metadata values, more than"));
    make_u32(&m, "a", 1);
    m.npairs = 2;
    CHECK("GGUF header: one value fewer than claimed is refused", refused(&m, "more than"));
}

static void metadata(void)
{
    struct make m = {0};
    make_u32(&m, "a", 1);
    make_u32(&m, "a", 2);
    CHECK("GGUF metadata: a key that comes twice is refused", refused(&m, "occurs twice"));
    make_key(&m, "a", 13);
    buf_u64(&m.pairs, 0);
    CHECK("GGUF metadata: a value of an unknown kind is refused", refused(&m, "metadata"));
    make_key(&m, "a", GGUF_STRING);
    buf_u64(&m.pairs, UINT64_MAX);
    CHECK("GGUF metadata: a string of 2^64 - 1 bytes is refused", refused(&m, "\"a\""));
    make_array(&m, "a", GGUF_U64, UINT64_MAX / 8 + 1);
    CHECK("GGUF metadata: an array whose bytes overflow is refused", refused(&m, "\"a\""));
    make_array(&m, "a", GGUF_STRING, 1000);
    buf_u64(&m.pairs, 0);
    CHECK("GGUF metadata: an array longer than the file is refused", refused(&m, "\"a\""));
    make_array(&m, "a", 77, 0);
    CHECK("GGUF metadata: an array of an unknown kind is refused", refused(&m, "\"a\""));
    make_array(&m, "a", GGUF_ARRAY, 1);
    for (int i = 0; i < 100; i++) {
        buf_u32(&m.pairs, GGUF_ARRAY);
        buf_u64(&m.pairs, 1);
    }
    CHECK("GGUF metadata: a hundred nested arrays are refused", refused(&m, "\"a\""));
    make_key(&m, "", GGUF_U8);
    buf_putc(&m.pairs, 1);
    buf_puts(&m.pairs, "padding so that the pair is long enough");
    CHECK("GGUF metadata: an empty key is refused", refused(&m, "name"));
}

static void tensors(void)
{
    struct make m = {0};
    char zeros[256] = {0};
    buf_add(&m.data, zeros, 64);
    make_entry(&m, "t", GGUF_TYPE_F32, 17, 0, 0);
    CHECK("GGUF tensors: data past the end is refused", refused(&m, "\"t\""));
    buf_add(&m.data, zeros, 64);
    make_entry(&m, "t", GGUF_TYPE_F32, 1, 0, UINT64_MAX - 31);
    CHECK("GGUF tensors: an offset of nearly 2^64 is refused", refused(&m, "cut short"));
    buf_add(&m.data, zeros, 64);
    make_entry(&m, "t", GGUF_TYPE_F32, 1, 0, 4);
    CHECK("GGUF tensors: an offset that is not aligned is refused", refused(&m, "aligned"));
    make_entry(&m, "t", GGUF_TYPE_F32, (uint64_t)1 << 32, (uint64_t)1 << 32, 0);
    CHECK("GGUF tensors: a shape that overflows is refused", refused(&m, "impossibly large"));
    make_entry(&m, "t", GGUF_TYPE_F32, (uint64_t)1 << 62, 0, 0);
    CHECK("GGUF tensors: bytes that overflow are refused", refused(&m, "\"t\""));
    make_entry(&m, "t", GGUF_TYPE_Q4_1, 33, 0, 0);
    CHECK("GGUF tensors: a row of broken blocks is refused", refused(&m, "whole Q4_1 blocks"));
    make_entry(&m, "t", 16, 256, 0, 0);
    CHECK("GGUF tensors: a type that cannot be read is refused", refused(&m, "type 16"));
    buf_add(&m.data, zeros, 96);
    make_entry(&m, "t", GGUF_TYPE_F32, 16, 0, 0);
    make_entry(&m, "u", GGUF_TYPE_F32, 16, 0, 32);
    CHECK("GGUF tensors: an overlap is refused", refused(&m, "overlaps"));
    buf_add(&m.data, zeros, 64);
    make_entry(&m, "t", GGUF_TYPE_F32, 8, 0, 0);
    make_entry(&m, "t", GGUF_TYPE_F32, 8, 0, 32);
    CHECK("GGUF tensors: a name that comes twice is refused", refused(&m, "occurs twice"));
    make_u32(&m, "general.alignment", 24);
    CHECK("GGUF tensors: an alignment of 24 is refused", refused(&m, "power of two"));
    make_u32(&m, "general.alignment", 0);
    CHECK("GGUF tensors: an alignment of 0 is refused", refused(&m, "general.alignment"));
    make_str(&m.tensors, "t");
    buf_u32(&m.tensors, 5);
    buf_add(&m.tensors, zeros, 60);
    m.ntensors = 1;
    CHECK("GGUF tensors: five dimensions are refused", refused(&m, "dimensions"));
}

/* A good file cut at any byte. */
static void cuts(void)
{
    struct make m = {0};
    struct err e;
    make_good(&m);
    struct buf b = make_file(&m);
    bool ok = true;
    for (size_t n = 0; n < b.len; n++) {
        char *exact = malloc(n ? n : 1); /* so that the sanitizer sees any step beyond */
        memcpy(exact, b.data, n);
        struct gguf *g = gguf_parse(exact, n, "cut", &e);
        ok = ok && !g && e.code == ERR_DATA;
        gguf_close(g);
        free(exact);
    }
    CHECK("GGUF: a file cut at any byte is refused", ok);
    buf_free(&b);
}

int main(void)
{
    good();
    header();
    metadata();
    tensors();
    cuts();
    buf_free(&file);
    TEST_END();
}
