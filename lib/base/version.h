/* SPDX-License-Identifier: Apache-2.0 */
/* The version of the program. */
#ifndef SFT_BASE_VERSION_H
#define SFT_BASE_VERSION_H

/* "0.1.0", or what `git describe` makes of the last tag, such as "1.2.0-5-g29b7b07". */
extern const char sft_version[];
/* The commit that was built, with "-dirty" if files had changed; "" if it is not known. */
extern const char sft_commit[];

#endif
