/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis result backend and cache beyond the contract: the bytes that Python
 * clients read, and Python clients reading them. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/redis/cache.h"
#include "tests/support/loop.h"
#include "tests/support/redis_server.h"
#include "tests/support/result_rig.h"

#define REDIS(behaviour)                           \
    static void behaviour(struct result_rig *r);   \
    Test(redis_result, behaviour, .timeout = 120)  \
    {                                              \
        struct result_rig rig;                     \
        result_rig_init(&rig, &result_impl_redis); \
        behaviour(&rig);                           \
        result_rig_fini(&rig);                     \
    }                                              \
    static void behaviour(struct result_rig *r)

static struct slice
str(const char *s)
{
    return (struct slice){s, strlen(s)};
}

static void
put(struct result_rig *r, const char *id, const char *status,
    const char *result)
{
    struct task_state ts = {
        .id = str(id), .status = str(status), .result_text = str(result)};
    int before = r->calls;

    r->r->ops->put(r->r, &ts, result_rig_note, r);
    cr_assert(result_rig_wait(r, before + 1, 3000));
    cr_assert_eq(r->status, ST_OK);
}

static long
number(struct result_rig *r, const char *command)
{
    return redis_server_number(r->server, command);
}

static bool
holds(struct result_rig *r, const char *command, const char *part)
{
    char *text = redis_server_ask(r->server, command);
    bool found = strstr(text, part) != NULL;

    free(text);
    return found;
}

REDIS(a_result_lives_for_result_expires)
{
    put(r, "id-1", "SUCCESS", "1");
    cr_assert_eq(number(r, "TTL celery-task-meta-id-1"), 86400);
    cr_assert(holds(r, "GET celery-task-meta-id-1",
                    "{\"status\": \"SUCCESS\", \"result\": 1"));
    cr_assert(holds(r, "GET celery-task-meta-id-1", "\"task_id\": \"id-1\""));

    result_rig_close(r, 1000);
    r->config.result_expires = 0;
    result_rig_open(r);
    put(r, "id-2", "SUCCESS", "1");
    cr_assert_eq(number(r, "TTL celery-task-meta-id-2"), -1);
}

REDIS(a_success_written_by_python_stays)
{
    static const char *const docs[] = {
        "{\"status\": \"SUCCESS\", \"result\": \"\\ud800\", \"task_id\": "
        "\"id\"}",
        "{\"result\": 1, \"status\": \"SUCCESS\"}"};

    for (size_t i = 0; i < 2; i++) {
        free(redis_server_do(
            r->server,
            (const char *[]){"SET", "celery-task-meta-id", docs[i], NULL}));
        put(r, "id", "FAILURE", "null");
        cr_assert(holds(r, "GET celery-task-meta-id", "SUCCESS"));
    }
    free(redis_server_ask(r->server, "SET celery-task-meta-id {garbage"));
    put(r, "id", "FAILURE", "null");
    cr_assert(holds(r, "GET celery-task-meta-id", "FAILURE"));
}

REDIS(storing_waits_while_redis_has_no_memory)
{
    struct task_state ts = {
        .id = {"id", 2}, .status = {"FAILURE", 7}, .result_text = {"1", 1}};

    put(r, "id-0", "SUCCESS", "1");
    free(redis_server_ask(r->server, "CONFIG SET maxmemory 1"));
    r->calls = 0;
    r->r->ops->put(r->r, &ts, result_rig_note, r);
    ts.status = (struct slice){"SUCCESS", 7};
    r->r->ops->put(r->r, &ts, result_rig_note, r);
    result_rig_run(r, 500);
    cr_assert_eq(r->calls, 0);
    free(redis_server_ask(r->server, "CONFIG SET maxmemory 0"));
    cr_assert(result_rig_wait(r, 2, 3000));
    cr_assert_eq(r->status, ST_OK);
    cr_assert(holds(r, "GET celery-task-meta-id", "SUCCESS"));
}

