/* SPDX-License-Identifier: Apache-2.0 */
/* What a loaded configuration is made of. Internal. */
#ifndef SFT_CONFIG_LOAD_H
#define SFT_CONFIG_LOAD_H

#include "config/config.h"
#include "config/keys.h"
#include "config/node.h"

/* A key that the file or an override sets. */
struct setting {
    const struct config_key *key;
    const char *path;        /* as written: key->path may end in .* or speak of sft_train */
    const struct node *node; /* as written, for its place */
    struct node *shown;      /* the value in its normal form */
    const char *idle;        /* why it has no effect; NULL: it has one */
};
struct loaded {
    struct config c; /* first: a struct config * is a struct loaded * */
    struct tree tree;
    struct setting *settings; /* in the order of the file */
    size_t count, cap;
    struct node *shown; /* the resolved configuration, a map */
};

/* bind.c: tree -> settings, in the order of the file. */
int bind_settings(struct loaded *l, struct err *e);
/* value.c: checks n against the key's type, stores it in c and returns its normal form. */
struct node *value_store(struct loaded *l, const struct config_key *k, const char *path,
                         const struct node *n, struct err *e);
/* override.c: puts what "a.b=value" says into the tree. */
int override_apply(struct loaded *l, const char *arg, struct err *e);
/* "'text'", "a list" or "a mapping", for messages. */
const char *value_quote(const struct node *n, char out[80]);
/* devices.c: ROLL's expression -> GPU numbers in the tree's arena. */
int devices_parse(struct tree *t, const char *text, struct config_ints *out, const char **problem,
                  struct err *e);
int devices_check(const struct config_ints *d, const char **problem);
/* derive.c: fills c.run and checks what concerns several keys. */
int derive_run(struct loaded *l, struct err *e);
/* schedule.c: no argument is set; those that are set fit the schedule. */
void schedule_unset(struct config_schedule_kwargs *k);
bool config_is_fsdp(const struct config *c);
int schedule_check(const struct loaded *l, struct err *e);
/* optim.c: fills c.run.optimizer, after c.run.dtype. */
int optimizer_derive(struct loaded *l, struct err *e);
/* The setting of exactly this path, or NULL. */
const struct setting *setting_of(const struct loaded *l, const char *path);

#endif
