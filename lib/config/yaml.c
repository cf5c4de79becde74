/* SPDX-License-Identifier: Apache-2.0 */
/* Builds the tree from the events of libyaml: copies aliases within a budget, merges `<<`, refuses
 * duplicate keys and foreign tags. */
#include <string.h>
#include <yaml.h>

#include "config/node.h"

struct anchor {
    const char *name;
    struct node *node;
    bool open; /* still being read: an alias to it would be a cycle */
};
struct reader {
    yaml_parser_t parser;
    struct tree *tree;
    const char *text, *end;
    struct node place; /* origin of the document, line of the current event */
    bool lines;
    struct anchor anchors[TREE_MAX_ANCHORS];
    size_t anchor_count;
};

/* True when the indentation of this line of the text, counted from 0, has a tab. */
static bool has_tab(const struct reader *r, size_t line)
{
    const char *p = r->text;
    for (; line > 0 && p; line--) {
        p = memchr(p, '\n', (size_t)(r->end - p));
        if (p) p++;
    }
    while (p && p < r->end && *p == ' ') p++;
    return p && p < r->end && *p == '\t';
}

static int not_yaml(const struct reader *r, struct err *e)
{
    if (has_tab(r, r->parser.problem_mark.line))
        return node_fail(&r->place, NULL, e,
                         "a tab indents this line, and YAML takes spaces alone for that; replace "
                         "it with spaces");
    return node_fail(&r->place, NULL, e, "not YAML: %s",
                     r->parser.problem ? r->parser.problem : "unknown error");
}

static int next_event(struct reader *r, yaml_event_t *ev, struct err *e)
{
    if (yaml_parser_parse(&r->parser, ev)) {
        r->place.line = r->lines ? (unsigned)ev->start_mark.line + 1 : 0;
        return 0;
    }
    if (r->parser.error == YAML_MEMORY_ERROR)
        return err_set(e, ERR_MEMORY, "%s: out of memory", r->place.origin);
    r->place.line = r->lines ? (unsigned)r->parser.problem_mark.line + 1 : 0;
    return not_yaml(r, e);
}

/* Accepts only the tags of YAML itself. !!str makes its scalar a string. */
static int check_tag(const struct reader *r, const yaml_char_t *tag, bool *string, struct err *e)
{
    static const char core[] = "tag:yaml.org,2002:";
    static const char *const known[] = {"str", "int", "float", "bool", "null", "map", "seq"};
    const char *z = (const char *)tag;
    if (!z) return 0;
    if (!strcmp(z, "!")) return *string = true, 0;
    if (!strncmp(z, core, sizeof core - 1))
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            if (!strcmp(z + sizeof core - 1, known[i])) return *string = i == 0, 0;
    return node_fail(&r->place, NULL, e, "the tag '%.80s' is not supported; remove it", z);
}

static int set_anchor(struct reader *r, const yaml_char_t *name, struct node *n, struct err *e)
{
    if (!name) return 0;
    if (r->anchor_count == TREE_MAX_ANCHORS)
        return node_fail(n, NULL, e, "more than %d anchors", TREE_MAX_ANCHORS);
    const char *z = arena_copy(&r->tree->arena, name, strlen((const char *)name), e);
    if (!z) return -1;
    r->anchors[r->anchor_count++] = (struct anchor){z, n, n->kind != NODE_SCALAR};
    return 0;
}

static void close_anchor(struct reader *r, const struct node *n)
{
    for (size_t i = 0; i < r->anchor_count; i++)
        if (r->anchors[i].node == n) r->anchors[i].open = false;
}

static struct node *read_alias(struct reader *r, const yaml_char_t *name, struct err *e)
{
    const char *z = (const char *)name;
    for (size_t i = r->anchor_count; i-- > 0;) { /* the last anchor of that name counts */
        const struct anchor *a = &r->anchors[i];
        if (strcmp(a->name, z)) continue;
        if (!a->open) return node_copy(r->tree, a->node, 0, e);
        node_fail(&r->place, NULL, e, "*%.80s refers to a value that contains it", z);
        return NULL;
    }
    node_fail(&r->place, NULL, e, "*%.80s: there is no &%.80s before it", z, z);
    return NULL;
}

static struct node *read_scalar(struct reader *r, const yaml_event_t *ev, struct err *e)
{
    const char *z = (const char *)ev->data.scalar.value;
    bool string = ev->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    if (memchr(z, 0, ev->data.scalar.length)) {
        node_fail(&r->place, NULL, e, "a string with a NUL byte");
        return NULL;
    }
    if (check_tag(r, ev->data.scalar.tag, &string, e)) return NULL;
    struct node *n = node_scalar(r->tree, z, string, &r->place, e);
    return n && !set_anchor(r, ev->data.scalar.anchor, n, e) ? n : NULL;
}

static struct node *read_node(struct reader *r, const yaml_event_t *ev, int depth, struct err *e);

/* Reads the next event and its value. Sets *end when it is the end of the container. */
static struct node *read_next(struct reader *r, yaml_event_type_t stop, bool *end, int depth,
                              struct err *e)
{
    yaml_event_t ev;
    *end = false;
    if (next_event(r, &ev, e)) return NULL;
    *end = ev.type == stop;
    struct node *n = *end ? NULL : read_node(r, &ev, depth, e);
    yaml_event_delete(&ev);
    return n;
}

