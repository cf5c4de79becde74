/* SPDX-License-Identifier: Apache-2.0 */
/* A YAML document as a bounded tree, with the place of each value in the file. Internal. */
#ifndef SFT_CONFIG_NODE_H
#define SFT_CONFIG_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"

enum {
    TREE_MAX_FILE = 1 << 20,  /* bytes of a file */
    TREE_MAX_DEPTH = 32,      /* nested maps and lists, nested interpolations */
    TREE_MAX_NODES = 20000,   /* after anchors, merge keys and references are expanded */
    TREE_MAX_ANCHORS = 256,   /* named nodes of a file */
    TREE_MAX_STRING = 1 << 16 /* bytes of a string with ${...} */
};
#define TREE_MAX_BYTES ((size_t)64 << 20)

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP };
enum node_state { NODE_RAW, NODE_BUSY, NODE_DONE }; /* progress of interpolation */

struct node {
    enum node_kind kind;
    enum node_state state;
    bool quoted;       /* NODE_SCALAR: always a string, even if it looks like a number */
    const char *text;  /* NODE_SCALAR: UTF-8, no NUL inside */
    size_t count, cap; /* NODE_LIST, NODE_MAP */
    struct node **items;
    const char **keys; /* NODE_MAP, unique */
    struct node *parent;
    const char *origin; /* the file, or the override as typed */
    unsigned line;      /* from 1; 0: an override */
};

struct tree {
    struct arena arena;
    struct node *root; /* a map */
    size_t nodes;
};

/* The arena of the tree owns all nodes. Each function returns NULL or -1 with *e on failure.
 * `place` gives the new node its origin and line. */
struct node *node_new(struct tree *t, enum node_kind kind, const struct node *place, struct err *e);
struct node *node_scalar(struct tree *t, const char *text, bool quoted, const struct node *place,
                         struct err *e);
int node_add(struct tree *t, struct node *to, const char *key, struct node *item, struct err *e);
/* Returns a deep copy; values keep their place. */
struct node *node_copy(struct tree *t, const struct node *from, int depth, struct err *e);
struct node *node_member(const struct node *map, const char *key); /* NULL when absent */
struct node *node_member_n(const struct node *n, const char *key, size_t len); /* or list index */
/* Sets the value at the dotted path and creates missing maps; a map merges into a map. */
int node_put(struct tree *t, struct node *root, const char *path, struct node *value,
             struct err *e);
/* Merges the members of a map into another; a map merges into a map, other values replace. */
int node_merge(struct tree *t, struct node *to, struct node *from, struct err *e);
void node_remove(struct node *map, const char *key); /* does nothing if there is no such member */
/* Sets e to "FILE:LINE: key: text" or "'a.b=v': key: text"; key may be NULL. Returns -1. */
int node_fail(const struct node *n, const char *key, struct err *e, const char *fmt, ...)
    ERR_PRINTF(4, 5);

/* yaml.c: parses one YAML document of n bytes. lines: record line numbers; false for overrides. An
 * empty document is a null scalar. */
struct node *yaml_read(struct tree *t, const char *text, size_t n, const char *origin, bool lines,
                       struct err *e);
/* interpolate.c: replaces every ${...} below root. */
int tree_interpolate(struct tree *t, struct err *e);

/* scalar.c: the type of a scalar by the rules of OmegaConf's YAML loader. */
enum scalar_kind { SCALAR_NULL, SCALAR_BOOL, SCALAR_INT, SCALAR_REAL, SCALAR_STRING };
struct scalar {
    enum scalar_kind kind;
    bool truth;
    int64_t i;
    double r; /* SCALAR_INT too */
};
void scalar_read(const struct node *n, struct scalar *s);
bool node_is_null(const struct node *n);
/* Writes the shortest decimal that reads back as v. It contains '.', 'e', "inf" or "nan". */
void scalar_real(double v, char out[40]);

/* emit.c */
bool text_is_utf8(const char *s);
bool text_is_printable(const char *s); /* UTF-8 without control characters */
/* Append the tree as block-style YAML, or as one line of JSON. */
int emit_yaml(const struct node *n, struct buf *b, struct err *e);
int emit_json(const struct node *n, struct buf *b, struct err *e);

#endif
