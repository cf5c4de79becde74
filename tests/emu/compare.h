/* SPDX-License-Identifier: Apache-2.0 */
/* Relations of setp and set. */
#ifndef EMU_COMPARE_H
#define EMU_COMPARE_H

#include "emu.h"

enum { EQ, NE, LT, LE, GT, GE, EQU, NEU, LTU, LEU, GTU, GEU, NUM, NOT_A_NUMBER };
enum { COMBINE_NONE, COMBINE_AND, COMBINE_OR, COMBINE_XOR };

/* Takes the relation, the operator that combines it with a predicate, and .ftz. */
bool compare_relation(const char **p, struct instr *i);
/* Returns the relation r combined with a predicate's lanes c. */
uint32_t compare_combined(const struct instr *i, uint32_t r, uint32_t c);

#endif
