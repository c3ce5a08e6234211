#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include "base/buf.h"

#include <stdint.h>

/* Counters, gauges and histograms in Prometheus' text format (version 0.0.4).
 * Updated from any thread (atomics).  A family has at most one label, whose
 * values are few and known (never ids, prompts or URLs): above
 * METRIC_MAX_SERIES values all others count under "other". */
enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };
enum { METRIC_MAX_SERIES = 64 };

struct metric;

/* For static use, once, at start-up.  name without the lovage_ prefix; label
 * may be NULL.  Never fails for the caller: without memory it gives a metric
 * that counts nowhere. */
struct metric *metric_new(enum metric_kind kind, const char *name,
                          const char *help, const char *label);

/* value: the label's value, NULL where there is no label.  A histogram takes
 * seconds. */
void metric_add(struct metric *m, const char *value, double by);
void metric_set(struct metric *m, const char *value, double to);
void metric_observe(struct metric *m, const char *value, double seconds);

/* All metrics, sorted by name, with HELP and TYPE. */
void metrics_write(struct buf *out);

#endif
