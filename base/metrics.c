/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics in Prometheus' text format.  A metric has a fixed table of series;
 * finding one takes no lock: a series is written once, under the metric's
 * mutex, and then published by raising the count.  Numbers are doubles that
 * are changed with compare-and-swap. */
#include "base/metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_LABEL = 64, /* bytes of a label's value; the rest is cut off */
    BUCKETS = 15
};

/* Upper bounds in seconds: a cached answer to a slow model. */
static const double bounds[BUCKETS] = {0.001, 0.0025, 0.005, 0.01, 0.025,
                                       0.05,  0.1,    0.25,  0.5,  1,
                                       2.5,   5,      10,    30,   60};

struct series {
    char label[MAX_LABEL + 1];
    _Atomic double value;              /* of a histogram: the sum */
    atomic_ullong counts[BUCKETS + 1]; /* not cumulative; the last: above all */
};

struct metric {
    pthread_mutex_t lock; /* for adding series */
    atomic_size_t count;
    struct series *series[METRIC_MAX_SERIES + 1]; /* the last: "other" */
    enum metric_kind kind;
    const char *name, *help, *label; /* borrowed: of the program's text */
    struct metric *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards all */
static struct metric *all;                               /* sorted by name */
static struct metric nowhere = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct series *
lookup(struct metric *m, const char *label, size_t len)
{
    size_t n = atomic_load_explicit(&m->count, memory_order_acquire);

    for (size_t i = 0; i < n; i++)
        if (strncmp(m->series[i]->label, label, len) == 0 &&
            m->series[i]->label[len] == '\0')
            return m->series[i];
    return NULL;
}

/* Under the lock. */
static struct series *
add_series(struct metric *m, const char *label, size_t len)
{
    size_t n = atomic_load_explicit(&m->count, memory_order_relaxed);
    struct series *s;

    if (n > METRIC_MAX_SERIES)
        return m->series[METRIC_MAX_SERIES];
    if (n == METRIC_MAX_SERIES) {
        label = "other";
        len = strlen(label);
    }
    s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    memcpy(s->label, label, len);
    m->series[n] = s;
    atomic_store_explicit(&m->count, n + 1, memory_order_release);
    return s;
}

/* The series to count in; NULL: nowhere, there is no memory. */
static struct series *
series_of(struct metric *m, const char *label)
{
    size_t len;
    struct series *s;

    if (m == &nowhere)
        return NULL;
    if (label == NULL || m->label == NULL)
        label = "";
    len = strnlen(label, MAX_LABEL + 1);
    if (len > MAX_LABEL) /* between characters: 10xxxxxx continues one */
        while (len > 0 && ((unsigned char)label[--len] & 0xc0) == 0x80)
            ;
    s = lookup(m, label, len);
    if (s != NULL)
        return s;
    if (atomic_load_explicit(&m->count, memory_order_acquire) >
        METRIC_MAX_SERIES)
        return m->series[METRIC_MAX_SERIES];
    pthread_mutex_lock(&m->lock);
    s = lookup(m, label, len);
    if (s == NULL)
        s = add_series(m, label, len);
    pthread_mutex_unlock(&m->lock);
    return s;
}

struct metric *
metric_new(enum metric_kind kind, const char *name, const char *help,
           const char *label)
{
    struct metric *m = calloc(1, sizeof(*m));
    struct metric **at = &all;

    if (m == NULL)
        return &nowhere;
    pthread_mutex_init(&m->lock, NULL);
    m->kind = kind;
    m->name = name;
    m->help = help;
    m->label = label;
    if (label == NULL)
        series_of(m, NULL); /* shows 0 until something is counted */
    pthread_mutex_lock(&lock);
    while (*at != NULL && strcmp((*at)->name, name) < 0)
        at = &(*at)->next;
    m->next = *at;
    *at = m;
    pthread_mutex_unlock(&lock);
    return m;
}

static void
add(_Atomic double *at, double by)
{
    double was = atomic_load_explicit(at, memory_order_relaxed);

    while (!atomic_compare_exchange_weak_explicit(
        at, &was, was + by, memory_order_relaxed, memory_order_relaxed))
        ;
}

void
metric_add(struct metric *m, const char *value, double by)
{
    struct series *s = series_of(m, value);

    if (s != NULL)
        add(&s->value, by);
}

void
metric_set(struct metric *m, const char *value, double to)
{
    struct series *s = series_of(m, value);

    if (s != NULL)
        atomic_store_explicit(&s->value, to, memory_order_relaxed);
}

void
metric_observe(struct metric *m, const char *value, double seconds)
{
    struct series *s = series_of(m, value);
    int i = 0;

    if (s == NULL)
        return;
    while (i < BUCKETS && seconds > bounds[i])
        i++;
    atomic_fetch_add_explicit(&s->counts[i], 1, memory_order_relaxed);
    add(&s->value, seconds);
}

/* --- writing ------------------------------------------------------------- */

/* Text with backslash, line end and, in a label, the quote escaped. */
static void
write_escaped(struct buf *out, const char *s, bool quotes)
{
    for (; *s != '\0'; s++) {
        if (*s == '\n')
            buf_add(out, (struct slice){"\\n", 2});
        else if (*s == '\\' || (quotes && *s == '"'))
            buf_addf(out, "\\%c", *s);
        else
            buf_add(out, (struct slice){s, 1});
    }
}

/* lovage_NAME SUFFIX {LABEL="VALUE",le="..."} */
static void
write_name(struct buf *out, const struct metric *m, const struct series *s,
           const char *suffix, const char *le)
{
    buf_addf(out, "lovage_%s%s", m->name, suffix);
    if (m->label == NULL && le == NULL) {
        buf_addf(out, " ");
        return;
    }
    buf_addf(out, "{");
    if (m->label != NULL) {
        buf_addf(out, "%s=\"", m->label);
        write_escaped(out, s->label, true);
        buf_addf(out, "\"%s", le != NULL ? "," : "");
    }
    if (le != NULL)
        buf_addf(out, "le=\"%s\"", le);
    buf_addf(out, "} ");
}

static void
write_histogram(struct buf *out, const struct metric *m, struct series *s)
{
    unsigned long long sum = 0;
    char le[32];

    for (int i = 0; i <= BUCKETS; i++) {
        sum += atomic_load_explicit(&s->counts[i], memory_order_relaxed);
        if (i < BUCKETS)
            snprintf(le, sizeof(le), "%g", bounds[i]);
        write_name(out, m, s, "_bucket", i < BUCKETS ? le : "+Inf");
        buf_addf(out, "%llu\n", sum);
    }
    write_name(out, m, s, "_sum", NULL);
    buf_addf(out, "%.15g\n",
             atomic_load_explicit(&s->value, memory_order_relaxed));
    write_name(out, m, s, "_count", NULL);
    buf_addf(out, "%llu\n", sum);
}

static void
write_metric(struct buf *out, struct metric *m)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    size_t n = atomic_load_explicit(&m->count, memory_order_acquire);

    buf_addf(out, "# HELP lovage_%s ", m->name);
    write_escaped(out, m->help, false);
    buf_addf(out, "\n# TYPE lovage_%s %s\n", m->name, types[m->kind]);
    for (size_t i = 0; i < n; i++) {
        if (m->kind == METRIC_HISTOGRAM) {
            write_histogram(out, m, m->series[i]);
            continue;
        }
        write_name(out, m, m->series[i], "", NULL);
        buf_addf(
            out, "%.15g\n",
            atomic_load_explicit(&m->series[i]->value, memory_order_relaxed));
    }
}

void
metrics_write(struct buf *out)
{
    pthread_mutex_lock(&lock);
    for (struct metric *m = all; m != NULL; m = m->next)
        write_metric(out, m);
    pthread_mutex_unlock(&lock);
}
