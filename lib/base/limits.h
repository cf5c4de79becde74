/* SPDX-License-Identifier: Apache-2.0 */
/* The CPUs, the memory and the room on a disk that this process may use. */
#ifndef SFT_BASE_LIMITS_H
#define SFT_BASE_LIMITS_H

#include <stdint.h>

/* CPUs that affinity and the cgroup allow; at least 1. */
int limits_cpus(void);
/* Bytes that can be allocated without swapping: the least of the system's available memory, the
 * cgroup's and the resource limits'. UINT64_MAX when none is known. */
uint64_t limits_memory(void);

/* Bytes of the disk that this process can write below a folder, which need not be there yet, as far
 * as its file system tells. UINT64_MAX when it is not known. */
uint64_t limits_disk(const char *dir);

#endif
