/* SPDX-License-Identifier: Apache-2.0 */
/* Which layers get an adapter, and which modules are trained as a whole: lora_target and
 * additional_target, read as ROLL reads them and matched as peft matches them. */
#include "adapter.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "text/regex.h"

struct adapter {
    struct peft_config config; /* what a checkpoint says of itself */
    struct peft *from;         /* where training begins; NULL: anew */
    bool on, all, tied;        /* all: every linear layer of the layers */
    struct regex *pattern;
    struct regex_mem mem;
    bool *used; /* of config.targets, then of config.saved: it named something */
    struct err why;
    bool failed; /* a pattern took too many steps */
};

/* ---- matching ---- */
static bool ends(const char *s, const char *tail)
{
    size_t n = strlen(s), m = strlen(tail);
    return n >= m && strcmp(s + n - m, tail) == 0;
}

/* Part of a dotted name, or the name: peft's "name is x or ends in .x". */
static bool is_tail(const char *module, const char *name)
{
    size_t n = strlen(module), m = strlen(name);
    return ends(module, name) && (n == m || module[n - m - 1] == '.');
}

static bool matches_pattern(struct adapter *a, const char *module)
{
    struct regex_iter it;
    size_t begin, end;
    regex_iter_init(&it, a->pattern, &a->mem, module, strlen(module));
    int rc = regex_next(&it, &begin, &end, &a->why);
    a->failed |= rc < 0;
    return rc == 1;
}

/* The module, or one that holds it, is named in modules_to_save; as peft, by the end of the name.
 */
static bool is_whole(struct adapter *a, const char *module)
{
    const struct peft_names *saved = &a->config.saved;
    char part[PEFT_MAX_NAME];
    bool found = false;
    for (size_t n = 1; n <= strlen(module) && n < sizeof part; n++) {
        if (module[n] != '.' && module[n] != 0) continue;
        snprintf(part, sizeof part, "%.*s", (int)n, module);
        for (size_t i = 0; i < saved->n; i++) {
            if (!ends(part, saved->v[i])) continue;
            a->used[a->config.targets.n + i] = true;
            found = true;
        }
    }
    return found;
}

static bool is_target(struct adapter *a, const char *module)
{
    const struct peft_names *targets = &a->config.targets;
    bool found = a->all || (a->pattern && matches_pattern(a, module));
    for (size_t i = 0; i < targets->n; i++) {
        if (!is_tail(module, targets->v[i])) continue;
        a->used[i] = found = true;
    }
    return found;
}

static bool target(void *arg, const char *module)
{
    struct adapter *a = arg;
    return is_target(a, module) && !is_whole(a, module);
}

/* A parameter of the base; of a tied model the embedding is lm_head too. */
static bool frozen(void *arg, const char *name)
{
    struct adapter *a = arg;
    char module[PEFT_MAX_NAME];
    const char *dot = strrchr(name, '.');
    if (a->from) return !peft_find(a->from, PEFT_SAVED, name);
    snprintf(module, sizeof module, "%.*s", (int)(dot ? dot - name : 0), name);
    return !is_whole(a, module);
}

/* ---- what the configuration says ---- */

/* ROLL's rule for a pattern. */
static bool is_pattern(const char *s) { return strpbrk(s, "*$|(") != NULL; }

/* What Python's re and this program's engine (Oniguruma's syntax) read differently. */
static int check_pattern(const char *p, struct err *e)
{
    static const char *const differs[] = {"(?P", "(?m", "(?s", "(?x", "(?a", "(?u", "(?L", "(?-",
                                          "\\p", "\\P", "\\h", "\\H", "\\R", "\\X", "\\K", "\\G",
                                          "\\O", "\\N", "\\Z", "&&",  "[[",  "}+"};
    for (size_t i = 0; i < sizeof differs / sizeof *differs; i++)
        if (strstr(p, differs[i]))
            return err_set(e, ERR_CONFIG,
                           "sft_train.model_args.lora_target: %s: a pattern with %s is not "
                           "supported; name the layers in a list",
                           p, differs[i]);
    return 0;
}

/* re.fullmatch: the whole name. */
static int make_pattern(struct adapter *a, const char *p, struct err *e)
{
    struct buf b = {0};
    if (check_pattern(p, e)) return -1;
    buf_printf(&b, "\\A(?:%s)\\z", p);
    a->pattern = buf_check(&b, e) ? NULL : regex_compile((struct str){b.data, b.len}, e);
    buf_free(&b);
    if (a->pattern) return 0;
    if (e->code == ERR_DATA) e->code = ERR_CONFIG;
    return err_prefix(e, "sft_train.model_args.lora_target");
}

