/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"

static int fds[2];
static char text[65536];

static void
capture(void)
{
    cr_assert_eq(pipe2(fds, O_NONBLOCK), 0);
    cr_assert_eq(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
}

/* What was logged since the last call. */
static const char *
logged(void)
{
    ssize_t n = read(fds[0], text, sizeof(text) - 1);

    text[n > 0 ? n : 0] = '\0';
    return text;
}

/* The line without its time, which is checked. */
static const char *
rest(void)
{
    const char *line = logged();

    cr_assert_gt(strlen(line), 25);
    cr_assert_eq(line[10], 'T');
    cr_assert_eq(line[19], '.');
    cr_assert_eq(strncmp(line + 23, "Z ", 2), 0);
    return line + 25;
}

TestSuite(log, .init = capture);

Test(log, a_line_has_time_level_component_message_and_pairs)
{
    log_init(LOG_INFO, false, "worker");
    log_info("task done", "id=%s task=%s ms=%d", "abc", "tasks.add", 3);
    cr_assert_str_eq(rest(),
                     "INFO  worker: task done id=abc task=tasks.add ms=3\n");
    log_error("no pairs", NULL);
    cr_assert_str_eq(rest(), "ERROR worker: no pairs\n");
}

Test(log, the_time_is_utc_with_milliseconds)
{
    clock_shift_us(1795531229001000 - clock_unix_us());
    log_warning("x", NULL);
    cr_assert_eq(strncmp(logged(), "2026-11-24T14:40:29.", 20), 0);
    cr_assert_eq(text[23], 'Z');
}

Test(log, every_conversion_prints_its_value)
{
    log_warning("x", "a=%d b=%u c=%ld d=%zu e=%" PRId64 " f=%" PRIu64, -1, 2u,
                -3L, (size_t)4, INT64_MIN, UINT64_MAX);
    cr_assert_str_eq(rest(), "WARNING lovage: x a=-1 b=2 c=-3 d=4 "
                             "e=-9223372036854775808 f=18446744073709551615\n");
    log_warning("x", "a=%x b=%o c=%c d=%% e=%.2f f=%g g=%e h=%i", 255u, 8u, 'z',
                1.005, 0.5, 10.0, 7);
    cr_assert_str_eq(rest(), "WARNING lovage: x a=ff b=10 c=z d=% e=1.00 f=0.5 "
                             "g=1.000000e+01 h=7\n");
    log_warning("x", "a=%.*s b=%.2s c=%5s d=%-3d e=%s:%d", 2, "abcd", "xyz",
                "w", 4, "host", 80);
    cr_assert_str_eq(rest(), "WARNING lovage: x a=ab b=xy c=w d=4 e=host:80\n");
}

Test(log, values_that_are_not_plain_are_quoted_and_stay_one_line)
{
    static const struct {
        const char *value, *shown;
    } rows[] = {
        {"two words", "\"two words\""},
        {"", "\"\""},
        {NULL, "\"\""},
        {"a\nERROR worker: forged", "\"a\\nERROR worker: forged\""},
        {"a=b", "\"a=b\""},
        {"q\"q", "\"q\\\"q\""},
        {"\x1b[31m", "\"\\u001b[31m\""},
        {"\xc3\xa9", "\"\\u00e9\""},
        {"\xff", "\"\\ufffd\""},
        {"back\\slash", "\"back\\\\slash\""},
        {"redis://h:1/0", "redis://h:1/0"},
    };
    char line[200];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        log_warning("x", "v=%s end=%d", rows[i].value, 1);
        snprintf(line, sizeof(line), "WARNING lovage: x v=%s end=1\n",
                 rows[i].shown);
        cr_expect_str_eq(rest(), line);
    }
    log_warning("x", "v=\"%s\" w=\"%s\"", "plain", "two words");
    cr_expect_str_eq(rest(), "WARNING lovage: x v=plain w=\"two words\"\n");
}

