/* SPDX-License-Identifier: Apache-2.0 */
/* The names of variables that the renderer sets. */
#include "chat/chat.h"

bool chat_is_own_variable(struct str name)
{
    static const char *const own[] = {"messages", "tools", "add_generation_prompt", "chat_template",
                                      "continue_final_message"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (str_is(name, own[i])) return true;
    return false;
}