static int read_items(struct reader *r, struct node *list, int depth, struct err *e)
{
    for (;;) {
        bool end;
        struct node *item = read_next(r, YAML_SEQUENCE_END_EVENT, &end, depth, e);
        if (end) return 0;
        if (!item || node_add(r->tree, list, NULL, item, e)) return -1;
    }
}

/* Merges `<<: map` or `<<: [map, map]` into a map; its own members win, then the first map. */
static int merge_key(struct reader *r, struct node *map, struct node *from, struct err *e)
{
    bool list = from->kind == NODE_LIST;
    for (size_t k = 0; k < (list ? from->count : 1); k++) {
        struct node *m = list ? from->items[k] : from;
        if (m->kind != NODE_MAP) return node_fail(m, "<<", e, "only mappings can be merged");
        for (size_t i = 0; i < m->count; i++)
            if (!node_member(map, m->keys[i]) && node_add(r->tree, map, m->keys[i], m->items[i], e))
                return -1;
    }
    return 0;
}

static int read_member(struct reader *r, struct node *map, const struct node *key,
                       struct node **merges, int depth, struct err *e)
{
    bool end;
    if (key->kind != NODE_SCALAR || node_is_null(key) || !*key->text)
        return node_fail(key, NULL, e, "a key has to be a word");
    struct node *value = read_next(r, YAML_NO_EVENT, &end, depth, e);
    if (!value) return -1;
    value->line = key->line; /* also for an alias, whose value has another line */
    if (!strcmp(key->text, "<<") && !key->quoted) {
        if (*merges) return node_fail(key, "<<", e, "given twice; use <<: [*a, *b]");
        *merges = value;
        return 0;
    }
    const struct node *old = node_member(map, key->text);
    if (old)
        return node_fail(key, NULL, e, "the key '%.80s' is already set on line %u", key->text,
                         old->line);
    return node_add(r->tree, map, key->text, value, e);
}

static int read_members(struct reader *r, struct node *map, int depth, struct err *e)
{
    struct node *merges = NULL;
    for (;;) {
        bool end;
        struct node *key = read_next(r, YAML_MAPPING_END_EVENT, &end, depth, e);
        if (end) return merges ? merge_key(r, map, merges, e) : 0;
        if (!key || read_member(r, map, key, &merges, depth, e)) return -1;
    }
}

static struct node *read_container(struct reader *r, const yaml_event_t *ev, int depth,
                                   struct err *e)
{
    bool is_map = ev->type == YAML_MAPPING_START_EVENT, string = false;
    const yaml_char_t *tag = is_map ? ev->data.mapping_start.tag : ev->data.sequence_start.tag;
    const yaml_char_t *anchor =
        is_map ? ev->data.mapping_start.anchor : ev->data.sequence_start.anchor;
    if (depth >= TREE_MAX_DEPTH) {
        node_fail(&r->place, NULL, e, "nested deeper than %d", TREE_MAX_DEPTH);
        return NULL;
    }
    if (check_tag(r, tag, &string, e)) return NULL;
    struct node *n = node_new(r->tree, is_map ? NODE_MAP : NODE_LIST, &r->place, e);
    if (!n || set_anchor(r, anchor, n, e)) return NULL;
    if (is_map ? read_members(r, n, depth + 1, e) : read_items(r, n, depth + 1, e)) return NULL;
    close_anchor(r, n);
    return n;
}

static struct node *read_node(struct reader *r, const yaml_event_t *ev, int depth, struct err *e)
{
    switch (ev->type) {
    case YAML_ALIAS_EVENT:
        return read_alias(r, ev->data.alias.anchor, e);
    case YAML_SCALAR_EVENT:
        return read_scalar(r, ev, e);
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT:
        return read_container(r, ev, depth, e);
    default:
        node_fail(&r->place, NULL, e, "a value is missing");
        return NULL;
    }
}

/* Reads the start of the stream, at most one document and the end of the stream. */
static struct node *read_document(struct reader *r, struct err *e)
{
    struct node *root = NULL;
    for (bool more = true; more;) {
        yaml_event_t ev;
        int bad = 0;
        if (next_event(r, &ev, e)) return NULL;
        switch (ev.type) {
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_END_EVENT:
            break;
        case YAML_STREAM_END_EVENT:
            more = false;
            break;
        case YAML_DOCUMENT_START_EVENT:
            if (root) bad = node_fail(&r->place, NULL, e, "a second document; only one is read");
            break;
        default:
            bad = !(root = read_node(r, &ev, 0, e));
        }
        yaml_event_delete(&ev);
        if (bad) return NULL;
    }
    return root ? root : node_scalar(r->tree, "", false, &r->place, e);
}

struct node *yaml_read(struct tree *t, const char *text, size_t n, const char *origin, bool lines,
                       struct err *e)
{
    struct reader *r = arena_alloc(&t->arena, sizeof *r, e);
    if (!r) return NULL;
    r->tree = t;
    r->text = text;
    r->end = text + n;
    r->lines = lines;
    r->place.origin = origin;
    r->place.line = lines;
    if (!yaml_parser_initialize(&r->parser)) {
        err_set(e, ERR_MEMORY, "%s: out of memory", origin);
        return NULL;
    }
    yaml_parser_set_input_string(&r->parser, (const unsigned char *)text, n);
    yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
    struct node *root = read_document(r, e);
    yaml_parser_delete(&r->parser);
    return root;
}
