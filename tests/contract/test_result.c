/* SPDX-License-Identifier: Apache-2.0 */
/* What every result backend promises (store/result.h).  A behaviour is written
 * once; this program runs all for Redis, the others include it. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "tests/support/loop.h"
#include "tests/support/result_rig.h"

#ifndef RESULT
#define RESULT redis
#endif
#define NAME_OF(result) result_impl_##result
#define IMPL(result)    NAME_OF(result)

#define CONTRACT(behaviour)                          \
    static void behaviour(struct result_rig *r);     \
    Test(result_contract, behaviour, .timeout = 120) \
    {                                                \
        run(&IMPL(RESULT), behaviour);               \
    }                                                \
    static void behaviour(struct result_rig *r)

static void
run(const struct result_impl *impl, void (*behaviour)(struct result_rig *r))
{
    struct result_rig r;

    result_rig_init(&r, impl);
    behaviour(&r);
    result_rig_fini(&r);
}

static struct slice
str(const char *s)
{
    return (struct slice){s, strlen(s)};
}

static struct task_state
state(struct result_rig *r, const char *id, const char *status,
      const char *result)
{
    return (struct task_state){.id = str(id),
                               .status = str(status),
                               .result_text = str(result),
                               .reply_to = str(result_reply_to(r->r))};
}

static void
put(struct result_rig *r, const char *id, const char *status,
    const char *result)
{
    struct task_state ts = state(r, id, status, result);

    r->r->ops->put(r->r, &ts, result_rig_note, r);
}

static void
put_and_wait(struct result_rig *r, const char *id, const char *status,
             const char *result)
{
    int before = r->calls;

    put(r, id, status, result);
    cr_assert_eq(r->calls, before, "called back too early");
    cr_assert(result_rig_wait(r, before + 1, 3000));
    cr_assert_eq(r->status, ST_OK);
}

/* What is stored, as "STATUS result"; "" when nothing is. */
static const char *
stored(struct result_rig *r, const char *id)
{
    int before = r->calls;

    r->r->ops->get(r->r, str(id), result_rig_note, r);
    cr_assert_eq(r->calls, before, "called back too early");
    cr_assert(result_rig_wait(r, before + 1, 3000));
    cr_assert_eq(r->status, ST_OK);
    return r->text;
}

CONTRACT(what_is_put_can_be_got)
{
    RESULT_RIG_NEEDS(r, RESULT_KEEPS);
    cr_assert_str_eq(stored(r, "id-1"), "");
    put_and_wait(r, "id-1", "SUCCESS", "{\"a\": [1, 2.5, \"\\u00e9\"]}");
    cr_assert_str_eq(stored(r, "id-1"),
                     "SUCCESS {\"a\": [1, 2.5, \"\\u00e9\"]}");
}

CONTRACT(a_success_is_never_overwritten_and_others_are)
{
    RESULT_RIG_NEEDS(r, RESULT_KEEPS);
    put_and_wait(r, "id-1", "STARTED", "null");
    put_and_wait(r, "id-1", "RETRY", "null");
    put_and_wait(r, "id-1", "FAILURE", "{\"exc_type\": \"SUCCESS\"}");
    put_and_wait(r, "id-1", "SUCCESS", "1");
    put_and_wait(r, "id-1", "FAILURE", "null");
    put_and_wait(r, "id-1", "SUCCESS", "2");
    cr_assert_str_eq(stored(r, "id-1"), "SUCCESS 1");
}

CONTRACT(what_is_forgotten_is_gone)
{
    int before;

    RESULT_RIG_NEEDS(r, RESULT_KEEPS);
    put_and_wait(r, "id-1", "SUCCESS", "1");
    before = r->calls;
    r->r->ops->forget(r->r, str("id-1"), result_rig_note, r);
    cr_assert(result_rig_wait(r, before + 1, 3000));
    cr_assert_str_eq(stored(r, "id-1"), "");
}

