/* SPDX-License-Identifier: Apache-2.0 */
/* Reads names and patterns of modules, matches modules, and checks that every name has one. */
#include "adapter/targets.h"

#include <stdio.h>
#include <string.h>

/* ---- matching ---- */
static bool ends(const char *s, const char *tail)
{
    size_t n = strlen(s), m = strlen(tail);
    return n >= m && strcmp(s + n - m, tail) == 0;
}

static bool matches_pattern(struct targets *t, const char *module)
{
    struct regex_iter it;
    size_t begin, end;
    regex_allow(&t->mem, strlen(module));
    regex_iter_init(&it, t->pattern, &t->mem, module, strlen(module));
    int rc = regex_next(&it, &begin, &end, &t->why);
    t->failed |= rc < 0;
    return rc == 1;
}

/* peft's rule: a module of modules_to_save is found by the end of its name. */
bool targets_keeps_whole(struct targets *t, const char *module)
{
    const struct peft_names *saved = &t->whole;
    char part[PEFT_MAX_NAME];
    bool found = false;
    for (size_t n = 1; n <= strlen(module) && n < sizeof part; n++) {
        if (module[n] != '.' && module[n] != 0) continue;
        snprintf(part, sizeof part, "%.*s", (int)n, module);
        for (size_t i = 0; i < saved->n; i++) {
            if (!ends(part, saved->v[i])) continue;
            t->used[t->adapted.n + i] = true;
            found = true;
        }
    }
    return found;
}

static bool is_target(struct targets *t, const char *module)
{
    const struct peft_names *targets = &t->adapted;
    bool found = t->all || (t->pattern && matches_pattern(t, module));
    for (size_t i = 0; i < targets->n; i++) {
        if (!peft_is_named(module, strlen(module), targets->v[i])) continue;
        t->used[i] = found = true;
    }
    return found;
}

/* ---- experts ---- */
/* Returns true if the layer of the experts that has this role is a target by its own name, which is
 * that of transformers 4: "model.layers.0.mlp.experts.gate_proj". experts: its first n bytes are
 * the name without "gate_proj". */
static bool is_expert_target(struct targets *t, const char *experts, size_t n, enum hf_role role)
{
    char module[PEFT_MAX_NAME];
    const char *row = hf_row_find(t->model->family->tensors, role)->name;
    const char *end = strrchr(row, '.'), *last = end;
    while (last[-1] != '.') last--;
    snprintf(module, sizeof module, "%.*s%.*s", (int)n, experts, (int)(end - last), last);
    return is_target(t, module);
}

/* peft adapts gate and up as one, and so refuses one without the other. */
static bool adapts_experts(struct targets *t, const char *module, const char *last)
{
    const size_t n = (size_t)(last - module);
    if (strcmp(last, "down_proj") == 0) return is_expert_target(t, module, n, HF_ROLE_EXPERT_DOWN);
    const bool gate = is_expert_target(t, module, n, HF_ROLE_EXPERT_GATE);
    const bool up = is_expert_target(t, module, n, HF_ROLE_EXPERT_UP);
    t->half |= gate != up;
    return gate && up;
}

bool targets_adapts(void *arg, const char *module)
{
    struct targets *t = arg;
    const char *experts = strstr(module, ".mlp.experts.");
    const bool found = experts ? adapts_experts(t, module, experts + strlen(".mlp.experts."))
                               : is_target(t, module);
    return found && !targets_keeps_whole(t, module);
}

/* ---- reading ---- */
/* ROLL's rule: these characters make it a pattern and not a list. */
static bool is_pattern(const char *s) { return strpbrk(s, "*$|(") != NULL; }

/* Refuses syntax that Python's re and this program's engine (Oniguruma's syntax) read differently.
 */
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

/* The pattern has to match the whole name, as in re.fullmatch. */
static int make_pattern(struct targets *t, const char *p, struct err *e)
{
    struct buf b = {0};
    if (check_pattern(p, e)) return -1;
    buf_printf(&b, "\\A(?:%s)\\z", p);
    t->pattern = buf_check(&b, e) ? NULL : regex_compile((struct str){b.data, b.len}, e);
    buf_free(&b);
    if (t->pattern) return 0;
    if (e->code == ERR_DATA) e->code = ERR_CONFIG;
    return err_prefix(e, "sft_train.model_args.lora_target");
}

/* Splits a list at its commas and drops the white space around the names. */
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

