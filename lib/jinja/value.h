/* SPDX-License-Identifier: Apache-2.0 */
/* Values of the Jinja engine: Python's types, and strings that record the origin of their bytes. */
#ifndef SFT_JINJA_VALUE_H
#define SFT_JINJA_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

enum jkind {
    J_MISSING = 0, /* an argument that was not given; never seen by a template */
    J_UNDEF,       /* jinja2.Undefined: u.name is the missing name, aux the reason */
    J_NONE,
    J_BOOL,
    J_INT,
    J_BIG, /* an integer beyond 64 bits as text: it prints and compares, arithmetic refuses it */
    J_FLOAT,
    J_STR,
    J_LIST,
    J_TUPLE,
    J_DICT,
    J_VIEW, /* dict.items(), keys(), values() */
    J_ITER, /* a generator: it yields each item once */
    J_RANGE,
    J_NS, /* namespace() */
    J_LOOP,
    J_MACRO,
    J_METHOD,
    J_FUNC,
    J_CYCLER,
    J_JOINER,
    J_BLOB, /* a Python object that can only be printed */
};

/* The origin of the bytes [begin, end) of a string. Bytes outside every span are text of the
 * template. Spans are in order, do not overlap and are never empty. */
struct jspan {
    uint32_t begin, end;
    uint32_t source; /* the number that the caller gave the source string; 0: template text
                      * inside {% generation %} */
    uint32_t offset; /* of the first byte in its source string */
    uint32_t flags;
};
enum { JSPAN_GENERATION = 1 };

/* The memory of a string that was made by appending, with room behind it: the next string that
 * appends to the longest one there takes the room and copies nothing. */
struct jtail {
    char *p;
    size_t n, cap; /* n: bytes of the longest string; SIZE_MAX: one is being made */
    struct jspan *spans;
    size_t nspans, spancap;
};

/* Immutable UTF-8, owned by an arena. The last span may end behind the string, where a longer one
 * continues it. */
struct jstr {
    const char *p;
    uint32_t n, nspans;
    const struct jspan *spans;
    struct jtail *tail; /* NULL: there is no room */
    bool markup;        /* markupsafe.Markup: a plain string that is added to it is escaped */
};

static inline struct str jstr_str(const struct jstr *s) { return (struct str){s->p, s->n}; }

struct jval {
    uint8_t kind;
    uint8_t aux; /* J_UNDEF: why | kind << UNDEF_SHIFT; J_VIEW: 'i' items, 'k' keys, 'v' values */
    union {
        bool truth;
        int64_t i;
        double f;
        const struct jstr *s; /* J_STR, J_BIG, J_BLOB */
        const struct jstr *name;
        struct jlist *list; /* J_LIST, J_TUPLE, J_VIEW */
        struct jdict *dict; /* J_DICT, J_NS */
        struct jiter *iter;
        struct jrange *range;
        struct jloop *loop;
        struct jmacro *macro;
        struct jmethod *method;
        const struct jfunc *func;
        struct jcycler *cycler; /* J_CYCLER, J_JOINER */
    } u;
};
enum undef_why { UNDEF_NAME, UNDEF_ATTR, UNDEF_UNSAFE, UNDEF_HINT, UNDEF_PARAM };
enum { UNDEF_SHIFT = 3 }; /* aux = enum undef_why | kind of the object << UNDEF_SHIFT */

struct jlist {
    struct jval *v;
    size_t n, cap;
    size_t *used;   /* elements of the longest list in this memory; NULL: this is the only one */
    uint32_t depth; /* 1 + the depth of its deepest element */
    bool group;     /* a tuple of groupby: its elements are called grouper and list */
};
struct jdict { /* keeps the order of insertion */
    struct jval *keys, *vals;
    size_t n, cap;
    uint32_t depth;
    bool decoded;    /* the caller has a text in place of it, or of a list that begins with it */
    uint32_t *slots; /* [nslots]: index + 1 of an entry, 0: free; NULL while n <= DICT_SMALL */
    size_t nslots;
};
struct jiter {
    struct jlist *list;
    size_t pos;
};
struct jrange {
    int64_t start, step, n;
};
struct jcycler {
    struct jlist *list;
    size_t pos;
    const struct jstr *sep;
};
struct jmethod {
    struct jval self;
    const struct jfunc *func;
};

