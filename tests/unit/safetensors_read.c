/* SPDX-License-Identifier: Apache-2.0 */
/* The safetensors reader against headers that lie. */
#include <stdint.h>

#include "base/buf.h"
#include "hf/safetensors.h"
#include "test.h"

/* A file with this header (its length made right unless claim >= 0) and so many bytes of data. */
static struct safetensors *parse(const char *header, size_t header_n, int64_t claim, size_t data,
                                 struct err *e)
{
    static struct buf b; /* the result points into it */
    memset(e, 0, sizeof *e);
    buf_reset(&b);
    buf_u64(&b, claim >= 0 ? (uint64_t)claim : header_n);
    buf_add(&b, header, header_n);
    for (size_t i = 0; i < data; i++) buf_putc(&b, (char)i);
    return safetensors_parse(b.data, b.len, "x.safetensors", e);
}

/* Refused as bad data with this text in the message. */
static bool refused(const char *header, size_t data, const char *text)
{
    struct err e;
    struct safetensors *s = parse(header, strlen(header), -1, data, &e);
    bool ok = !s && e.code == ERR_DATA && strstr(e.msg, text) && strstr(e.msg, "x.safetensors");
    if (!ok) printf("# got %s: %s\n", s ? "success" : "refusal", e.msg);
    safetensors_close(s);
    return ok;
}

#define T(name, dtype, shape, at)                                                                  \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":[" shape "],\"data_offsets\":[" at "]}"

static void good(void)
{
    struct err e;
    const char *h = "{\"__metadata__\":{\"format\":\"pt\"}," T("b", "F32", "2,1", "6,14") "," T(
        "a", "BF16", "3", "0,6") "," T("s", "U8", "", "14,15") "," T("none", "F32", "0,7",
                                                                     "14,14") "}   ";
    struct safetensors *s = parse(h, strlen(h), -1, 15, &e);
    CHECK("safetensors: a plain file is read", s != NULL);
    if (!s) return;
    const struct hf_tensor *a = safetensors_find(s, "a"), *b = safetensors_find(s, "b");
    CHECK("safetensors: four tensors in file order",
          safetensors_count(s) == 4 && safetensors_at(s, 0) == a && safetensors_at(s, 1) == b &&
              strcmp(safetensors_at(s, 2)->name, "none") == 0);
    CHECK("safetensors: shape, type and bytes",
          a && b && b->dtype == DT_F32 && b->ndim == 2 && b->dim[0] == 2 && b->dim[1] == 1 &&
              b->bytes == 8 && b->data[0] == 6 && a->dtype == DT_BF16 && a->bytes == 6);
    CHECK("safetensors: an absent name is not found", !safetensors_find(s, "c"));
    uint64_t three = 3, four = 4;
    CHECK("safetensors: need accepts the right shape",
          safetensors_need(s, "a", 1, &three, &e) == a);
    CHECK("safetensors: need refuses another shape",
          !safetensors_need(s, "a", 1, &four, &e) && strstr(e.msg, "[3]") && strstr(e.msg, "[4]"));
    CHECK("safetensors: need says what is missing",
          !safetensors_need(s, "c", 1, &three, &e) && strstr(e.msg, "\"c\" is missing"));
    CHECK("safetensors: need names the nearest tensor",
          !safetensors_need(s, "model.a", 1, &three, &e) &&
              strstr(e.msg, "\"model.a\" is missing; there is \"a\""));
    safetensors_close(s);
    s = parse("{}", 2, -1, 0, &e);
    CHECK("safetensors: a file without tensors is read", s && safetensors_count(s) == 0);
    CHECK("safetensors: a file without tensors finds none", s && !safetensors_find(s, "a"));
    safetensors_close(s);
}

