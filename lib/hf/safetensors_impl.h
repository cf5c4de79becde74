/* SPDX-License-Identifier: Apache-2.0 */
/* Internal declarations of the safetensors reader. */
#ifndef SFT_HF_SAFETENSORS_IMPL_H
#define SFT_HF_SAFETENSORS_IMPL_H

#include "base/io.h"
#include "base/mem.h"
#include "hf/safetensors.h"

struct safetensors_file {
    char *path;
    struct io_map map;
    const unsigned char *p; /* the whole file, n bytes */
    size_t n;
    const unsigned char *data; /* after the header */
    uint64_t data_bytes;
};

struct safetensors {
    struct safetensors_file *files;
    size_t nfiles, files_cap;
    struct hf_tensor *tensors; /* in file order */
    size_t count, cap;
    struct hf_tensor **by_name; /* sorted */
    struct arena names;
};

/* Reads the header of f and appends its tensors, in the order of their data, to s. */
int safetensors_read_header(struct safetensors *s, struct safetensors_file *f, struct err *e);

#endif