/* Arguments of a call. jfunc_call() binds them: pos[i] is then parameter i, or J_MISSING. */
struct jargs {
    const struct jval *pos;
    size_t npos;
    const struct jstr *const *names;
    const struct jval *kw;
    size_t nkw;
};
struct vm;
/* A function, filter, test or method; self is the value before the filter or the dot. 0, or -1 with
 * the error set. */
typedef int jfn(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out);
struct jfunc {
    const char *name;
    jfn *fn;            /* NULL: Jinja has it, this engine does not */
    const char *params; /* names separated by spaces; NULL: arguments are not bound */
    int required;
};
enum { JARGS_MAX = 8 }; /* parameters of a built-in function */

/* The state of one rendering. */
struct vm {
    const struct jinja *t;
    struct arena *a;
    struct err *e;
    struct scope *scope;
    struct scope *top; /* the scope of the template itself */
    struct jbuild *out;
    int64_t clock;
    uint64_t steps;
    unsigned depth, macros;
    uint32_t line;
    bool printed_decoded; /* a decoded dict, or such a list, was printed as Python prints it */
};
enum {
    VM_MAX_DEPTH = 1500,  /* nesting of expressions and statements while rendering */
    VM_MAX_MACROS = 100,  /* nesting of macro calls */
    VM_MAX_NESTING = 300, /* nesting of lists and dicts */
    VM_MAX_RANGE = 100000 /* jinja2.sandbox.MAX_RANGE */
};
#define VM_MAX_STEPS  UINT64_C(10000000)
#define VM_MAX_OUTPUT ((size_t)16 << 20) /* bytes of any one string */
#define VM_MAX_MEMORY ((size_t)512 << 20)

/* ---- errors, work and memory (vm.c) ---- */
/* Sets ERR_DATA "line N: ..." and returns -1. */
int vm_fail(struct vm *vm, const char *fmt, ...) ERR_PRINTF(2, 3);
int vm_overflow(struct vm *vm); /* sets the error of an integer beyond 64 bits, returns -1 */
/* Counts the work on so many bytes. 0, or -1 with ERR_DATA when the budget is exhausted. A function
 * that reads all of a text or walks a list counts it, unless what it calls does, as jlist_add,
 * jval_elements, jval_eq, jval_compare and the string builder do. */
int vm_charge(struct vm *vm, size_t bytes);
/* The same for a walk over n values or names. */
int vm_charge_items(struct vm *vm, size_t n);
/* Allocates zeroed memory of the arena. NULL with the error set. */
void *vm_alloc(struct vm *vm, size_t count, size_t size);
/* Sets the error of using the undefined value v and returns -1. */
int vm_undefined(struct vm *vm, struct jval v);
/* Calls any callable value (macro.c). */
int vm_call(struct vm *vm, struct jval f, const struct jargs *a, struct jval *out);
/* ---- lists, dicts and equality (value.c); on failure -1 or NULL with the error set ---- */
static inline struct jval jval_kind(enum jkind k) { return (struct jval){.kind = (uint8_t)k}; }
static inline struct jval jval_none(void) { return jval_kind(J_NONE); }
static inline struct jval jval_bool(bool b) { return (struct jval){.kind = J_BOOL, .u.truth = b}; }
static inline struct jval jval_int(int64_t i) { return (struct jval){.kind = J_INT, .u.i = i}; }
static inline struct jval jval_float(double f) { return (struct jval){.kind = J_FLOAT, .u.f = f}; }
static inline struct jval jval_str(const struct jstr *s)
{
    return (struct jval){.kind = J_STR, .u.s = s};
}
struct jval jval_undef(enum undef_why why, enum jkind of, const struct jstr *name);
/* Makes a string without spans. The bytes are not copied and must live as long as the arena. */
int jval_text(struct vm *vm, const char *p, size_t n, struct jval *out);
struct jlist *jlist_new(struct vm *vm, size_t cap);
int jlist_add(struct vm *vm, struct jlist *l, struct jval v);
struct jval jval_list(struct jlist *l, enum jkind kind);
int jval_iter(struct vm *vm, struct jlist *l, struct jval *out);
int jval_pair(struct vm *vm, struct jval a, struct jval b, struct jval *out); /* the tuple (a, b) */
struct jdict *jdict_new(struct vm *vm);
int jdict_set(struct vm *vm, struct jdict *d, struct jval key, struct jval v);
/* Finds the value of a key; NULL when it is absent or the key cannot be hashed. */
struct jval *jdict_get(struct vm *vm, const struct jdict *d, struct jval key);
struct jval *jdict_getz(const struct jdict *d, struct str key);

