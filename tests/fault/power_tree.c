/* SPDX-License-Identifier: Apache-2.0 */
/* The folder in memory and its operations. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "power.h"

static void stop(const char *what, const char *path)
{
    fprintf(stderr, "power: %s: %s\n", path, what);
    exit(99);
}

void *room(void *p, size_t n)
{
    p = realloc(p, n ? n : 1);
    if (!p) stop("memory", "power");
    return p;
}

static struct node *new_node(bool folder)
{
    struct node *x = memset(room(NULL, sizeof *x), 0, sizeof *x);
    x->folder = folder;
    return x;
}

static struct entry *find(const struct names *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->v[i].name, name) == 0) return &l->v[i];
    return NULL;
}

static void names_add(struct names *l, struct entry x)
{
    struct entry *old = find(l, x.name);
    if (old) {
        *old = x;
        return;
    }
    l->v = room(l->v, (l->n + 1) * sizeof *l->v);
    l->v[l->n++] = x;
}

static void names_remove(struct names *l, const char *name)
{
    struct entry *old = find(l, name);
    if (old) *old = l->v[--l->n];
}

static struct names names_copy(const struct names *l)
{
    struct names c = {room(NULL, l->n * sizeof *l->v), l->n};
    if (l->n) memcpy(c.v, l->v, l->n * sizeof *l->v);
    return c;
}

/* ---- paths ---- */
struct node *tree_find(struct node *root, const char *path)
{
    char part[256];
    while (root && *path) {
        const size_t n = strcspn(path, "/");
        if (n >= sizeof part) stop("name too long", path);
        memcpy(part, path, n);
        part[n] = 0;
        const struct entry *x = find(&root->names, part);
        root = x ? x->node : NULL;
        path += n + (path[n] == '/');
    }
    return root;
}

/* The folder of a path, and the name in it. */
static struct node *folder_of(struct node *root, const char *path, const char **name)
{
    const char *slash = strrchr(path, '/');
    *name = slash ? slash + 1 : path;
    if (!slash) return root;
    char *folder = strndup(path, (size_t)(slash - path));
    struct node *found = folder ? tree_find(root, folder) : NULL;
    free(folder);
    if (!found) stop("its folder is not there", path);
    return found;
}

static void name(struct node *folder, bool add, struct entry x, long op)
{
    if (add)
        names_add(&folder->names, x);
    else
        names_remove(&folder->names, x.name);
    folder->namings = room(folder->namings, (folder->nnamings + 1) * sizeof *folder->namings);
    folder->namings[folder->nnamings++] = (struct naming){op, add, x};
}

/* ---- operations ---- */
void tree_create(struct node *root, const char *path, bool folder, long op)
{
    struct entry x = {0};
    struct node *in = folder_of(root, path, &x.name);
    if (find(&in->names, x.name)) return;
    x.node = new_node(folder);
    name(in, true, x, op);
}

void tree_remove(struct node *root, const char *path, long op)
{
    struct entry x = {0};
    name(folder_of(root, path, &x.name), false, x, op);
}

void tree_rename(struct node *root, const char *from, const char *to, bool keep, long op)
{
    struct entry x = {.renamed = true, .node = tree_find(root, from)}, old = {0};
    if (!x.node) stop("is not there to be renamed", from);
    struct node *in = folder_of(root, to, &x.name);
    if (!keep) name(folder_of(root, from, &old.name), false, old, op);
    name(in, true, x, op);
}

static void apply(struct bytes *b, const struct change *c, size_t n)
{
    const size_t end = c->p ? c->at + n : c->at;
    if (end > b->n) {
        b->p = room(b->p, end);
        memset(b->p + b->n, 0, end - b->n);
    }
    if (!c->p || end > b->n) b->n = end;
    if (c->p) memcpy(b->p + c->at, c->p, n);
}

void tree_change(struct node *root, const char *path, struct change c)
{
    struct node *x = tree_find(root, path);
    if (!x) stop("is not there to be written", path);
    apply(&x->now, &c, c.n);
    x->changes = room(x->changes, (x->nchanges + 1) * sizeof *x->changes);
    x->changes[x->nchanges++] = c;
}

static struct bytes bytes_copy(const struct bytes *b)
{
    struct bytes c = {room(NULL, b->n), b->n};
    if (b->n) memcpy(c.p, b->p, b->n);
    return c;
}

void tree_sync(struct node *root, const char *path)
{
    struct node *x = tree_find(root, path);
    if (!x) stop("is not there to be synced", path);
    for (size_t i = 0; i < x->names.n; i++) x->names.v[i].synced = true;
    free(x->kept.p);
    free(x->kept_names.v);
    x->kept = bytes_copy(&x->now);
    x->kept_names = names_copy(&x->names);
    x->nchanges = x->nnamings = 0;
}

