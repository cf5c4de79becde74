/* SPDX-License-Identifier: Apache-2.0 */
/* Counting columns: data that is silently not trained on is the commonest mistake in a mapping. */
#include "columns.h"

#include <inttypes.h>
#include <string.h>

#include "base/log.h"

static const char *const watched[COLUMNS] = {"input",  "query",   "context",
                                             "system", "history", "tools"};
static const char *const options[COLUMNS] = {"; --query-key input takes it",
                                             "; --query-key query takes it",
                                             "; --query-key context takes it",
                                             "; --system-key system takes it",
                                             "",
                                             ""};

static bool is_mapped(const struct row_keys *k, const char *name)
{
    const char *const mapped[] = {k->prompt, k->query, k->response, k->system};
    for (size_t i = 0; i < 4; i++)
        if (mapped[i] && strcmp(mapped[i], name) == 0) return true;
    return false;
}

void columns_see(struct columns *c, enum row_format format, const struct row_keys *keys,
                 const struct json *row)
{
    if (format != ROW_ALPACA) return; /* the other forms have no mapping */
    if (c->rows++ == 0) row_keys_text(row, &c->keys);
    if (keys->query && json_get(row, keys->query)) c->with_query++;
    if (keys->system && json_get(row, keys->system)) c->with_system++;
    for (int i = 0; i < COLUMNS; i++)
        if (row_filled(json_get(row, watched[i]))) c->filled[i]++;
}

static int never(const struct columns *c, const char *key, const char *option, struct err *e)
{
    return err_set(e, ERR_DATA, "no row has \"%s\" (%s); the keys of the first row are %s", key,
                   option, c->keys.data ? c->keys.data : "?");
}

int columns_report(const struct columns *c, const struct row_keys *keys, struct err *e)
{
    if (c->rows && keys->query && !c->with_query) return never(c, keys->query, "--query-key", e);
    if (c->rows && keys->system && !c->with_system)
        return never(c, keys->system, "--system-key", e);
    for (int i = 0; i < COLUMNS; i++)
        if (c->filled[i] && !is_mapped(keys, watched[i]))
            log_line(LOG_WARN, "\"%s\" is filled in %" PRIu64 " of %" PRIu64 " rows and not used%s",
                     watched[i], c->filled[i], c->rows, options[i]);
    return 0;
}