CONTRACT(a_watch_is_told_what_comes_and_what_had_come)
{
    put_and_wait(r, "old", "SUCCESS", "1");
    r->calls = 0;
    cr_assert_not_null(r->r->ops->watch(r->r, str("old"), result_rig_note, r));
    cr_assert_eq(r->calls, 0, "called back too early");
    cr_assert(result_rig_wait(r, 1, 3000));
    cr_assert_str_eq(r->text, "SUCCESS 1");

    cr_assert_not_null(r->r->ops->watch(r->r, str("new"), result_rig_note, r));
    result_rig_run(r, 200);
    cr_assert_eq(r->calls, 1);
    {
        struct task_state started = state(r, "new", "STARTED", "null");
        struct task_state failed = state(r, "new", "FAILURE", "\"x\"");
        r->r->ops->put(r->r, &started, NULL, NULL);
        result_rig_run(r, 200);
        cr_assert_eq(r->calls, 1, "not final");
        r->r->ops->put(r->r, &failed, NULL, NULL);
    }
    cr_assert(result_rig_wait(r, 2, 3000));
    cr_assert_str_eq(r->text, "FAILURE \"x\"");
    result_rig_run(r, 200);
    cr_assert_eq(r->calls, 2, "told once");
}

CONTRACT(many_may_watch_one_id_and_stop_at_any_time)
{
    struct result_watch *w[4];
    struct task_state done = state(r, "id-1", "SUCCESS", "7");

    for (int i = 0; i < 4; i++)
        w[i] = r->r->ops->watch(r->r, str("id-1"), result_rig_note, r);
    r->r->ops->unwatch(r->r, w[1]);
    result_rig_run(r, 100);
    r->r->ops->unwatch(r->r, w[3]);
    r->r->ops->put(r->r, &done, NULL, NULL);
    cr_assert(result_rig_wait(r, 2, 3000));
    result_rig_run(r, 100);
    cr_assert_eq(r->calls, 2);

    w[0] = r->r->ops->watch(r->r, str("id-2"), result_rig_note, r);
    r->r->ops->unwatch(r->r, w[0]);
    w[0] = r->r->ops->watch(r->r, str("id-2"), result_rig_note, r);
    done = state(r, "id-2", "SUCCESS", "8");
    r->r->ops->put(r->r, &done, NULL, NULL);
    cr_assert(result_rig_wait(r, 3, 3000));
    cr_assert_str_eq(r->text, "SUCCESS 8");
}

CONTRACT(a_thousand_watches_are_all_told_over_a_cut_connection)
{
    if (r->impl->queue_dies) {
        result_rig_fini(r);
        cr_skip_test("%s: results are lost with the connection", r->impl->name);
    }
    for (int i = 0; i < 1000; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "id-%d", i);
        cr_assert_not_null(r->r->ops->watch(r->r, str(id), result_rig_note, r));
    }
    for (int i = 0; i < 1000; i++) {
        char id[16];
        struct task_state ts;
        (void)snprintf(id, sizeof id, "id-%d", i);
        ts = state(r, id, "SUCCESS", "1");
        r->r->ops->put(r->r, &ts, NULL, NULL);
        if (i % 100 == 0) {
            result_rig_run(r, 5);
            r->impl->cut(r->server);
        }
    }
    cr_assert(result_rig_wait(r, 1000, 10000), "%d", r->calls);
    result_rig_run(r, 100);
    cr_assert_eq(r->calls, 1000);
}