void tree_promised(const struct node *root, const char *path, void (*f)(void *, const char *),
                   void *arg)
{
    for (size_t i = 0; i < root->names.n; i++) {
        const struct entry *x = &root->names.v[i];
        char whole[4096];
        if (x->name[0] == '.' || (x->renamed && !x->synced)) continue;
        snprintf(whole, sizeof whole, "%s%s%s", path, *path ? "/" : "", x->name);
        if (x->renamed) f(arg, whole);
        if (x->node->folder) tree_promised(x->node, whole, f, arg);
    }
}

/* ---- the state after a cut ---- */
static unsigned chance(int policy, long op, size_t i)
{
    uint64_t x = (uint64_t)policy * 0x9e3779b97f4a7c15u + (uint64_t)op * 0xbf58476d1ce4e5b9u + i;
    x ^= x >> 30, x *= 0x94d049bb133111ebu, x ^= x >> 31;
    return (unsigned)(x >> 33) % 3;
}

static struct bytes bytes_after(const struct node *x, int policy)
{
    if (policy == ALL) return bytes_copy(&x->now);
    struct bytes b = bytes_copy(&x->kept);
    if (policy == CERTAIN || policy == NAMES) return b;
    if (policy == ZEROS) {
        apply(&b, &(struct change){.at = x->now.n}, 0);
        return b;
    }
    const size_t most = policy == TORN ? (x->nchanges + 1) / 2 : x->nchanges;
    for (size_t i = 0; i < most; i++) {
        const struct change *c = &x->changes[i];
        const unsigned k = policy == TORN ? (i + 1 < most ? 2 : 1) : chance(policy, c->op, i);
        if (k || !c->p) apply(&b, c, k == 2 ? c->n : c->n / 2);
    }
    return b;
}

static struct names names_after(const struct node *x, int policy)
{
    if (policy == CERTAIN) return names_copy(&x->kept_names);
    if (policy < CHANCE) return names_copy(&x->names);
    struct names l = names_copy(&x->kept_names);
    for (size_t i = 0; i < x->nnamings; i++) {
        const struct naming *c = &x->namings[i];
        if (!chance(policy, c->op, 0)) continue;
        if (c->add)
            names_add(&l, c->entry);
        else
            names_remove(&l, c->entry.name);
    }
    return l;
}

struct node *tree_after(const struct node *root, int policy)
{
    struct node *x = new_node(root->folder);
    if (!x->folder) {
        x->now = bytes_after(root, policy);
        return x;
    }
    x->names = names_after(root, policy);
    for (size_t i = 0; i < x->names.n; i++)
        x->names.v[i].node = tree_after(x->names.v[i].node, policy);
    return x;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static uint64_t hash(uint64_t h, const void *p, size_t n)
{
    for (size_t i = 0; i < n; i++) h = (h ^ ((const unsigned char *)p)[i]) * 0x100000001b3u;
    return h;
}

uint64_t tree_hash(const struct node *root)
{
    uint64_t h = hash(0xcbf29ce484222325u, root->now.p, root->now.n);
    struct names l = names_copy(&root->names);
    if (l.n) qsort(l.v, l.n, sizeof *l.v, by_name);
    for (size_t i = 0; i < l.n; i++) {
        const uint64_t below = tree_hash(l.v[i].node);
        h = hash(hash(h, l.v[i].name, strlen(l.v[i].name) + 1), &below, sizeof below);
    }
    free(l.v);
    return h ^ root->folder;
}

/* ---- to and from the disk ---- */
static void read_bytes(struct node *x, const char *path, size_t n)
{
    FILE *f = fopen(path, "r");
    x->now = (struct bytes){room(NULL, n), n};
    if (!f || fread(x->now.p, 1, n, f) != n) stop("cannot read", path);
    fclose(f);
}

static void read_names(struct node *x, const char *path)
{
    char below[4096];
    DIR *d = opendir(path);
    if (!d) stop("cannot list", path);
    for (const struct dirent *e; (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        snprintf(below, sizeof below, "%s/%s", path, e->d_name);
        names_add(&x->names, (struct entry){.name = strdup(e->d_name), .node = tree_read(below)});
    }
    closedir(d);
}

struct node *tree_read(const char *path)
{
    struct stat st;
    if (lstat(path, &st)) stop("is not there", path);
    struct node *x = new_node(S_ISDIR(st.st_mode));
    if (x->folder)
        read_names(x, path);
    else
        read_bytes(x, path, (size_t)st.st_size);
    tree_sync(x, "");
    return x;
}

void tree_write(const struct node *root, const char *path)
{
    char below[4096];
    if (!root->folder) {
        FILE *f = fopen(path, "w");
        if (!f || fwrite(root->now.p, 1, root->now.n, f) != root->now.n || fclose(f))
            stop("cannot write", path);
        return;
    }
    if (mkdir(path, 0777)) stop("cannot create", path);
    for (size_t i = 0; i < root->names.n; i++) {
        snprintf(below, sizeof below, "%s/%s", path, root->names.v[i].name);
        tree_write(root->names.v[i].node, below);
    }
}

void tree_free(struct node *root)
{
    for (size_t i = 0; i < root->names.n; i++) tree_free(root->names.v[i].node);
    free(root->now.p);
    free(root->names.v);
    free(root);
}