bool jval_eq(struct vm *vm, struct jval a, struct jval b);

/* ---- types (type.c) ---- */
const char *jval_type(struct jval v); /* Python's name of the type */
bool jval_truth(struct jval v);
bool jval_is_int(struct jval v, int64_t *i); /* int or bool */
bool jval_is_real(struct jval v, double *f); /* int, bool or float */
bool jval_hashable(struct jval v);

/* ---- operators (ops.c, arith.c) ---- */
/* *order: -1, 0 or 1; 2 when one of them is NaN. */
int jval_compare(struct vm *vm, struct jval a, struct jval b, int *order);
int jval_contains(struct vm *vm, struct jval seq, struct jval v, bool *yes);
int jval_binary(struct vm *vm, int op, struct jval a, struct jval b, struct jval *out);
int jval_add(struct vm *vm, struct jval a, struct jval b, struct jval *out);

/* ---- sequences (seq.c), attributes and items (attr.c) ---- */
/* Makes the list that `list(v)` returns in Python; it consumes a generator. -1 with ERR_DATA when v
 * is not iterable. */
int jval_elements(struct vm *vm, struct jval v, struct jlist **out);
bool jval_iterable(struct jval v);
int jval_length(struct vm *vm, struct jval v, int64_t *n);
int jval_getattr(struct vm *vm, struct jval v, const struct jstr *name, struct jval *out);
int jval_getitem(struct vm *vm, struct jval v, struct jval key, struct jval *out);
int jval_slice(struct vm *vm, struct jval v, const struct jval part[3], struct jval *out);

/* ---- strings that record origins (build.c, str.c) ---- */
/* A string builder. jbuild_str() and the like keep the spans of what they append; a failure is
 * remembered until jbuild_done() returns -1. */
struct jbuild {
    struct vm *vm;
    char *p;
    size_t n, cap;
    struct jspan *spans;
    size_t nspans, spancap;
    struct jtail *tail; /* of jbuild_append */
    bool failed;
};
void jbuild_init(struct jbuild *b, struct vm *vm);
/* Begins with s, as jbuild_str, for a result that more is appended to later: a loop that appends
 * to one string takes time in proportion to what it appends. */
void jbuild_append(struct jbuild *b, struct vm *vm, const struct jstr *s);
void jbuild_bytes(struct jbuild *b, const char *p, size_t n); /* appends template text */
void jbuild_z(struct jbuild *b, const char *z);
void jbuild_str(struct jbuild *b, const struct jstr *s);
void jbuild_part(struct jbuild *b, const struct jstr *s, size_t from, size_t to);
/* Appends n bytes that were computed from bytes [from, to) of s and have their origin. */
void jbuild_derived(struct jbuild *b, const char *p, size_t n, const struct jstr *s, size_t from,
                    size_t to);
void jbuild_value(struct jbuild *b, struct jval v); /* appends str(v) (repr.c) */
int jbuild_done(struct jbuild *b, struct jval *out);

int jstr_part(struct vm *vm, const struct jstr *s, size_t from, size_t to, struct jval *out);
int jstr_concat(struct vm *vm, const struct jstr *a, const struct jstr *b, struct jval *out);
/* Sets *out to str(v); soft: Markup stays Markup, as in markupsafe.soft_str (repr.c). */
int jval_tostr(struct vm *vm, struct jval v, bool soft, const struct jstr **out);
/* Sets *out to s with JSPAN_GENERATION on every byte. */
int jstr_generation(struct vm *vm, const struct jstr *s, struct jval *out);
int jstr_escape(struct vm *vm, const struct jstr *s, struct jval *out); /* markupsafe.escape */
size_t jstr_chars(const struct jstr *s);                                /* number of code points */
size_t jstr_offset(const struct jstr *s, size_t chars); /* byte offset of a code point */
/* Returns the offset of the first or last occurrence of `find` in s[from, to), or SIZE_MAX. The
 * caller counts the work, once for successive searches in one text, with jstr_charge_find. */
