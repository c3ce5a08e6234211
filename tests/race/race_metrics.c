/* SPDX-License-Identifier: Apache-2.0 */
/* Nothing is lost when several threads count in old and new series while all
 * is being written. */
#include "base/metrics.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    THREADS = 4,
    ROUNDS = 2000,
    VALUES = 80 /* more than a metric has series */
};

static struct metric *counter, *histogram;

static void *
count(void *arg)
{
    char value[16];

    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        snprintf(value, sizeof(value), "v%d", i % VALUES);
        metric_add(counter, value, 1);
        metric_observe(histogram, NULL, 0.5);
    }
    return NULL;
}

static char *
written(void)
{
    struct buf b;
    char *text = NULL;

    buf_init(&b, 1 << 20);
    metrics_write(&b);
    if (buf_take(&b, &text, NULL) != ST_OK)
        abort();
    return text;
}

int
main(void)
{
    pthread_t t[THREADS];
    double sum = 0;
    char *text;
    int ok;

    counter = metric_new(METRIC_COUNTER, "race_total", "Race.", "value");
    histogram = metric_new(METRIC_HISTOGRAM, "race_seconds", "Race.", NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&t[i], NULL, count, NULL);
    for (int i = 0; i < 20; i++)
        free(written());
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);

    text = written();
    for (char *p = text; (p = strstr(p, "race_total{")) != NULL; p++)
        sum += strtod(strchr(p, '}') + 1, NULL);
    ok = sum > THREADS * ROUNDS - 0.5 && sum < THREADS * ROUNDS + 0.5 &&
         strstr(text, "lovage_race_seconds_count 8000\n") != NULL &&
         strstr(text, "lovage_race_seconds_sum 4000\n") != NULL;
    free(text);
    if (!ok)
        puts("race_metrics: counts are lost");
    return !ok;
}