Test(log, json_lines_are_json_with_numbers_as_numbers)
{
    struct json_object *v = NULL;
    const char *line;

    log_init(LOG_DEBUG, true, "api \"1\"");
    log_debug("x", "n=%d f=%.1f s=%s h=%x two=%d%d inf=%f q=%s", -7, 2.5,
              "a\nb", 16u, 1, 2, 1e308 * 10, "5");
    line = logged();
    cr_assert_eq(json_parse((struct slice){line, strlen(line)}, 2, &v, NULL),
                 ST_OK, "%s", line);
    cr_expect_eq(json_get_int(v, "n", 0), -7);
    cr_expect_eq(json_get_double(v, "f", 0), 2.5);
    cr_expect_str_eq(json_get_str(v, "s").ptr, "a\nb");
    cr_expect_str_eq(json_get_str(v, "h").ptr, "10");
    cr_expect_str_eq(json_get_str(v, "two").ptr, "12");
    cr_expect_str_eq(json_get_str(v, "inf").ptr, "inf");
    cr_expect_str_eq(json_get_str(v, "q").ptr, "5");
    cr_expect_str_eq(json_get_str(v, "who").ptr, "api \"1\"");
    cr_expect_str_eq(json_get_str(v, "level").ptr, "DEBUG");
    cr_expect_str_eq(json_get_str(v, "msg").ptr, "x");
    json_object_put(v);
}

Test(log, long_values_are_cut_and_the_line_stays_whole)
{
    struct json_object *v = NULL;
    static char big[20000];
    const char *line;

    memset(big, 'x', sizeof(big) - 1);
    log_warning("x", "a=%s b=%d", big, 1);
    line = rest();
    cr_expect_lt(strlen(line), 600);
    cr_expect_not_null(strstr(line, "xxx... b=1\n"));

    memset(big, '\x01', sizeof(big) - 1);
    log_init(LOG_INFO, true, "worker");
    log_info("x", "a=%s b=%s c=%s d=%s e=%d", big, big, big, big, 1);
    line = logged();
    cr_expect_leq(strlen(line), 4096);
    cr_assert_eq(json_parse((struct slice){line, strlen(line)}, 2, &v, NULL),
                 ST_OK);
    cr_expect_eq(json_get_int(v, "e", 0), 1);
    cr_expect_not_null(json_get(v, "a"));
    json_object_put(v);
}

Test(log, what_is_below_the_level_is_not_written)
{
    log_init(LOG_WARNING, false, "worker");
    log_info("x", NULL);
    log_line(LOG_INFO, "x", NULL);
    cr_assert_str_eq(logged(), "");
    cr_assert_not(log_enabled(LOG_INFO));
    log_set_level(LOG_DEBUG);
    log_debug("x", NULL);
    cr_assert_str_eq(rest(), "DEBUG worker: x\n");
}

Test(log, a_full_stderr_drops_lines_and_says_so_later)
{
    static char block[4096];
    int n = 0;

    while (write(fds[1], block, sizeof(block)) > 0)
        n++;
    log_warning("lost", NULL);
    log_warning("lost", NULL);
    for (; n > 0; n--)
        cr_assert_eq(read(fds[0], block, sizeof(block)), 4096);
    cr_assert_str_eq(logged(), "");
    log_warning("kept", NULL);
    logged();
    cr_assert_not_null(strstr(text, "lovage: log lines dropped count=2\n"));
    cr_assert_not_null(strstr(text, "lovage: kept\n"));
}

Test(log, a_closed_stderr_does_no_harm)
{
    close(STDERR_FILENO);
    errno = EDOM;
    log_warning("x", NULL);
    cr_assert_eq(errno, EDOM);
}

Test(log, levels_are_read_by_name)
{
    enum log_level level = LOG_DEBUG;

    cr_assert_eq(log_level_parse("WARNING", &level), ST_OK);
    cr_assert_eq(level, LOG_WARNING);
    cr_assert_eq(log_level_parse("critical", &level), ST_OK);
    cr_assert_eq(level, LOG_CRITICAL);
    cr_assert_eq(log_level_parse("loud", &level), ST_INVALID);
    cr_assert_eq(log_level_parse("", &level), ST_INVALID);
}