/* The parts of a comma-separated list, without the white space around them. */
static int split(struct arena *arena, const char *list, struct peft_names *out, struct err *e)
{
    size_t most = 1;
    for (const char *p = list; *p; p++) most += *p == ',';
    *out = (struct peft_names){.v = arena_alloc(arena, most * sizeof *out->v, e)};
    if (!out->v) return -1;
    for (const char *p = list; *p; p += *p == ',') {
        p += strspn(p, " \t");
        size_t n = strcspn(p, ","), used = n;
        while (used && (p[used - 1] == ' ' || p[used - 1] == '\t')) used--;
        if (used && !(out->v[out->n++] = arena_copy(arena, p, used, e))) return -1;
        p += n;
    }
    return 0;
}

/* What is the same for every layer, as peft lists it in place of all-linear. */
static int all_linear(struct adapter *a, struct err *e)
{
    a->all = true;
    return split(&a->config.arena, "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj",
                 &a->config.targets, e);
}

static int read_keys(struct adapter *a, const struct config *c, struct err *e)
{
    struct peft_config *p = &a->config;
    const char *targets = c->sft_train.model_args.lora_target;
    const char *whole = c->sft_train.model_args.additional_target;
    p->rank = c->sft_train.model_args.lora_rank;
    p->alpha = c->sft_train.model_args.lora_alpha;
    if (!(p->alpha > 0)) p->alpha = 2 * (double)p->rank;
    p->dropout = c->sft_train.model_args.lora_dropout;
    p->rslora = c->sft.rslora;
    if (whole && split(&p->arena, whole, &p->saved, e)) return -1;
    if (strcmp(targets, "all-linear") == 0) return all_linear(a, e);
    if (!is_pattern(targets)) return split(&p->arena, targets, &p->targets, e);
    p->pattern = arena_copy(&p->arena, targets, strlen(targets), e);
    return p->pattern ? make_pattern(a, targets, e) : -1;
}

static bool has_name(const struct peft_names *list, const char *name)
{
    for (size_t i = 0; i < list->n; i++)
        if (strcmp(list->v[i], name) == 0) return true;
    return false;
}

/* One matrix is both: peft keeps them one with ensure_weight_tying, by the embedding's name. */
static void tie(struct adapter *a)
{
    static const char embedding[] = "embed_tokens";
    struct peft_names *saved = &a->config.saved, all = *saved;
    if (!a->tied) return;
    for (size_t i = saved->n = 0; i < all.n; i++) {
        const bool one = ends("lm_head", all.v[i]) || ends("model.embed_tokens", all.v[i]);
        const char *name = one ? embedding : all.v[i];
        if (!has_name(saved, name)) saved->v[saved->n++] = name;
    }
    a->config.tie = has_name(saved, embedding);
}

static int begin_from(struct adapter *a, const char *path, struct err *e)
{
    a->from = peft_open(path, e);
    return a->from ? 0 : err_prefix(e, "sft_train.model_args.adapter_name_or_path");
}

struct adapter *adapter_new(const struct config *c, const struct model *m, struct err *e)
{
    struct adapter *a = mem_alloc(1, sizeof *a, e);
    const char *path = c->sft_train.model_args.adapter_name_or_path;
    int rc = a ? 0 : -1;
    if (rc == 0) {
        a->tied = m->tied;
        a->on = path || c->sft_train.model_args.lora_target;
    }
    if (rc == 0 && path) rc = begin_from(a, path, e);
    if (rc == 0 && !path && a->on) rc = read_keys(a, c, e);
    if (rc == 0) {
        tie(a);
        a->used = mem_alloc(a->config.targets.n + a->config.saved.n, sizeof *a->used, e);
        rc = a->used ? 0 : -1;
    }
    if (rc == 0) return a;
    adapter_free(a);
    return NULL;
}

void adapter_free(struct adapter *a)
{
    if (!a) return;
    regex_free(a->pattern);
    regex_mem_free(&a->mem);
    peft_close(a->from);
    peft_config_free(&a->config);
    mem_free(a->used);
    mem_free(a);
}

void adapter_options(struct adapter *a, const struct config *c, struct params_options *o)
{
    if (!a->on) return;
    o->frozen = frozen;
    o->arg = a;
    if (a->from) {
        o->lora = lora_of_peft(a->from);
        o->lora.dropout = a->from->config.dropout;
    } else {
        o->lora = (struct lora_options){.rank = a->config.rank,
                                        .scale = peft_scale(&a->config),
                                        .dropout = a->config.dropout,
                                        .target = target,
                                        .arg = a};
    }
    o->lora.seed = (uint64_t)c->seed;
}

bool adapter_on(const struct adapter *a) { return a->on; }

/* ---- afterwards: what was found ---- */

