/* Checks a data directory in a child process: LMDB's own pages carry no checksum, so a damaged one can end the reader.
 */
#ifndef RANKD_DAEMON_VERIFY_H
#define RANKD_DAEMON_VERIFY_H

#include <stdio.h>

#include "daemon/config.h"

/* Forks before any LMDB environment is open in this process; the caller holds the directory's lock. Prints what it
 * finds to out. 0: whole (an empty directory is); -1: damaged or not readable. */
int verify_in_child(const struct config *c, FILE *out);

#endif
