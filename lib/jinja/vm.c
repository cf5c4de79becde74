/* SPDX-License-Identifier: Apache-2.0 */
/* Errors, the work budget and the memory of a render. */
#include <stdarg.h>
#include <stdio.h>

#include "jinja/value.h"

int vm_fail(struct vm *vm, const char *fmt, ...)
{
    char text[1600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    for (char *p = text; *p; p++)
        if (*p == '\n') *p = ' ';
    return err_set(vm->e, ERR_DATA, "line %u: %s", (unsigned)vm->line, text);
}

int vm_charge(struct vm *vm, size_t bytes)
{
    vm->steps += bytes / 64 + 1;
    if (vm->steps <= VM_MAX_STEPS) return 0;
    return vm_fail(vm, "the template takes more than %llu steps", (unsigned long long)VM_MAX_STEPS);
}

int vm_charge_items(struct vm *vm, size_t n)
{
    enum { BYTES = 16 }; /* a step is the work on 64 */
    return vm_charge(vm, n < SIZE_MAX / BYTES ? n * BYTES : SIZE_MAX);
}

void *vm_alloc(struct vm *vm, size_t count, size_t size)
{
    size_t n;
    if (mem_mul(count, size, &n)) n = SIZE_MAX;
    if (vm->a->used > VM_MAX_MEMORY || n > VM_MAX_MEMORY) {
        vm_fail(vm, "the template needs more than %zu bytes of memory", VM_MAX_MEMORY);
        return NULL;
    }
    return arena_alloc(vm->a, n, vm->e);
}

int vm_overflow(struct vm *vm) { return vm_fail(vm, "an integer grows beyond 64 bits"); }
