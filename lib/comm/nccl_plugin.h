/* SPDX-License-Identifier: Apache-2.0 */
/* The interface of the second part of the plugin cuda.so: messages between GPUs by NCCL, and the
 * kernel that reduces them. */
#ifndef SFT_COMM_NCCL_PLUGIN_H
#define SFT_COMM_NCCL_PLUGIN_H

#include "base/err.h"
#include "ops/ops.h"

/* Must change with everything below: a plugin with another version is refused. */
enum { NCCL_PLUGIN_VERSION = 1 };
#define NCCL_PLUGIN_SYMBOL "sft_nccl_plugin"

enum { NCCL_ID_BYTES = 128, NCCL_NOTES = 512 };
struct nccl_group; /* an open communicator */

/* Functions return 0, or a code for explain(); they are called from one thread. Those that queue
 * work put it into QUEUE_COMM of the device, whatever its own queue is. After open, end, gather,
 * broadcast and finalize the caller calls `settled` until *done: NCCL completes them meanwhile, and
 * takes no other call. Buffers are device memory, sizes in bytes. */
struct nccl_plugin {
    int version; /* NCCL_PLUGIN_VERSION */
    /* Loads libnccl.so.2. -1 with ERR_DEVICE and a message that says what to install. */
    int (*load)(struct err *e);
    /* Makes the id of a communicator, NCCL_ID_BYTES, which all its ranks pass to open. */
    int (*identify)(void *id);
    int (*open)(struct device *d, const void *id, int ranks, int rank, struct nccl_group **g);
    int (*settled)(struct nccl_group *g, bool *done);
    /* Begin and end messages that are exchanged at the same time, or groups that are aborted so. */
    int (*begin)(void);
    int (*send)(struct nccl_group *g, const void *src, size_t bytes, int to);
    int (*receive)(struct nccl_group *g, void *dst, size_t bytes, int from);
    int (*end)(void);
    /* dst = src of all ranks in rank order; src may be this rank's block of dst. */
    int (*gather)(struct nccl_group *g, void *dst, const void *src, size_t bytes_each);
    int (*broadcast)(struct nccl_group *g, void *buf, size_t bytes, int root);
    int (*copy)(struct nccl_group *g, void *dst, const void *src, size_t bytes);
    /* into[n] = the reduction, in rank order, of own[n] and the other ranks' blocks others[n]. */
    int (*fold)(struct nccl_group *g, void *into, const void *own, const void *others, size_t n,
                enum dtype t, bool largest);
    /* Marks a point of the queue, in slot 0 .. NCCL_NOTES - 1. */
    int (*note)(struct nccl_group *g, int slot);
    /* *reached: the device has come to that point. */
    int (*noted)(struct nccl_group *g, int slot, bool *reached);
    int (*finalize)(struct nccl_group *g);
    void (*close)(struct nccl_group *g); /* after finalize */
    /* Ends what the device still does for this group, at any time, and closes the group. */
    void (*abort)(struct nccl_group *g);
    void (*explain)(int code, char *text, size_t size); /* one line */
};

#endif
