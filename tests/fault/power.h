/* SPDX-License-Identifier: Apache-2.0 */
/* A folder in memory, with what is certain of it after a power cut and what is not. A file's bytes
 * are certain after an fsync of the file, a name after one of its folder. */
#ifndef POWER_H
#define POWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The work of the file system before the cut, beside what was synced. */
enum policy {
    CERTAIN, /* nothing */
    NAMES,   /* all names, no bytes: files are as long as when they were synced */
    ZEROS,   /* all names and sizes, zeros in the place of bytes */
    TORN,    /* all names, the first half of the bytes */
    ALL,     /* everything, as if the process alone had ended */
    CHANCE   /* from here on: some names and some writes, by the number */
};

struct bytes {
    char *p;
    size_t n;
};
struct change { /* of bytes: a write of n bytes at `at`; p NULL: the size becomes `at` */
    long op;
    size_t at, n;
    const char *p; /* in the recording */
};
struct entry {
    const char *name;
    struct node *node;
    bool renamed; /* made by a rename or a link */
    bool synced;  /* and its folder was synced since */
};
struct names {
    struct entry *v;
    size_t n;
};
struct naming { /* a change of names */
    long op;
    bool add;
    struct entry entry;
};
struct node {
    bool folder;
    struct bytes now, kept;
    struct change *changes;
    size_t nchanges;
    struct names names, kept_names;
    struct naming *namings;
    size_t nnamings;
};

/* Reads a folder, of which everything is certain. */
struct node *tree_read(const char *path);
/* Finds what stands at a path below the root; NULL: nothing. */
struct node *tree_find(struct node *root, const char *path);
/* The operations of a recording. They end the program where the folder has no such path. */
void tree_create(struct node *root, const char *path, bool folder, long op);
void tree_remove(struct node *root, const char *path, long op);
void tree_rename(struct node *root, const char *from, const char *to, bool keep, long op);
void tree_change(struct node *root, const char *path, struct change c);
void tree_sync(struct node *root, const char *path);
/* Calls f for each visible name that was renamed to, and whose folder was synced since. */
void tree_promised(const struct node *root, const char *path, void (*f)(void *, const char *path),
                   void *arg);

/* The state after the cut, as a new tree in which everything is certain. */
struct node *tree_after(const struct node *root, int policy);
uint64_t tree_hash(const struct node *root);
void tree_write(const struct node *root, const char *path);
void tree_free(struct node *root);

void *room(void *p, size_t n); /* realloc that ends the program */

#endif
