#ifndef WORKER_RETRY_H
#define WORKER_RETRY_H

#include "lovage/task.h"
#include "worker/outcome.h"

enum { RETRY_FOR_EVER = -1 };

/* The definition's max_retries: 0 means Celery's 3. */
int retry_max(const struct lovage_task_def *def);
double retry_default_delay(const struct lovage_task_def *def); /* s */
/* Celery's get_exponential_backoff_interval: base * 2^retries up to the
 * maximum, and with jitter a whole number from 0 to that.  Seconds. */
double retry_backoff(const struct lovage_task_def *def, int64_t retries);
/* True if an exception of that type retries by itself. */
bool retry_is_auto(const struct lovage_task_def *def, const char *exc_type);

/* Turns t's outcome into a RETRY, or, over the limit, into what Celery raises:
 * exc (an exception object, consumed; NULL: none) or MaxRetriesExceededError.
 * max: RETRY_FOR_EVER or a number. */
lovage_status retry_start(lovage_task *t, struct json_object *exc,
                          double countdown, int max);

/* Makes a RETRY of a RAISE whose type the definition lists in autoretry_for. */
void retry_auto(lovage_task *t);

#endif
