/* SPDX-License-Identifier: Apache-2.0 */
/* Internal declarations of lib/hf: the reader of one object of config.json, and the keys that
 * differ between families. */
#ifndef SFT_HF_CONFIG_READ_H
#define SFT_HF_CONFIG_READ_H

#include "base/doc.h"
#include "base/json.h"
#include "hf/config.h"
#include "hf/family.h"

/* A reader of one object. It keeps the first failure, so that a run of gets needs one check.
 * `where` precedes key names in messages: "" or "rope_scaling.". */
struct reader {
    const struct json *object;
    const char *where;
    struct err *e;
    bool failed;
};
const struct json *reader_get(const struct reader *r, const char *key); /* NULL: absent or null */
/* Sets the message "KEY: must be WANTED", unless a failure is set already. */
void reader_fail(struct reader *r, const char *key, const char *wanted);
/* These leave *out unchanged when the key is absent or null. */
void reader_int(struct reader *r, const char *key, int64_t min, int64_t max, int64_t *out);
void reader_real(struct reader *r, const char *key, double min, double max, double *out);
void reader_bool(struct reader *r, const char *key, bool *out);
void reader_name(struct reader *r, const char *key, char out[HF_MAX_NAME]);
/* Copies v, which was read from the key, if it is a string that fits. */
void reader_copy_name(struct reader *r, const char *key, const struct json *v,
                      char out[HF_MAX_NAME]);

/* Returns the value of a field of c, and of which type it is in config.json. */
enum hf_field_type { HF_INTEGER, HF_REAL, HF_TRUTH };
double hf_field_get(const struct hf_config *c, enum hf_field field, enum hf_field_type *type);
/* Reads the keys of every family and those of c->family. */
void hf_read_keys(struct reader *r, struct hf_config *c);
/* Derives the sizes that config.json leaves out from the other sizes. */
void hf_resolve_sizes(struct reader *r, struct hf_config *c);
/* Finds the layers that have rotary positions. Needs the sizes. */
void hf_read_rope_layers(struct reader *r, struct hf_config *c);
/* Finds the layers that have a window. Needs the sizes and the layers with rotary positions. */
void hf_read_windows(struct reader *r, struct hf_config *c);
/* Finds the layers that have experts, and checks the sizes of these. Needs the sizes. */
void hf_read_sparse_layers(struct reader *r, struct hf_config *c);
/* Sets the fields that have one value in every family or in this one. */
void hf_set_fixed(const struct hf_family *f, struct hf_config *c);
/* Reads the rotary settings. Must follow hf_read_keys. */
void hf_read_rope(struct reader *r, struct hf_config *c);
/* Derives the rotary settings that config.json leaves out. Needs the sizes. */
void hf_resolve_rope(struct reader *r, struct hf_config *c);

#endif
