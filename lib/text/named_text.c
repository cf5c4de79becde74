/* SPDX-License-Identifier: Apache-2.0 */
/* Named texts of a tokenizer: special tokens and chat templates. */
#include "text/tokenizer_impl.h"

int named_text_make(struct named_text *k, struct str name, struct str text, struct err *e)
{
    *k =
        (struct named_text){mem_strndup(name.p, name.n, e), mem_strndup(text.p, text.n, e), text.n};
    if (k->name && k->text) return 0;
    named_text_free(k);
    return -1;
}

void named_text_free(struct named_text *k)
{
    mem_free(k->name);
    mem_free(k->text);
    *k = (struct named_text){0};
}
