/* Cluster bootstrap: how far sums over cases would move had other users come, or other days been watched.
 *
 * Cases of one user, and cases of one day, move together; drawing single cases would promise too much. Whole clusters
 * are drawn instead, with replacement (Davison and Hinkley 1997, section 3.8), one fewer than there are, which makes
 * the variance of a sum unbiased (Rao and Wu 1988). Draws depend on a seed and their number alone. */
#ifndef RANKD_EVAL_BOOT_H
#define RANKD_EVAL_BOOT_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/eval/outcome.h"

#define BOOT_CLUSTERS_MOST  4096 /* more users than this are put into as many groups, by a hash of the user */
#define BOOT_BLOCKS         50   /* blocks of time when there are too few days */
#define BOOT_DAYS_LEAST     10
#define BOOT_CASES_A_BLOCK  10 /* a short log has fewer blocks, so that each has about this many cases */
#define BOOT_CLUSTERS_LEAST 5  /* with fewer nothing can be said */

struct boot_clusters {
    uint32_t n;   /* clusters, 0 without cases; every number below n occurs */
    uint32_t *of; /* (cases) the cluster of each */
};

/* Of cases [from, to). Groups of users are as good as users: s.e. of their own relative error 1 / sqrt(2 * 4096) = 1 %.
 * ERR_NOMEM. */
int boot_by_user(const struct outcome_set *s, size_t from, size_t to, struct boot_clusters *out,
                 struct err *e) ERR_MUST_CHECK;
/* Days (UTC) when cases fall on BOOT_DAYS_LEAST or more, otherwise BOOT_BLOCKS runs of cases of the same number,
 * moments kept whole. ERR_NOMEM. */
int boot_by_time(const struct outcome_set *s, size_t from, size_t to, struct boot_clusters *out,
                 struct err *e) ERR_MUST_CHECK;
void boot_clusters_free(struct boot_clusters *c);

/* draws times the sum over n - 1 clusters drawn: sums (n, n_columns), out (draws, n_columns). n at least 2. ERR_NOMEM.
 */
int boot_draw(const double *sums, uint32_t n, size_t n_columns, unsigned draws, uint64_t seed, double *out,
              struct err *e) ERR_MUST_CHECK;

#endif
