/* SPDX-License-Identifier: Apache-2.0 */
/* Begins a new adapter, or goes on with an existing one. */
#include "adapter/adapter.h"

#include <stdio.h>
#include <string.h>

#include "adapter/targets.h"
#include "base/mem.h"
#include "model/lora.h"

struct adapter {
    struct adapter_options o;
    struct peft *from;          /* the adapter to go on from; NULL: a new one, */
    struct peft_config anew;    /*   with this configuration */
    struct targets targets;     /*   of these modules */
    struct peft_config *config; /* of either; NULL: there is no adapter */
    const struct model *model;
};

/* For params_options: true for a parameter of the base that is not trained as a whole. The
 * embedding of a tied model is lm_head too. */
static bool frozen(void *arg, const char *name)
{
    struct adapter *a = arg;
    char module[PEFT_MAX_NAME];
    const char *dot = strrchr(name, '.');
    if (a->from) return !peft_find(a->from, PEFT_SAVED, name);
    snprintf(module, sizeof module, "%.*s", (int)(dot ? dot - name : 0), name);
    return !targets_keeps_whole(&a->targets, module);
}

static int begin_anew(struct adapter *a, struct err *e)
{
    struct peft_config *p = a->config = &a->anew;
    p->rank = a->o.rank;
    p->alpha = a->o.alpha > 0 ? a->o.alpha : 2 * (double)p->rank;
    p->dropout = a->o.dropout;
    p->rslora = a->o.rslora;
    return targets_read(&a->targets, a->o.target, a->o.whole, a->model, p, e);
}

static int go_on(struct adapter *a, struct err *e)
{
    a->from = peft_open(a->o.path, e);
    if (!a->from) return err_prefix(e, "sft_train.model_args.adapter_name_or_path");
    a->config = &a->from->config;
    return 0;
}

struct adapter *adapter_new(const struct adapter_options *o, const struct model *m, struct err *e)
{
    struct adapter *a = mem_alloc(1, sizeof *a, e);
    if (!a) return NULL;
    a->o = *o;
    a->model = m;
    int rc = o->path ? go_on(a, e) : o->target ? begin_anew(a, e) : 0;
    if (rc == 0) return a;
    adapter_free(a);
    return NULL;
}

void adapter_free(struct adapter *a)
{
    if (!a) return;
    targets_free(&a->targets);
    peft_close(a->from);
    peft_config_free(&a->anew);
    mem_free(a);
}

bool adapter_on(const struct adapter *a) { return a->config; }

const struct peft_config *adapter_config(const struct adapter *a) { return a->config; }

void adapter_params(struct adapter *a, struct params_options *o)
{
    if (!adapter_on(a)) return;
    o->frozen = frozen;
    o->arg = a;
    o->lora = a->from ? lora_of_peft(a->from)
                      : (struct lora_options){.rank = a->anew.rank,
                                              .scale = peft_scale(&a->anew),
                                              .target = targets_adapts,
                                              .arg = &a->targets};
    o->lora.dropout = a->config->dropout;
    o->lora.seed = a->o.seed;
}

/* Adds the layer with the adapter p to the names of layers, or of parameters. */
static int list_layer(struct peft_config *c, const struct param *p, size_t n, struct err *e)
{
    char name[PEFT_MAX_NAME];
    const bool router = p->routed && !p->experts;
    struct peft_names *to = p->routed ? &c->parameters : &c->targets;
    const int size =
        snprintf(name, sizeof name, "%.*s%s", (int)n, p->name, router ? ".weight" : "");
    to->v[to->n] = arena_copy(&c->arena, name, (size_t)size, e);
    return to->v[to->n++] ? 0 : -1;
}

/* Lists each layer that has an adapter by its full name, "model.layers.0.self_attn.q_proj". */
static int list_layers(const struct params *t, struct peft_config *c, struct err *e)
{
    const char **v = arena_alloc(&c->arena, t->count * sizeof *v, e);
    const char **w = arena_alloc(&c->arena, t->count * sizeof *w, e);
    if (!v || !w) return -1;
    c->pattern = NULL;
    c->targets = (struct peft_names){.v = v};
    c->parameters = (struct peft_names){.v = w};
    for (size_t i = 0; i < t->count; i++) {
        const char *tail = strstr(t->p[i].name, ".lora_A.");
        if (tail && list_layer(c, &t->p[i], (size_t)(tail - t->p[i].name), e)) return -1;
    }
    return 0;
}