CONTRACT(calls_wait_while_the_service_is_away)
{
    put_and_wait(r, "id-0", "SUCCESS", "0");
    r->impl->down(r->server, true);
    result_rig_run(r, 100);
    cr_assert(!r->r->ops->up(r->r));
    r->calls = 0;
    for (int i = 1; i < 100; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "id-%d", i);
        put(r, id, "STARTED", "null");
        put(r, id, "SUCCESS", "1");
    }
    cr_assert_not_null(
        r->r->ops->watch(r->r, str("id-99"), result_rig_note, r));
    result_rig_run(r, 500);
    cr_assert_eq(r->calls, 0);
    cr_assert_eq(r->r->ops->backlog(r->r), 198);
    r->impl->down(r->server, false);
    cr_assert(result_rig_wait(r, 199, 5000), "%d", r->calls);
    cr_assert_eq(r->r->ops->backlog(r->r), 0);
    cr_assert(r->r->ops->up(r->r));
    if (result_can(r->r) & RESULT_KEEPS)
        cr_assert_str_eq(stored(r, "id-50"), "SUCCESS 1");
}

CONTRACT(over_the_bound_a_call_is_refused)
{
    static char text[1024 * 1024 + 3];

    memset(text, 'x', sizeof text - 1);
    text[0] = text[sizeof text - 2] = '"';
    r->impl->down(r->server, true);
    result_rig_run(r, 100);
    for (int i = 0; i < 100; i++)
        put(r, "id", "FAILURE", text);
    cr_assert_eq(r->calls, 0, "called back too early");
    cr_assert(result_rig_wait(r, 1, 3000));
    cr_assert_eq(r->status, ST_BUSY);
    cr_assert_lt(r->calls, 60);
    r->impl->down(r->server, false);
    cr_assert(result_rig_wait(r, 100, 60000));
}

CONTRACT(closing_sends_what_waits)
{
    for (int i = 0; i < 500; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "id-%d", i);
        put(r, id, "SUCCESS", "1");
    }
    result_rig_close(r, 3000);
    cr_assert_eq(r->calls, 500);
    result_rig_open(r);
    if (result_can(r->r) & RESULT_KEEPS)
        cr_assert_str_eq(stored(r, "id-499"), "SUCCESS 1");
}

CONTRACT(closing_ends_in_time_when_the_service_is_away)
{
    uint64_t start;

    r->impl->down(r->server, true);
    result_rig_run(r, 50);
    put(r, "id", "SUCCESS", "1");
    start = uv_hrtime();
    result_rig_close(r, 300);
    cr_assert_lt(uv_hrtime() - start, UINT64_C(1000000000));
    cr_assert_eq(r->calls, 0);
    r->impl->down(r->server, false);
    result_rig_open(r);
}

/* ---- saved groups ---- */

static const char *
saved(struct result_rig *r, const char *id)
{
    int before = r->parts;

    r->r->ops->group_get(r->r, str(id), result_rig_group, r);
    cr_assert_eq(r->parts, before, "called back too early");
    cr_assert(result_rig_wait_parts(r, before + 1, 3000));
    cr_assert_eq(r->status, ST_OK);
    return r->part_text;
}

static void
save(struct result_rig *r, const char *id, const char *tuple)
{
    struct json_object *v = NULL;
    int before = r->calls;

    cr_assert_eq(json_parse(str(tuple), JSON_DEPTH, &v, NULL), ST_OK);
    r->r->ops->group_save(r->r, str(id), v, result_rig_note, r);
    json_object_put(v);
    cr_assert(result_rig_wait(r, before + 1, 3000));
    cr_assert_eq(r->status, ST_OK);
}

CONTRACT(a_saved_group_can_be_got_and_forgotten)
{
    static const char tuple[] =
        "[[\"g\", null], [[[\"a\", [[\"p\", null], null]], null], "
        "[[\"h\", null], [[[\"b\", null], null]]]]]";
    int before;

    RESULT_RIG_NEEDS(r, RESULT_SAVES_GROUPS);
    cr_assert_str_eq(saved(r, "g"), "null");
    save(r, "g", "[[\"g\", null], []]");
    save(r, "g", tuple);
    cr_assert_str_eq(saved(r, "g"), tuple);
    before = r->calls;
    r->r->ops->group_forget(r->r, str("g"), result_rig_note, r);
    cr_assert(result_rig_wait(r, before + 1, 3000));
    cr_assert_str_eq(saved(r, "g"), "null");
}

