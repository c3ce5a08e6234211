/* SPDX-License-Identifier: Apache-2.0 */
#include "store/redis/layout.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct redis_layout
read_options(const char *options)
{
    struct redis_layout l;
    struct error err = {0};

    cr_assert_eq(redis_layout_init(&l, options, 4, &err), ST_OK, "%s: %s",
                 options, err.text);
    return l;
}

static void
expect_suffix(const struct redis_layout *l, int priority, const char *expected)
{
    struct buf b;

    buf_init(&b, 64);
    redis_layout_suffix(l, priority, &b);
    cr_assert_eq(b.len, strlen(expected), "priority %d", priority);
    cr_assert_eq(memcmp(b.len == 0 ? "" : b.data, expected, b.len), 0,
                 "priority %d", priority);
    buf_fini(&b);
}

Test(layout, the_defaults_are_kombu_s)
{
    struct redis_layout l = read_options("");

    cr_assert_str_eq(l.unacked, "unacked");
    cr_assert_str_eq(l.unacked_index, "unacked_index");
    cr_assert_str_eq(l.unacked_mutex, "unacked_mutex");
    cr_assert_str_eq(l.fanout_prefix, "/4.");
    cr_assert_eq(l.visibility_timeout, 3600);
    cr_assert_eq(l.order, ORDER_ROUND_ROBIN);
    expect_suffix(&l, -1, "");
    expect_suffix(&l, 0, "");
    expect_suffix(&l, 2, "");
    expect_suffix(&l, 3,
                  "\x06\x16"
                  "3");
    expect_suffix(&l, 5,
                  "\x06\x16"
                  "3");
    expect_suffix(&l, 9,
                  "\x06\x16"
                  "9");
    expect_suffix(&l, 255,
                  "\x06\x16"
                  "9");
    redis_layout_fini(&l);
}

Test(layout, options_change_it)
{
    struct redis_layout l = read_options(
        "{\"global_keyprefix\": \"P_\", \"sep\": \":\", \"priority_steps\": "
        "[0, 5], \"unacked_key\": \"u\", \"visibility_timeout\": 12.5, "
        "\"fanout_prefix\": false, \"fanout_patterns\": false, "
        "\"queue_order_strategy\": \"sorted\"}");

    cr_assert_str_eq(l.unacked, "P_u");
    cr_assert_str_eq(l.unacked_index, "P_unacked_index");
    cr_assert_str_eq(l.fanout_prefix, "");
    cr_assert(!l.fanout_patterns);
    cr_assert_eq(l.visibility_timeout, 12.5);
    cr_assert_eq(l.order, ORDER_SORTED);
    expect_suffix(&l, 4, "");
    expect_suffix(&l, 7, ":5");
    redis_layout_fini(&l);
}

Test(layout, options_that_make_no_sense_are_refused)
{
    static const char *const bad[] = {
        "{",
        "[]",
        "{\"priority_steps\": []}",
        "{\"priority_steps\": [3, 0]}",
        "{\"priority_steps\": [0, \"x\"]}",
        "{\"priority_steps\": [0,1,2,3,4,5,6,7,8,9,10]}",
        "{\"visibility_timeout\": 0}",
        "{\"sep\": \"\"}",
        "{\"queue_order_strategy\": \"random\"}",
        "{\"unacked_restore_limit\": -1}",
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct redis_layout l;
        struct error err;
        cr_assert_neq(redis_layout_init(&l, bad[i], 0, &err), ST_OK, "%s",
                      bad[i]);
    }
}

Test(layout, a_prefix_of_results_is_parted_as_celery_does_it)
{
    static const struct {
        const char *options, *prefix;
    } rows[] = {{"", ""},
                {"{}", ""},
                {"{\"global_keyprefix\": \"\"}", ""},
                {"{\"global_keyprefix\": \"a\"}", "a_"},
                {"{\"global_keyprefix\": \"a:\"}", "a:"},
                {"{\"global_keyprefix\": \"a_\"}", "a_"},
                {"{\"global_keyprefix\": \"a-\"}", "a-"},
                {"{\"global_keyprefix\": \"a.\"}", "a."}};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *prefix = NULL;
        struct error err;

        cr_assert_eq(redis_result_prefix(rows[i].options, &prefix, &err),
                     ST_OK);
        cr_assert_str_eq(prefix, rows[i].prefix, "%s", rows[i].options);
        free(prefix);
    }
}
