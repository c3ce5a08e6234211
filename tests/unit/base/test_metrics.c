/* SPDX-License-Identifier: Apache-2.0 */
#include "base/metrics.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

static char *
written(void)
{
    struct buf b;
    char *text = NULL;

    buf_init(&b, 1 << 20);
    metrics_write(&b);
    cr_assert_eq(buf_take(&b, &text, NULL), ST_OK);
    return text;
}

Test(metrics, all_are_written_sorted_with_help_and_type)
{
    struct metric *c =
        metric_new(METRIC_COUNTER, "tasks_total", "Tasks by state.", "state");
    struct metric *g =
        metric_new(METRIC_GAUGE, "active", "Line\nbreak and \\.", NULL);
    char *text;

    metric_add(c, "SUCCESS", 1);
    metric_add(c, "SUCCESS", 2);
    metric_add(c, "FAIL\"\\\n", 0.5);
    metric_set(g, NULL, 7);
    metric_add(g, NULL, -2);
    text = written();
    cr_assert_str_eq(text,
                     "# HELP lovage_active Line\\nbreak and \\\\.\n"
                     "# TYPE lovage_active gauge\n"
                     "lovage_active 5\n"
                     "# HELP lovage_tasks_total Tasks by state.\n"
                     "# TYPE lovage_tasks_total counter\n"
                     "lovage_tasks_total{state=\"SUCCESS\"} 3\n"
                     "lovage_tasks_total{state=\"FAIL\\\"\\\\\\n\"} 0.5\n");
    free(text);
}

Test(metrics, without_a_label_it_shows_zero_from_the_start)
{
    char *text;

    metric_new(METRIC_COUNTER, "quiet_total", "Quiet.", NULL);
    text = written();
    cr_assert_not_null(strstr(text, "lovage_quiet_total 0\n"));
    free(text);
}

Test(metrics, a_histogram_counts_up_to_each_bound_inclusively)
{
    struct metric *h =
        metric_new(METRIC_HISTOGRAM, "wait_seconds", "Wait.", "queue");
    char *text;

    metric_observe(h, "q", 0);
    metric_observe(h, "q", 0.001);
    metric_observe(h, "q", 0.3);
    metric_observe(h, "q", 60);
    metric_observe(h, "q", 61);
    text = written();
    cr_expect_not_null(
        strstr(text, "wait_seconds_bucket{queue=\"q\",le=\"0.001\"} 2\n"));
    cr_expect_not_null(
        strstr(text, "wait_seconds_bucket{queue=\"q\",le=\"0.25\"} 2\n"));
    cr_expect_not_null(
        strstr(text, "wait_seconds_bucket{queue=\"q\",le=\"0.5\"} 3\n"));
    cr_expect_not_null(
        strstr(text, "wait_seconds_bucket{queue=\"q\",le=\"60\"} 4\n"));
    cr_expect_not_null(
        strstr(text, "wait_seconds_bucket{queue=\"q\",le=\"+Inf\"} 5\n"));
    cr_expect_not_null(strstr(text, "wait_seconds_sum{queue=\"q\"} 121.301\n"));
    cr_expect_not_null(strstr(text, "wait_seconds_count{queue=\"q\"} 5\n"));
    free(text);
}

Test(metrics, a_long_value_is_cut_between_characters)
{
    struct metric *c = metric_new(METRIC_COUNTER, "cut_total", "Cut.", "task");
    char label[70];
    char *text;

    memset(label, 'a', sizeof(label));
    snprintf(label + 63, sizeof(label) - 63, "\xc3\xa9");
    metric_add(c, label, 1);
    metric_add(c, label, 1);
    text = written();
    label[63] = '\0';
    cr_assert(utf8_valid((struct slice){text, strlen(text)}));
    cr_assert_not_null(strstr(text, label));
    cr_assert_not_null(strstr(text, "\"} 2\n"));
    free(text);
}

Test(metrics, too_many_values_count_under_other)
{
    struct metric *c = metric_new(METRIC_COUNTER, "many_total", "M.", "id");
    char value[100], *text;
    int lines = 0;

    for (int i = 0; i < 1000; i++) {
        snprintf(value, sizeof(value), "v%d", i);
        metric_add(c, value, 1);
    }
    memset(value, 'x', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    metric_add(c, value, 1);
    text = written();
    for (char *p = text; (p = strstr(p, "lovage_many_total{")) != NULL; p++)
        lines++;
    cr_expect_eq(lines, METRIC_MAX_SERIES + 1);
    cr_expect_not_null(strstr(text, "{id=\"v63\"} 1\n"));
    cr_expect_not_null(strstr(text, "{id=\"other\"} 937\n"));
    free(text);
}
