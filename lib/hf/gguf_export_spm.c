/* SPDX-License-Identifier: Apache-2.0 */
/* The tokens of SentencePiece's form in GGUF: types and scores.
 *
 * The merges of tokenizer.json join the two neighbours of the lowest rank; llama.cpp joins the two
 * whose text together is the token of the highest score. Both take the leftmost of equals. They
 * find the same tokens because the score of a token falls with the rank of the one merge that can
 * make it. Let the neighbours l and r be the text of a token t. Nothing has joined a part of them
 * to what is outside, and the order of the merges inside does not depend on that; so the same
 * merges, of the text t alone, come to the same two parts l and r. There is only one such pair of
 * each t, and merging t alone ends with its merge. If the pair has none, t alone stays in two
 * parts, which llama.cpp would join: such a vocabulary is refused. Added tokens are found before
 * anything is merged. */
#include <inttypes.h>
#include <string.h>

#include "hf/gguf_export_impl.h"

/* The scores that llama.cpp's converter gives; those of its special tokens are 0. */
#define SCORE_USER   -1000.0f
#define SCORE_UNUSED -10000.0f

int gguf_spm_types(struct gguf_vocab *v, const struct json *model, struct err *e)
{
    const struct json *unk = json_get(model, "unk_token");
    int bytes = 0;
    for (int64_t i = 0; i < v->count; i++) {
        if (unk && unk->kind == JSON_STRING && str_eq(v->text[i], unk->s))
            v->type[i] = GGUF_TOKEN_UNKNOWN;
        if (v->type[i] != GGUF_TOKEN_NORMAL || !gguf_is_byte(v->text[i])) continue;
        v->type[i] = GGUF_TOKEN_BYTE;
        bytes++;
    }
    if (bytes == GGUF_BYTES) return 0;
    return err_set(e, ERR_DATA,
                   "model.vocab: has %d of the tokens <0x00> to <0xFF>; llama.cpp needs all 256",
                   bytes);
}

/* True for a merge, "a b" or ["a", "b"], that joins the token of a byte. */
static bool joins_byte(const struct json *m)
{
    if (m->kind == JSON_ARRAY) {
        for (size_t i = 0; i < m->count; i++)
            if (m->items[i].kind == JSON_STRING && gguf_is_byte(m->items[i].s)) return true;
        return false;
    }
    const struct str s = m->s;
    return s.n > 7 && ((s.p[6] == ' ' && gguf_is_byte((struct str){s.p, 6})) ||
                       (s.p[s.n - 7] == ' ' && gguf_is_byte((struct str){s.p + s.n - 6, 6})));
}

static const struct json *merges_of(const struct json *model, struct err *e)
{
    const struct json *merges = json_get(model, "merges");
    if (!merges || merges->kind != JSON_ARRAY) {
        err_set(e, ERR_DATA, "model.merges: must be a list");
        return NULL;
    }
    for (size_t i = 0; i < merges->count; i++)
        if (joins_byte(&merges->items[i])) {
            err_set(e, ERR_DATA,
                    "model.merges: merge %zu joins the token of a byte, which llama.cpp does not",
                    i);
            return NULL;
        }
    return merges;
}

/* Sets made[rank] to 1 + the id of the token that this merge makes of its text. */
static int find_merge(const struct gguf_vocab *v, int64_t id, const struct gguf_tokens *t,
                      int64_t *made, size_t merges, struct err *e)
{
    const unsigned char type = v->type[id];
    const struct str text = v->text[id];
    size_t parts;
    uint32_t rank;
    if (type == GGUF_TOKEN_CONTROL || type == GGUF_TOKEN_USER || type == GGUF_TOKEN_UNKNOWN ||
        text.n == 0)
        return 0;
    if (t->alone(t->tokenizer, text, &parts, &rank, e)) return -1;
    if (parts == 2)
        return err_set(e, ERR_DATA,
                       "model: token %" PRId64 " \"%.*s\": the merges leave its text in two parts, "
                       "which llama.cpp would join",
                       id, STR_FMT(text));
    if (parts == 1 && rank < merges) made[rank] = 1 + id;
    return 0;
}

static float fixed_score(unsigned char type)
{
    return type == GGUF_TOKEN_USER ? SCORE_USER : type == GGUF_TOKEN_UNUSED ? SCORE_UNUSED : 0;
}

/* Numbers tokens as SentencePiece does: those that merges make by rank, then the others by id. */
static void rate(const struct gguf_vocab *v, const int64_t *made, size_t merges, float *score)
{
    int64_t n = 0;
    for (int64_t i = 0; i < v->count; i++) score[i] = 1;
    for (size_t r = 0; r < merges; r++)
        if (made[r]) score[made[r] - 1] = -(float)n++;
    for (int64_t i = 0; i < v->count; i++) {
        if (score[i] <= 0) continue;
        score[i] = v->type[i] == GGUF_TOKEN_NORMAL ? -(float)n++ : fixed_score(v->type[i]);
    }
}

static int add_scores(struct gguf_head *h, const struct gguf_vocab *v, size_t merges,
                      const struct gguf_tokens *t, struct err *e)
{
    int64_t *made = mem_alloc(merges, sizeof *made, e);
    float *score = mem_alloc((size_t)v->count, sizeof *score, e);
    int rc = made && score ? 0 : -1;
    for (int64_t i = 0; rc == 0 && i < v->count; i++) rc = find_merge(v, i, t, made, merges, e);
    if (rc == 0) {
        rate(v, made, merges, score);
        gguf_add_array(h, "tokenizer.ggml.scores", GGUF_F32, (uint64_t)v->count);
        for (int64_t i = 0; i < v->count; i++) {
            uint32_t bits;
            memcpy(&bits, &score[i], sizeof bits);
            buf_u32(&h->pairs, bits);
        }
    }
    mem_free(made);
    mem_free(score);
    return rc;
}

/* llama.cpp puts a space before each text, behind an added token too, or before none. With a chat
 * template, texts begin with a special token, so that "first" is never. */
static bool prefix_of(const struct gguf_spm *form, const struct gguf_tokens *t,
                      enum gguf_space *space)
{
    const bool chats = t->ntemplates > 0;
    *space = GGUF_SPACE_SAME;
    if (form->space == GGUF_SPM_LACKING) *space = GGUF_SPACE_TWICE;
    if (form->space == GGUF_SPM_FIRST) *space = chats ? GGUF_SPACE_MISSING : GGUF_SPACE_BEHIND;
    return form->space != GGUF_SPM_NONE && *space != GGUF_SPACE_MISSING;
}

int gguf_spm_add(struct gguf_head *h, const struct gguf_vocab *v, const struct json *model,
                 const struct gguf_spm *form, const struct gguf_tokens *t,
                 struct gguf_exported *done, struct err *e)
{
    const struct json *merges = merges_of(model, e);
    if (!merges || add_scores(h, v, merges->count, t, e)) return -1;
    gguf_add_bool(h, "tokenizer.ggml.add_space_prefix", prefix_of(form, t, &done->space));
    return 0;
}
