/* Checks a data directory in a child process: LMDB's own pages carry no checksum, so a damaged one can end the reader.
 */
#ifndef RANKD_DAEMON_VERIFY_H
#define RANKD_DAEMON_VERIFY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>

#include "daemon/config.h"

enum verified {
    VERIFIED_WHOLE,   /* an empty directory is */
    VERIFIED_DAMAGED, /* or not readable */
    VERIFIED_FOREIGN, /* model.mdb is of another format, or not rankd's: it cannot be judged */
    VERIFIED_STOPPED, /* ended before all was read */
};

/* Forks before any LMDB environment is open in this process; the caller holds the directory's lock. Prints what it
 * finds to out. Ends soon after another thread has set *stop, which may be NULL. */
enum verified verify_in_child(const struct config *c, const _Atomic bool *stop, FILE *out);

#endif