/* ---- chords ---- */

static void
part(struct result_rig *r, const char *id, int64_t index, const char *status,
     const char *result)
{
    struct task_state ts = state(r, id, status, result);
    int before = r->parts;

    r->r->ops->chord_part(r->r, str("g1"), index, &ts, result_rig_part, r);
    cr_assert(result_rig_wait_parts(r, before + 1, 3000));
    cr_assert_eq(r->status, ST_OK);
}

static void
set_size(struct result_rig *r, int64_t n)
{
    int before = r->calls;

    r->r->ops->chord_size(r->r, str("g1"), n, result_rig_note, r);
    cr_assert(result_rig_wait(r, before + 1, 3000));
    cr_assert_eq(r->status, ST_OK);
}

CONTRACT(a_chord_is_ready_once_with_its_parts_in_order)
{
    RESULT_RIG_NEEDS(r, RESULT_COUNTS_CHORDS);
    part(r, "c", 2, "SUCCESS", "30");
    set_size(r, 3);
    part(r, "a", 0, "SUCCESS", "{\"x\":1.5}");
    cr_assert(!r->part_ready);
    part(r, "b", 1, "FAILURE", "{\"exc_type\": \"E\"}");
    cr_assert(r->part_ready);
    cr_assert_str_eq(r->part_text,
                     "[[1, \"a\", \"SUCCESS\", {\"x\": 1.5}], [1, \"b\", "
                     "\"FAILURE\", {\"exc_type\": \"E\"}], [1, \"c\", "
                     "\"SUCCESS\", 30]]");

    part(r, "c", 2, "SUCCESS", "30");
    cr_assert(!r->part_ready, "another member is not told as well");
    part(r, "b", 1, "FAILURE", "{\"exc_type\": \"E\"}");
    cr_assert(r->part_ready, "the one that was told may be told again");
    r->r->ops->chord_done(r->r, str("g1"));
    part(r, "b", 1, "FAILURE", "{\"exc_type\": \"E\"}");
    cr_assert(!r->part_ready);
}

CONTRACT(a_member_that_reports_twice_counts_once)
{
    RESULT_RIG_NEEDS(r, RESULT_COUNTS_CHORDS);
    set_size(r, 2);
    part(r, "a", 0, "SUCCESS", "1");
    part(r, "a", 0, "SUCCESS", "1");
    cr_assert(!r->part_ready);
    part(r, "b", 1, "SUCCESS", "2");
    cr_assert(r->part_ready);
}

CONTRACT(members_without_index_come_last)
{
    RESULT_RIG_NEEDS(r, RESULT_COUNTS_CHORDS);
    set_size(r, 3);
    part(r, "z", -1, "SUCCESS", "1");
    part(r, "b", 1, "SUCCESS", "2");
    part(r, "a", 0, "SUCCESS", "3");
    cr_assert(r->part_ready);
    cr_assert_str_eq(r->part_text,
                     "[[1, \"a\", \"SUCCESS\", 3], [1, \"b\", \"SUCCESS\", 2], "
                     "[1, \"z\", \"SUCCESS\", 1]]");
}

Test(result_contract, the_scheme_names_the_backend)
{
    struct config config;
    struct result *r = (struct result *)&config;
    struct error err;
    uv_loop_t loop;

    cr_assert_eq(config_init(&config, &err), ST_OK);
    uv_loop_init(&loop);
    cr_assert_eq(result_open(&r, &loop, "", &config, &err), ST_OK);
    cr_assert_null(r);
    cr_assert_eq(result_open(&r, &loop, "disabled://", &config, &err), ST_OK);
    cr_assert_null(r);
    cr_assert_eq(result_open(&r, &loop, "smoke://x", &config, &err),
                 ST_INVALID);
    cr_assert_not_null(strstr(err.text, "smoke"));
    loop_end(&loop);
    config_fini(&config);
}
