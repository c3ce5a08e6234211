#ifndef WORKER_RECALL_H
#define WORKER_RECALL_H

#include "base/status.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* What a node and one executor share, so that jobs which were sent together and
 * wait behind one that takes long can be taken back: the job that has begun
 * last, and the batch that is closed, of which no more may begin.  A batch goes
 * by the number of its first job. */
struct recall_page {
    _Atomic uint64_t word; /* begun, closed */
};

enum { RECALL_FD = 4 }; /* of the page, in an executor */

/* The node's: *fd is to be inherited by the executor as RECALL_FD. */
enum status recall_create(struct recall_page **out, int *fd, struct error *err);
/* The executor's; closes RECALL_FD. */
enum status recall_attach(struct recall_page **out, struct error *err);
void recall_free(struct recall_page *page); /* NULL is fine */

/* The executor's, before each job.  False: it is not to be run. */
bool recall_begin(struct recall_page *page, uint32_t batch, uint32_t job);

/* The node's. */
uint32_t recall_begun(const struct recall_page *page);
/* Whether that number is the one that was closed last (0: none was): no batch
 * may go by it. */
bool recall_is_closed(const struct recall_page *page, uint32_t batch);
/* Closes batch if begun, one of its jobs, is still the last that has begun. All
 * that were sent before must be done with. */
bool recall_close(struct recall_page *page, uint32_t batch, uint32_t begun);

#endif