/* Stores target_modules. all-linear becomes a list of the names that every layer has, as in peft.
 */
static int read_adapted(struct targets *t, const char *adapted, struct peft_config *c,
                        struct err *e)
{
    char names[HF_FAMILY_NAMES];
    if (t->all) adapted = hf_family_linear(t->model->family, &t->sizes, ",", ",", names);
    if (t->all || !is_pattern(adapted)) return split(&c->arena, adapted, &c->targets, e);
    c->pattern = arena_copy(&c->arena, adapted, strlen(adapted), e);
    return c->pattern ? make_pattern(t, adapted, e) : -1;
}

static bool has_name(const struct peft_names *list, const char *name)
{
    for (size_t i = 0; i < list->n; i++)
        if (strcmp(list->v[i], name) == 0) return true;
    return false;
}

/* The module of the tensor that holds a role: its name without ".weight". */
static const char *module_of(const struct targets *t, enum hf_role role, char out[PEFT_MAX_NAME])
{
    char name[HF_TENSOR_NAME];
    hf_name_of_role(t->model->family, hf_module_names(t->model->names), role, name);
    snprintf(out, PEFT_MAX_NAME, "%.*s", (int)(strlen(name) - strlen(".weight")), name);
    return out;
}

/* The embedding of a tied model is its head: either name stands for the embedding, and peft keeps
 * them one with ensure_weight_tying. */
static int tie(const struct targets *t, struct peft_config *c, struct err *e)
{
    char head[PEFT_MAX_NAME], embed[PEFT_MAX_NAME];
    module_of(t, HF_ROLE_HEAD, head);
    const char *dot = strrchr(module_of(t, HF_ROLE_EMBED, embed), '.');
    const char *last = dot ? dot + 1 : embed;
    const char *embedding = arena_copy(&c->arena, last, strlen(last), e);
    struct peft_names *saved = &c->saved, all = *saved;
    if (!embedding) return -1;
    for (size_t i = saved->n = 0; i < all.n; i++) {
        const bool one = ends(head, all.v[i]) || ends(embed, all.v[i]);
        const char *name = one ? embedding : all.v[i];
        if (!has_name(saved, name)) saved->v[saved->n++] = name;
    }
    c->tie = has_name(saved, embedding);
    return 0;
}

int targets_read(struct targets *t, const char *adapted, const char *whole, const struct model *m,
                 struct peft_config *c, struct err *e)
{
    *t = (struct targets){.model = m, .all = strcmp(adapted, "all-linear") == 0};
    model_sizes(m, &t->sizes);
    if ((whole && split(&c->arena, whole, &c->saved, e)) || read_adapted(t, adapted, c, e) ||
        (m->tied && tie(t, c, e)))
        return -1;
    t->adapted = c->targets;
    t->whole = c->saved;
    t->used = mem_alloc(c->targets.n + c->saved.n, sizeof *t->used, e);
    return t->used ? 0 : -1;
}

void targets_free(struct targets *t)
{
    regex_free(t->pattern);
    regex_mem_free(&t->mem);
    mem_free(t->used);
}

/* ---- checking ---- */
/* Refuses LoRA on the embedding and on the head, which would be another computation. */
static int check_ends(struct targets *t, struct err *e)
{
    static const enum hf_role roles[] = {HF_ROLE_HEAD, HF_ROLE_EMBED};
    char module[PEFT_MAX_NAME];
    for (size_t i = 0; i < 2; i++)
        if (!t->all && targets_adapts(t, module_of(t, roles[i], module)))
            return err_set(e, ERR_CONFIG,
                           "sft_train.model_args.lora_target: an adapter of %s is not supported; "
                           "additional_target: %s trains it as a whole",
                           module, module);
    return 0;
}

static int refuse_experts(const char *key, const char *module, struct err *e)
{
    return err_set(e, ERR_CONFIG,
                   "sft_train.model_args.%s: %s is not supported, nor is it by peft; see "
                   "docs/families.md",
                   key, module);
}

/* Returns true if lora_target names the module and nothing else. peft ignores a pattern's matches
 * among experts, which transformers has as one tensor. */
static bool names_only(struct targets *t, const char *module, bool expert)
{
    bool only = !expert && t->pattern && matches_pattern(t, module);
    for (size_t i = 0; i < t->adapted.n; i++)
        only |= !t->used[i] && peft_is_named(module, strlen(module), t->adapted.v[i]);
    return only;
}

