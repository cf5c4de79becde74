/* SPDX-License-Identifier: Apache-2.0 */
/* Look-ups in a rendered text: tokens by byte, white space. */
#include "chat/chat_impl.h"

uint32_t chat_token_at(const struct token_list *l, uint32_t byte)
{
    uint32_t lo = 0, hi = (uint32_t)l->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (l->begin[mid] < byte)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

bool chat_is_blank(struct str s)
{
    struct jstr all = {.p = s.p, .n = (uint32_t)s.n};
    size_t begin, end;
    jstr_strip(&all, NULL, true, false, &begin, &end);
    return begin == all.n;
}
