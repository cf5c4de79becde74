/* SPDX-License-Identifier: Apache-2.0 */
/* Inside lib/hf: reading one object of config.json, and the parts that differ between families. */
#ifndef SFT_HF_CONFIG_READ_H
#define SFT_HF_CONFIG_READ_H

#include "base/json.h"
#include "hf/config.h"

/* A reader over one object that remembers the first failure, so that a run of gets needs one
 * check. `where` is put before key names in messages: "" or "rope_scaling.". */
struct reader {
    const struct json *object;
    const char *where;
    struct err *e;
    bool failed;
};
/* NULL when absent or null. */
const struct json *reader_get(const struct reader *r, const char *key);
/* wanted: what the value must be. */
void reader_fail(struct reader *r, const char *key, const char *wanted);
/* These leave *out when the key is absent or null. */
void reader_int(struct reader *r, const char *key, int64_t min, int64_t max, int64_t *out);
void reader_real(struct reader *r, const char *key, double min, double max, double *out);
void reader_bool(struct reader *r, const char *key, bool *out);
void reader_name(struct reader *r, const char *key, char out[HF_MAX_NAME]);

/* The keys of every family and those of c->family; then, after the other sizes, the sizes that
 * they leave to follow from those; then which layers have a window. */
void hf_read_keys(struct reader *r, struct hf_config *c);
void hf_resolve_sizes(struct reader *r, struct hf_config *c);
void hf_read_windows(struct reader *r, struct hf_config *c);
/* Sets the fields that have one value throughout the family. */
void hf_set_fixed(const struct hf_family *f, struct hf_config *c);
/* The rotary settings as they stand, after hf_read_keys; then, after the sizes, what they leave
 * open. */
void hf_read_rope(struct reader *r, struct hf_config *c);
void hf_resolve_rope(struct reader *r, struct hf_config *c);

#endif
