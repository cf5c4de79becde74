/* SPDX-License-Identifier: Apache-2.0 */
/* Answers one prompt, or prints the logits of the answer's first token. */
#include "eval.h"

/* Encodes the prompt as a user's message, behind --system if it is given. */
static int encode(struct talk *t, const struct eval *v, struct err *e)
{
    const struct chat_message messages[] = {
        {.role = STR("system"), .content = v->system ? str_z(v->system) : (struct str){0}},
        {.role = STR("user"), .content = str_z(v->prompt)}};
    const size_t first = v->system ? 0 : 1;
    const struct chat_conversation c = {.messages = messages + first, .nmessages = 2 - first};
    return talk_encode(t, &c, e);
}

static int print(struct eval *v, const uint32_t *ids, int64_t n, struct err *e)
{
    struct buf text = {0};
    int rc = tokenizer_decode(v->tokenizer, ids, (size_t)n, true, &text, e);
    buf_putc(&text, '\n');
    if (rc == 0) rc = buf_check(&text, e);
    if (rc == 0) rc = io_write(v->out, text.data, text.len, e);
    buf_free(&text);
    return rc;
}

/* Prints the logits [vocab] of the next token with nine digits each. */
static int print_logits(struct eval *v, const float *logits, struct err *e)
{
    struct buf text = {0};
    for (int64_t i = 0; i < v->m.vocab; i++) {
        buf_putc(&text, i ? ',' : '[');
        buf_json_number(&text, (double)logits[i], 9);
    }
    buf_puts(&text, "]\n");
    int rc = buf_check(&text, e) ? -1 : io_write(v->out, text.data, text.len, e);
    buf_free(&text);
    return rc;
}

/* On a terminal the answer is written token by token. A failure ends its line. */
static int answer(struct talk *t, struct eval *v, int64_t most, struct err *e)
{
    struct live live = {.v = v}, *to = io_out_is_tty(v->out) ? &live : NULL;
    const struct talk_watch watch = {live_took, &live};
    struct talk_answer a = {.ids = mem_alloc((size_t)most, sizeof *a.ids, e), .most = most};
    if (to) progress_erase(&v->progress);
    int rc = a.ids ? talk_decode(t, to ? &watch : NULL, &a, e) : -1;
    progress_erase(&v->progress);
    if (rc && live.to) io_write(v->out, "\n", 1, NULL);
    if (rc == 0 && to) rc = live_write(to, a.ids, (size_t)a.n, true, e);
    if (rc == 0 && a.n > 0) eval_warn_nameless(v, a.ids, a.n);
    if (rc == 0 && !to) rc = print(v, a.ids, a.n, e);
    mem_free(a.ids);
    return rc;
}

static int complete(struct talk *t, struct eval *v, struct err *e)
{
    if (encode(t, v, e)) return -1;
    const int64_t n = (int64_t)t->prompt.n, reach = rope_reach(&v->m, n);
    if (talk_check(t, reach, e)) return -1;
    const int64_t most = reach - n < v->max_tokens ? reach - n : v->max_tokens;
    const struct talk_room room = {.length = n + most, .pass = n, .cache = n + most, .docs = 1};
    if (eval_talk_open(t, v, &room, e)) return -1;
    progress_doing(&v->progress, "reading the prompt", 0, 0);
    if (talk_read(t, &t->prompt, t->docs, e)) return -1;
    if (!v->logits) return answer(t, v, most, e);
    progress_erase(&v->progress);
    return print_logits(v, t->logits, e);
}

int eval_complete(struct eval *v, struct err *e)
{
    struct talk t;
    const int rc = eval_talk(&t, v, e) ? -1 : complete(&t, v, e);
    talk_close(&t);
    return rc;
}