/* Refuses the module of a row that has no adapter, also by the name that it had in transformers 4
 * without the number of the expert. */
static int check_row(struct targets *t, const struct hf_row *r, int layer, struct err *e)
{
    char own[HF_TENSOR_NAME], module[PEFT_MAX_NAME], all[PEFT_MAX_NAME], *number;
    const bool expert = hf_row_is_expert(r);
    hf_row_name(r->name, layer, 0, own, sizeof own);
    hf_name_in(hf_module_names(t->model->names), own, module, sizeof module);
    module[strlen(module) - strlen(".weight")] = 0;
    snprintf(all, sizeof all, "%s", module);
    if (expert && (number = strstr(all, "experts.0.")))
        memmove(number + strlen("experts"), number + strlen("experts.0"),
                strlen(number) - strlen("experts.0") + 1);
    const bool adapted = hf_row_is_adapted(r, &t->sizes, t->model->family->adapts_experts);
    if ((!adapted || strcmp(module, all) != 0) && !t->all && names_only(t, module, expert))
        return refuse_experts("lora_target", module, e);
    if (!adapted && !t->all && names_only(t, all, expert))
        return refuse_experts("lora_target", all, e);
    if (!hf_row_is_linear(r) && (targets_keeps_whole(t, module) || targets_keeps_whole(t, all)))
        return refuse_experts("additional_target", module, e);
    return 0;
}

/* Refuses what peft does not adapt either, or what would be another module there. */
static int check_experts(struct targets *t, struct err *e)
{
    const struct hf_row *begin, *end;
    if (t->half)
        return err_set(e, ERR_CONFIG,
                       "sft_train.model_args.lora_target: the layers gate and up of experts have "
                       "one adapter, as in peft; name both or neither");
    hf_rows_of(t->model->family->tensors, HF_LAYER, &begin, &end);
    for (int l = 0; l < t->sizes.layers; l++)
        for (const struct hf_row *r = begin; r < end; r++)
            if (hf_row_info(r)->kind == HF_PARAM_MATRIX && hf_row_exists(r, &t->sizes, l) &&
                (!hf_row_is_linear(r) || !hf_row_is_adapted(r, &t->sizes, true)) &&
                check_row(t, r, l, e))
                return -1;
    return 0;
}

/* The full name of a linear layer, as an example. */
static const char *first_linear(const struct targets *t, char out[PEFT_MAX_NAME])
{
    const struct hf_row *r, *end;
    char own[HF_TENSOR_NAME];
    hf_rows_of(t->model->family->tensors, HF_LAYER, &r, &end);
    while (r < end && !hf_row_is_linear(r)) r++;
    hf_row_name(r->name, 0, 0, own, sizeof own);
    hf_name_in(hf_module_names(t->model->names), own, out, PEFT_MAX_NAME);
    out[strlen(out) - strlen(".weight")] = 0;
    return out;
}

static void tell_unused(const struct targets *t, void (*say)(const char *text))
{
    char text[1000];
    for (size_t i = 0; i < t->adapted.n; i++) {
        if (t->used[i]) continue;
        snprintf(text, sizeof text, "lora_target: no layer is named %s", t->adapted.v[i]);
        say(text);
    }
}

int targets_check(struct targets *t, bool any, void (*say)(const char *text), struct err *e)
{
    const struct peft_names *saved = &t->whole;
    char names[HF_FAMILY_NAMES], example[PEFT_MAX_NAME];
    if (check_ends(t, e) || check_experts(t, e)) return -1;
    const enum err_code why = t->why.code == ERR_MEMORY ? ERR_MEMORY : ERR_CONFIG;
    if (t->failed) return err_set(e, why, "lora_target: %s", t->why.msg);
    if (!any)
        return err_set(e, ERR_CONFIG,
                       "sft_train.model_args.lora_target: no layer has such a name; there are %s, "
                       "for example %s",
                       hf_family_linear(t->model->family, &t->sizes, ", ", " and ", names),
                       first_linear(t, example));
    tell_unused(t, say);
    for (size_t i = 0; i < saved->n; i++)
        if (!t->used[t->adapted.n + i])
            return err_set(e, ERR_CONFIG,
                           "sft_train.model_args.additional_target: no module is named %s",
                           saved->v[i]);
    return 0;
}

bool targets_say_more(const struct targets *t)
{
    bool more = t->pattern != NULL;
    for (size_t i = 0; i < t->adapted.n; i++) more |= !t->used[i];
    return more;
}