REDIS(a_chord_s_keys_are_kombu_s)
{
    struct task_state ts = {.id = {"tid", 3},
                            .status = {"SUCCESS", 7},
                            .result_text = {"{\"a\":[1,2]}", 11}};

    r->r->ops->chord_size(r->r, str("g"), 2, result_rig_note, r);
    r->r->ops->chord_part(r->r, str("g"), 0, &ts, result_rig_part, r);
    cr_assert(result_rig_wait_parts(r, 1, 3000));
    cr_assert(holds(r, "GET celery-taskset-meta-g.s", "2"));
    cr_assert_eq(number(r, "TTL celery-taskset-meta-g.s"), 86400);
    cr_assert_eq(number(r, "TTL celery-taskset-meta-g.j"), 86400);
    cr_assert(holds(r, "ZRANGE celery-taskset-meta-g.j 0 -1",
                    "[1, \"tid\", \"SUCCESS\", {\"a\": [1, 2]}]"));
    /* What add_to_chord does. */
    free(redis_server_ask(r->server, "INCR celery-taskset-meta-g.t"));
    ts.id = (struct slice){"two", 3};
    r->r->ops->chord_part(r->r, str("g"), 1, &ts, result_rig_part, r);
    cr_assert(result_rig_wait_parts(r, 2, 3000));
    cr_assert(!r->part_ready, "it has grown to three");
    ts.id = (struct slice){"three", 5};
    r->r->ops->chord_part(r->r, str("g"), 2, &ts, result_rig_part, r);
    cr_assert(result_rig_wait_parts(r, 3, 3000));
    cr_assert(r->part_ready);
    r->r->ops->chord_done(r->r, str("g"));
    result_rig_run(r, 100);
    cr_assert_eq(number(r, "DBSIZE"), 0);
}

/* Celery's own AsyncResult, in a child. */
static FILE *
python(struct result_rig *r, const char *code)
{
    char line[1024];
    FILE *f;

    (void)snprintf(line, sizeof line,
                   "/usr/bin/python3 -c 'from celery import Celery\n"
                   "app = Celery(broker=\"memory://\", backend=\"%s\")\n"
                   "r = app.AsyncResult(\"id-1\")\n%s'",
                   redis_server_url(r->server), code);
    f = popen(line, "r");
    cr_assert_not_null(f);
    return f;
}

static void
expect(FILE *f, const char *expected)
{
    char out[512];
    size_t n = fread(out, 1, sizeof out - 1, f);

    out[n] = '\0';
    cr_assert_str_eq(out, expected);
    cr_assert_eq(pclose(f), 0);
}

REDIS(celery_reads_what_we_store)
{
    put(r, "id-1", "FAILURE",
        "{\"exc_type\": \"ValueError\", \"exc_message\": [\"boom\", 42], "
        "\"exc_module\": \"builtins\"}");
    expect(python(r, "print(r.state, repr(r.result))"),
           "FAILURE ValueError('boom', 42)\n");
}

/* As Celery 5.3 names its keys; 5.2 has to be told. */
REDIS(a_global_keyprefix_is_on_every_key_and_channel)
{
    static const char celery[] = "b = app.backend\n"
                                 "for k in (\"task\", \"group\", \"chord\"):\n"
                                 "    k += \"_keyprefix\"\n"
                                 "    setattr(b, k, b\"RB_\" + getattr(b, k))\n"
                                 "print(r.get(timeout=20), flush=True)\n"
                                 "b.store_result(\"id-2\", 7, \"SUCCESS\")\n";
    struct task_state ts = {
        .id = {"id-3", 4}, .status = {"SUCCESS", 7}, .result_text = {"1", 1}};
    FILE *f;

    result_rig_close(r, 1000);
    free(r->config.result_backend_transport_options);
    r->config.result_backend_transport_options =
        strdup("{\"global_keyprefix\": \"RB\"}");
    result_rig_open(r);
    cr_assert_not_null(r->r->ops->watch(r->r, str("id-2"), result_rig_note, r));
    f = python(r, celery);
    for (int i = 0; i < 4000 && !holds(r, "PUBSUB CHANNELS *", "id-1"); i++)
        result_rig_run(r, 5);
    cr_assert(holds(r, "PUBSUB CHANNELS *", "RB_celery-task-meta-id-2"));
    ts.id = str("id-1");
    r->r->ops->put(r->r, &ts, NULL, NULL);
    cr_assert(result_rig_wait(r, 1, 20000));
    cr_assert_str_eq(r->text, "SUCCESS 7");
    expect(f, "1\n");
    cr_assert_eq(number(r, "EXISTS RB_celery-task-meta-id-1"), 1);
    r->r->ops->chord_size(r->r, str("g"), 1, NULL, NULL);
    r->r->ops->chord_part(r->r, str("g"), 0, &ts, result_rig_part, r);
    cr_assert(result_rig_wait_parts(r, 1, 3000));
    cr_assert(r->part_ready);
    cr_assert(!holds(r, "KEYS celery*", "c"));
    cr_assert_eq(number(r, "EXISTS RB_celery-taskset-meta-g.s"), 1);
    r->r->ops->chord_done(r->r, str("g"));
    r->r->ops->forget(r->r, str("id-1"), NULL, NULL);
    r->r->ops->forget(r->r, str("id-2"), NULL, NULL);
    result_rig_run(r, 200);
    cr_assert_eq(number(r, "DBSIZE"), 0);
}