static void lies(void)
{
    struct err e;
    const char *h = "{" T("a", "F32", "1", "0,4") "}";
    CHECK("safetensors refused: a header longer than the file",
          !parse(h, strlen(h), 5000, 4, &e) && strstr(e.msg, "claims 5000") && e.code == ERR_DATA);
    CHECK("safetensors refused: a header of 2^62 bytes",
          !parse(h, strlen(h), INT64_MAX / 2, 4, &e) &&
              strstr(e.msg, "but the format allows only"));
    CHECK("safetensors refused: a header length of 0",
          !parse(h, strlen(h), 0, 4, &e) && strstr(e.msg, "start with"));
    CHECK("safetensors refused: a header cut in the middle",
          !parse(h, strlen(h), 20, 4, &e) && e.code == ERR_DATA);
    CHECK("safetensors refused: seven bytes",
          !safetensors_parse("1234567", 7, "x", &e) && e.code == ERR_DATA);
    CHECK("safetensors refused: an empty file",
          !safetensors_parse("", 0, "x", &e) && e.code == ERR_DATA);
    CHECK("safetensors refused: an array as header", refused("[]", 0, "start with"));
    CHECK("safetensors refused: white space before the brace", refused(" {}", 0, "start with"));
    CHECK("safetensors refused: a second value after the header", refused("{}{}", 0, "header"));
    CHECK("safetensors refused: a duplicate name",
          refused("{" T("a", "U8", "1", "0,1") "," T("a", "U8", "1", "1,2") "}", 2, "a"));
    CHECK("safetensors refused: an unknown dtype",
          refused("{" T("a", "F31", "1", "0,4") "}", 4, "unknown dtype"));
    CHECK("safetensors refused: torch's spelling is not safetensors'",
          refused("{" T("a", "float32", "1", "0,4") "}", 4, "unknown dtype"));
    CHECK("safetensors refused: fewer bytes than the shape needs",
          refused("{" T("a", "F32", "2", "0,4") "}", 4, "need 8 bytes, data_offsets give 4"));
    CHECK("safetensors refused: offsets past the end",
          refused("{" T("a", "F32", "2", "0,8") "}", 4, "cut short"));
    CHECK("safetensors refused: offsets in reverse",
          refused("{" T("a", "F32", "0", "4,0") "}", 4, "outside"));
    CHECK("safetensors refused: a negative offset",
          refused("{" T("a", "U8", "1", "-1,0") "}", 4, "two offsets"));
    CHECK("safetensors refused: a shape whose product overflows to 0",
          refused("{" T("a", "U8", "4294967296,4294967296", "0,0") "}", 0, "impossibly large"));
    CHECK("safetensors refused: a size whose bytes overflow to 0",
          refused("{" T("a", "F32", "4611686018427387904", "0,0") "}", 0, "impossibly large"));
    CHECK("safetensors refused: a fractional size",
          refused("{" T("a", "U8", "1.5", "0,1") "}", 1, "shape"));
    CHECK("safetensors refused: nine dimensions",
          refused("{" T("a", "U8", "1,1,1,1,1,1,1,1,1", "0,1") "}", 1, "at most 8"));
    CHECK("safetensors refused: an overlap",
          refused("{" T("a", "U8", "2", "0,2") "," T("b", "U8", "2", "1,3") "}", 3, "overlaps"));
    CHECK("safetensors refused: a hole",
          refused("{" T("a", "U8", "1", "0,1") "," T("b", "U8", "1", "2,3") "}", 3,
                  "\"b\": leaves a hole"));
    CHECK("safetensors refused: a hole at the start",
          refused("{" T("a", "U8", "1", "1,2") "}", 2, "hole"));
    CHECK("safetensors refused: bytes at the end",
          refused("{" T("a", "U8", "1", "0,1") "}", 2, "1 bytes after"));
    CHECK("safetensors refused: a member too many",
          refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"x\":1}}", 1,
                  "exactly"));
    CHECK("safetensors refused: an entry that is no object", refused("{\"a\":7}", 0, "exactly"));
    CHECK("safetensors refused: metadata that is no object",
          refused("{\"__metadata__\":[]}", 0, "__metadata__"));
    CHECK("safetensors refused: metadata with numbers",
          refused("{\"__metadata__\":{\"a\":1}}", 0, "__metadata__"));
    CHECK("safetensors refused: a zero byte in a name",
          refused("{" T("a\\u0000b", "U8", "1", "0,1") "}", 1, "zero byte"));
    CHECK("safetensors refused: a name that is not UTF-8",
          refused("{" T("\xff", "U8", "1", "0,1") "}", 1, "header"));
}

/* A file cut at any byte is refused, never shorter. */
static void cuts(void)
{
    const char *h = "{" T("a", "U8", "5", "0,5") "," T("b", "F32", "1", "5,9") "}";
    struct buf b = {0};
    struct err e;
    bool ok = true;
    buf_u64(&b, strlen(h));
    buf_puts(&b, h);
    buf_add(&b, "123456789", 9);
    for (size_t n = 0; n < b.len; n++) {
        char *copy = malloc(n + 1); /* the exact size, so that the sanitizer sees any step beyond */
        char *exact = realloc(copy, n ? n : 1);
        memcpy(exact, b.data, n);
        struct safetensors *s = safetensors_parse(exact, n, "cut", &e);
        ok = ok && !s && e.code == ERR_DATA;
        safetensors_close(s);
        free(exact);
    }
    CHECK("safetensors refused: a file cut at any byte", ok);
    buf_free(&b);
}

int main(void)
{
    good();
    lies();
    cuts();
    TEST_END();
}
