/* SPDX-License-Identifier: Apache-2.0 */
/* Tests input files before any row is converted. */
#include "check.h"

#include <string.h>

#include "base/io.h"
#include "base/json.h"

static int check_rows(struct io_in *in, struct err *e)
{
    struct json_rows *rows = json_rows_open(in, e);
    json_rows_close(rows);
    return rows ? 0 : -1;
}

static int check_input(const char *path, bool text, struct err *e)
{
    struct stat st;
    if (strcmp(path, "-") == 0) return 0;
    if (io_stat(path, &st, NULL) == 0 && S_ISFIFO(st.st_mode)) return 0;
    struct io_in *in = io_open(path, e);
    int rc = in ? io_expand(in, e) : -1;
    if (rc == 0 && !text) rc = check_rows(in, e);
    io_close(in);
    return rc;
}

int check_inputs(char *const *paths, int n, bool text, struct err *e)
{
    for (int i = 0; i < n; i++)
        if (check_input(paths[i], text, e)) return -1;
    return 0;
}
