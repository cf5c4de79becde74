/* SPDX-License-Identifier: Apache-2.0 */
/* How the threads of OpenMP wait for each other. */
#ifndef SFT_OPS_WAITS_H
#define SFT_OPS_WAITS_H

/* Lets a waiting thread spin for some microseconds, then sleep, unless the environment says how
 * threads wait. By default libgomp's threads spin for milliseconds, in which another process on the
 * CPU, or the thread they wait for, cannot run. libgomp reads the environment before main, so this
 * starts the program again with GOMP_SPINCOUNT set to `spins`, 1000 of which are 20 to 50
 * microseconds; if that fails, it returns and threads wait as by default. Call it first in main.
 * argv: the program's arguments, which end with NULL. */
void waits_short(char **argv, const char *spins);

#endif
