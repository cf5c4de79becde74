/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a loaded configuration. Internal. */
#ifndef SFT_CONFIG_LOAD_H
#define SFT_CONFIG_LOAD_H

#include "config/config.h"
#include "config/keys.h"
#include "config/node.h"

/* A key that the file or an override sets. */
struct setting {
    const struct config_key *key;
    const char *path;        /* as written; key->path may end in .* or begin with sft_train */
    const struct node *node; /* as written, with its place in the file */
    struct node *shown;      /* the value in normal form */
    const char *idle;        /* the reason why it has no effect; NULL: it has one */
};
struct loaded {
    struct config c; /* first: a struct config * is a struct loaded * */
    struct tree tree;
    struct setting *settings; /* in the order of the file */
    size_t count, cap;
    struct node *shown; /* the resolved configuration, a map */
};

/* include.c: merges the files that `defaults` names into the tree, and removes the list. */
int include_defaults(struct loaded *l, struct err *e);
bool is_included(const struct loaded *l, const struct node *n); /* n is of such a file */
/* bind.c: finds the key of every value in the tree. */
int bind_settings(struct loaded *l, struct err *e);
/* value.c: checks n against the type of the key, stores it in l->c and returns its normal form. */
struct node *value_store(struct loaded *l, const struct config_key *k, const char *path,
                         const struct node *n, struct err *e);
/* override.c: sets the value of "a.b=value" in the tree. */
int override_apply(struct loaded *l, const char *arg, struct err *e);
/* Writes "'text'", "a list" or "a mapping" for a message; returns out. */
const char *value_quote(const struct node *n, char out[80]);
/* devices.c: parses a device expression of ROLL into the arena of the tree. -1 with *problem set
 * for a wrong expression, with *problem NULL and ERR_MEMORY otherwise. */
int devices_parse(struct tree *t, const char *text, struct config_ints *out, const char **problem,
                  struct err *e);
/* Checks the numbers: none negative, too large or repeated. -1 with *problem. */
int devices_check(const struct config_ints *d, const char **problem);
/* derive.c: fills c.run and makes the checks that concern several keys. */
int derive_run(struct loaded *l, struct err *e);
/* schedule.c: marks all arguments as not set. */
void schedule_unset(struct config_schedule_kwargs *k);
enum key_scope config_scope(const struct config *c);
int schedule_check(const struct loaded *l, struct err *e);
/* optim.c: fills c.run.optimizer. Needs c.run.dtype. */
int optimizer_derive(struct loaded *l, struct err *e);
/* best.c: fills c.run.keeps_best, and checks that the best checkpoint can be known. */
int best_derive(struct loaded *l, struct err *e);
/* Returns the setting with this path, or NULL. */
const struct setting *setting_of(const struct loaded *l, const char *path);
/* Records the reason why the setting with this path, if there is one, has no effect beside others.
 */
void setting_idle(struct loaded *l, const char *path, const char *why);

#endif