/* LoRA on the embedding or the projection to the vocabulary is another computation. */
static int check_ends(struct adapter *a, struct err *e)
{
    static const char *const modules[] = {"lm_head", "model.embed_tokens"};
    for (size_t i = 0; i < 2; i++)
        if (!a->all && target(a, modules[i]))
            return err_set(e, ERR_CONFIG,
                           "sft_train.model_args.lora_target: an adapter of %s is not supported; "
                           "additional_target: %s trains it as a whole",
                           modules[i], modules[i]);
    return 0;
}

static int check_used(struct adapter *a, bool any, struct err *e)
{
    const struct peft_names *targets = &a->config.targets, *saved = &a->config.saved;
    if (a->failed) return err_set(e, ERR_CONFIG, "lora_target: %s", a->why.msg);
    if (!any)
        return err_set(e, ERR_CONFIG,
                       "sft_train.model_args.lora_target: no layer has such a name; there are "
                       "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj and down_proj, for "
                       "example model.layers.0.self_attn.q_proj");
    for (size_t i = 0; i < targets->n; i++)
        if (!a->used[i]) log_line(LOG_WARN, "lora_target: no layer is named %s", targets->v[i]);
    for (size_t i = 0; i < saved->n; i++)
        if (!a->used[targets->n + i])
            return err_set(e, ERR_CONFIG,
                           "sft_train.model_args.additional_target: no module is named %s",
                           saved->v[i]);
    return 0;
}

/* Whether lora_target says more than which layers: peft holds it against every module there is, and
 * fails where it means one that is not a linear layer. */
static bool says_more(const struct adapter *a)
{
    const struct peft_names *targets = &a->config.targets;
    bool more = a->pattern != NULL;
    for (size_t i = 0; i < targets->n; i++) more |= !a->used[i];
    return more;
}

/* "model.layers.0.self_attn.q_proj" for each layer that has an adapter. */
static int list_layers(const struct params *t, struct peft_config *c, struct err *e)
{
    c->pattern = NULL;
    c->targets = (struct peft_names){.v = arena_alloc(&c->arena, t->count * sizeof(char *), e)};
    if (!c->targets.v) return -1;
    for (size_t i = 0; i < t->count; i++) {
        const char *tail = strstr(t->p[i].name, ".lora_A.");
        if (!tail) continue;
        const char *name = arena_copy(&c->arena, t->p[i].name, (size_t)(tail - t->p[i].name), e);
        if (!name) return -1;
        c->targets.v[c->targets.n++] = name;
    }
    return 0;
}

int adapter_check(struct adapter *a, const struct config *c, const struct params *t, struct err *e)
{
    bool any = false;
    struct peft_config *p = a->from ? &a->from->config : &a->config;
    if (!a->on) return 0;
    for (size_t i = 0; i < t->count; i++) any |= t->p[i].adapter;
    if (!a->from && (check_ends(a, e) || check_used(a, any, e))) return -1;
    if ((a->from ? p->fewer : says_more(a)) && list_layers(t, p, e)) return -1;
    p->base = arena_copy(&p->arena, c->run.model, strlen(c->run.model), e);
    return p->base ? 0 : -1;
}

const struct peft_config *adapter_config(const struct adapter *a)
{
    return !a->on ? NULL : a->from ? &a->from->config : &a->config;
}

int adapter_same(const struct adapter *a, const char *checkpoint, struct err *e)
{
    struct peft_config has = {0};
    char *dir;
    int rc = 0;
    if (!a->on || !peft_find_dir(checkpoint, &dir)) return 0; /* restoring says what is missing */
    const struct peft_config *want = adapter_config(a);
    /* one that cannot be read is damaged, which restoring finds too */
    if (peft_config_read(dir, &has, NULL) == 0 &&
        (has.rank != want->rank || has.dropout < want->dropout || has.dropout > want->dropout ||
         peft_scale(&has) < peft_scale(want) || peft_scale(&has) > peft_scale(want)))
        rc = err_set(e, ERR_CONFIG,
                     "%s: made with rank %lld, alpha %g, dropout %g%s; resume with the lora_rank, "
                     "lora_alpha, lora_dropout and sft.rslora that it was made with",
                     checkpoint, (long long)has.rank, has.alpha, has.dropout,
                     has.rslora ? ", rank-stabilised" : "");
    peft_config_free(&has);
    mem_free(dir);
    return rc;
}

int adapter_load(const struct adapter *a, const struct config *c, const struct safetensors *base,
                 struct trainer *t, struct err *e)
{
    void *master = optimizer_has_master(&t->optimizer) ? t->optimizer.master : NULL;
    if (!a->on) return 0;
    if (!a->from) return lora_start(&t->net, (uint64_t)c->seed, master, e);
    return peft_check(a->from, base, a->tied, e) ? -1 : lora_load(&t->net, a->from, master, e);
}
