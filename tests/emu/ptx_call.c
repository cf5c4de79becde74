#include "emu.h"
bool decode_call(struct instr *i) { (void)i; return false; }