int jstr_charge_find(struct vm *vm, const struct jstr *s, const struct jstr *find, bool last);
size_t jstr_find(const struct jstr *s, size_t from, size_t to, const struct jstr *find, bool last);
/* Sets the bounds of s without white space at its ends, or without the code points of `chars` where
 * it is not NULL. */
void jstr_strip(const struct jstr *s, const struct jstr *chars, bool left, bool right, size_t *from,
                size_t *to);
int jstr_split(struct vm *vm, const struct jstr *s, const struct jstr *sep, int64_t max, bool right,
               struct jlist **out);
int jstr_lines(struct vm *vm, const struct jstr *s, bool keep, struct jlist **out);
int jstr_replace(struct vm *vm, const struct jstr *s, const struct jstr *from,
                 const struct jstr *to, int64_t max, struct jval *out);
int jstr_join(struct vm *vm, const struct jstr *sep, const struct jlist *l, bool soft,
              struct jval *out);
enum jcase { JCASE_UPPER, JCASE_LOWER, JCASE_CAPITALIZE, JCASE_TITLE, JCASE_SWAP, JCASE_WORDS };
int jstr_case(struct vm *vm, const struct jstr *s, enum jcase how, struct jval *out);

/* ---- characters (char.c) ---- */
/* Decodes one code point. Malformed bytes decode as U+FFFD of length 1. */
uint32_t jchar_get(const char *p, size_t n, size_t *len);
size_t jchar_put(uint32_t c, char out[4]);
bool jchar_space(uint32_t c);                   /* str.isspace */
bool jchar_linebreak(uint32_t c);               /* str.splitlines */
bool jchar_letter(uint32_t c);                  /* str.isalpha */
bool jchar_decimal(uint32_t c);                 /* str.isdecimal */
bool jchar_digit(uint32_t c);                   /* str.isdigit */
bool jchar_numeric(uint32_t c);                 /* str.isnumeric */
bool jchar_word(uint32_t c);                    /* \w of Python's re: str.isalnum, or _ */
bool jchar_printable(uint32_t c);               /* str.isprintable */
uint32_t jchar_upper(uint32_t c, char more[8]); /* more: the UTF-8 of any further characters */
uint32_t jchar_lower(uint32_t c);
const char *jchar_title(uint32_t c); /* NULL: the same as its upper case */
bool jchar_cased(uint32_t c);

/* ---- values as text (repr.c, json.c, percent.c, format.c) ---- */
void jval_repr(struct jbuild *b, struct jval v, unsigned depth);
enum { JFLOAT_TEXT = 48 };
void jval_float_text(double f, char out[JFLOAT_TEXT]); /* Python's repr of a float */
struct json_style {
    bool ascii, sort;
    const struct jstr *indent;     /* of one level; NULL: everything on one line */
    const struct jstr *item, *key; /* separators */
};
int jval_json(struct jbuild *b, struct jval v, const struct json_style *style, unsigned depth);
int jval_percent(struct vm *vm, const struct jstr *format, struct jval args, struct jval *out);
int jval_format(struct vm *vm, const struct jstr *format, const struct jargs *a, struct jval *out);

/* ---- functions by name; NULL when there is none ---- */
const struct jfunc *jinja_filter(struct str name);
const struct jfunc *jinja_test(struct str name);
const struct jfunc *jinja_global(struct str name);
const struct jfunc *jinja_method(struct jval self, struct str name);
/* True for the methods that jinja2's ImmutableSandboxedEnvironment withholds. */
bool jinja_method_unsafe(struct jval self, struct str name);
/* Binds the arguments to the parameters of f and calls it (args.c). 0, or -1 with the error set. */
int jfunc_call(struct vm *vm, const struct jfunc *f, struct jval self, const struct jargs *a,
               struct jval *out);

#endif