REDIS(celery_that_waits_is_told)
{
    FILE *f = python(r, "print(\"w\", flush=True)\nprint(r.get(timeout=20))");
    char line[8];

    cr_assert_not_null(fgets(line, sizeof line, f));
    for (int i = 0; i < 2000 && !holds(r, "PUBSUB CHANNELS *", "id-1"); i++)
        result_rig_run(r, 5);
    put(r, "id-1", "SUCCESS", "[1, 2]");
    expect(f, "[1, 2]\n");
}

REDIS(we_are_told_what_celery_stores)
{
    FILE *f;

    cr_assert_not_null(r->r->ops->watch(r->r, str("id-1"), result_rig_note, r));
    result_rig_run(r, 200);
    f = python(r, "app.backend.store_result(\"id-1\", {\"x\": 1}, "
                  "\"SUCCESS\")");
    cr_assert(result_rig_wait(r, 1, 20000));
    cr_assert_str_eq(r->text, "SUCCESS {\"x\": 1}");
    cr_assert_eq(pclose(f), 0);
}

/* ---- the cache ---- */

struct answer {
    int calls;
    char text[64];
};

static void
on_value(void *arg, struct slice value)
{
    struct answer *a = arg;

    a->calls++;
    (void)snprintf(a->text, sizeof a->text, "%.*s",
                   value.ptr == NULL ? 4 : (int)value.len,
                   value.ptr == NULL ? "miss" : value.ptr);
}

static bool
answered(void *arg)
{
    return ((struct answer *)arg)->calls > 0;
}

static const char *
look_up(struct result_rig *r, struct cache *c, const char *key)
{
    static struct answer a;

    a = (struct answer){0};
    cache_get(c, str(key), on_value, &a);
    cr_assert_eq(a.calls, 0, "called back too early");
    cr_assert(loop_until(&r->loop, answered, &a, 400));
    loop_until(&r->loop, NULL, NULL, 20);
    cr_assert_eq(a.calls, 1);
    return a.text;
}

REDIS(the_cache_keeps_values_for_their_time)
{
    struct cache *c;
    struct error err;

    cr_assert_eq(
        cache_open(&c, &r->loop, redis_server_url(r->server), &r->config, &err),
        ST_OK);
    cr_assert_str_eq(look_up(r, c, "k"), "miss");
    result_rig_run(r, 100);
    cache_put(c, str("k"), str("value"), 100);
    cache_put(c, str("never"), str("value"), 0);
    cr_assert_str_eq(look_up(r, c, "k"), "value");
    cr_assert_str_eq(look_up(r, c, "never"), "miss");
    cr_assert_eq(number(r, "TTL lovage.cache.k"), 100);
    cache_close(c);
}

REDIS(a_cache_that_is_away_misses_in_time)
{
    struct answer waiting = {0};
    struct cache *c;
    struct error err;

    cr_assert_eq(
        cache_open(&c, &r->loop, redis_server_url(r->server), &r->config, &err),
        ST_OK);
    result_rig_run(r, 100);
    cache_put(c, str("k"), str("value"), 100);
    cr_assert_str_eq(look_up(r, c, "k"), "value");
    redis_server_freeze(r->server, true);
    cr_assert_str_eq(look_up(r, c, "k"), "miss");
    redis_server_freeze(r->server, false);
    result_rig_run(r, 100);
    cr_assert_str_eq(look_up(r, c, "k"), "value");
    redis_server_kill(r->server);
    cr_assert_str_eq(look_up(r, c, "k"), "miss");
    cache_put(c, str("k"), str("value"), 100);
    redis_server_start(r->server);

    cache_get(c, str("k"), on_value, &waiting);
    cache_close(c);
    result_rig_run(r, 400);
    cr_assert_eq(waiting.calls, 0);
}
