/* SPDX-License-Identifier: Apache-2.0 */
/* The version where no tag tells one. Commands are linked with what tools/version found instead of
 * this file; so a commit links nothing else anew. */
#include "base/version.h"

const char sft_version[] = "0.1.0";
const char sft_commit[] = "";