/* peft cannot drop inputs of an adapter that it adds to the matrix. */
static int check_dropout(const struct adapter *a, bool routed, struct err *e)
{
    if (!routed || a->config->dropout <= 0) return 0;
    return err_set(e, ERR_CONFIG,
                   "sft_train.model_args.lora_dropout: adapters of a router and of experts have no "
                   "dropout, nor have they in peft; set it to 0, or name other layers in "
                   "lora_target");
}

int adapter_check(struct adapter *a, const struct params *t, const char *base,
                  void (*say)(const char *text), struct err *e)
{
    bool any = false, routed = false, gate_up = false;
    struct peft_config *p = a->config;
    if (!p) return 0;
    for (size_t i = 0; i < t->count; i++) {
        any |= t->p[i].adapter;
        routed |= t->p[i].routed;
        gate_up |= t->p[i].experts && strstr(t->p[i].name, ".gate_up_proj.");
    }
    if (!a->from && targets_check(&a->targets, any, say, e)) return -1;
    if (check_dropout(a, routed, e)) return -1;
    /* the other parts of a multimodal model have modules of the same short names */
    const bool shell = a->model->names != HF_NAMES_OWN;
    const bool more = a->from ? p->fewer : shell || routed || targets_say_more(&a->targets);
    if (more && list_layers(t, p, e)) return -1;
    if (!a->from) p->twice = gate_up;
    p->base = arena_copy(&p->arena, base, strlen(base), e);
    return p->base ? 0 : -1;
}

int adapter_same(const struct adapter *a, const char *checkpoint, struct err *e)
{
    struct peft_config has = {0};
    char *dir;
    const int found = adapter_on(a) ? peft_find_dir(checkpoint, &dir, e) : 0;
    if (found <= 0) return found; /* restoring reports a missing one */
    const struct peft_config *want = a->config;
    int rc = peft_config_read(dir, &has, e);
    if (rc == 0 &&
        (has.rank != want->rank || has.dropout < want->dropout || has.dropout > want->dropout ||
         peft_scale(&has) < peft_scale(want) || peft_scale(&has) > peft_scale(want)))
        rc = err_set(e, ERR_CONFIG,
                     "%s: made with rank %lld, alpha %g, dropout %g%s; resume with the lora_rank, "
                     "lora_alpha, lora_dropout and sft.rslora that it was made with",
                     checkpoint, (long long)has.rank, has.alpha, has.dropout,
                     has.rslora ? ", rank-stabilised" : "");
    else if (rc && e->code == ERR_DATA)
        rc = 0; /* restoring reports damage */
    peft_config_free(&has);
    mem_free(dir);
    return rc;
}

int adapter_other_base(const struct adapter *a, const char *checkpoint, const char *id,
                       struct err *e)
{
    char was[HASH128_HEX], *dir = NULL;
    const char *from = a->from ? a->from->dir : NULL;
    if (checkpoint && peft_find_dir(checkpoint, &dir, e) < 0) return -1;
    if (checkpoint) from = dir;
    const int known = from ? peft_base_read(from, was, e) : 0;
    mem_free(dir);
    if (known < 0 && checkpoint && e->code == ERR_DATA) return 0; /* restoring reports damage */
    return known > 0 ? strcmp(was, id) != 0 : known;
}

int adapter_load(const struct adapter *a, const struct safetensors *base, struct weights *w,
                 const struct weights_state *master, struct err *e)
{
    if (!adapter_on(a)) return 0;
    if (!a->from) return lora_start(w, a->o.seed, master, e);
    const struct model *m = a->model;
    if (peft_check(a->from, base, m->family, m->names, m->tied, e)) return -1;
    return lora_load(w, a->from, master, e);
}
