/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_WORKER_LLM_BENCH_H
#define TESTS_UNIT_WORKER_LLM_BENCH_H

/* The LLM tasks against fake_llm.py and the built-in echo, with the real task
 * code, HTTP engine and registry; the node and the cache are stood in for.  For
 * one test program: it defines what the real cache would. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/list.h"
#include "tests/support/fake_llm.h"
#include "worker/llm/llm.h"
#include "worker/registry.h"
#include "worker/task.h"

/* ---- a cache in memory ---- */

enum { CACHE_SLOTS = 32 };

struct look_up {
    struct list link;
    struct slice value;
    cache_fn *fn;
    void *arg;
};

struct cache {
    uv_idle_t idle;
    struct list look_ups;
    char key[CACHE_SLOTS][128], *value[CACHE_SLOTS];
    size_t used, gets, hits, puts;
    bool silent; /* does not answer */
};

static inline void
answer_look_ups(uv_idle_t *idle)
{
    struct cache *c = idle->data;
    struct list *n;

    if (c->silent)
        return;
    uv_idle_stop(idle);
    while ((n = list_pop(&c->look_ups)) != NULL) {
        struct look_up *l = list_entry(n, struct look_up, link);

        l->fn(l->arg, l->value);
        free(l);
    }
}

void
cache_get(struct cache *c, struct slice key, cache_fn *fn, void *arg)
{
    struct look_up *l = calloc(1, sizeof(*l));

    *l = (struct look_up){.fn = fn, .arg = arg};
    for (size_t i = 0; i < c->used; i++)
        if (strlen(c->key[i]) == key.len &&
            memcmp(c->key[i], key.ptr, key.len) == 0)
            l->value = (struct slice){c->value[i], strlen(c->value[i])};
    c->gets++;
    c->hits += l->value.ptr != NULL;
    list_add_tail(&c->look_ups, &l->link);
    uv_idle_start(&c->idle, answer_look_ups);
}

void
cache_put(struct cache *c, struct slice key, struct slice value, int64_t ttl_s)
{
    cr_assert_lt(c->used, CACHE_SLOTS);
    cr_assert_eq(ttl_s, 3600);
    snprintf(c->key[c->used], sizeof(c->key[0]), "%.*s", (int)key.len, key.ptr);
    c->value[c->used++] = strndup(value.ptr, value.len);
    c->puts++;
}

/* ---- a node ---- */

struct bench {
    uv_loop_t loop;
    struct fake_llm fake;
    struct config config;
    struct services services;
    struct cache cache;
    size_t finished;
};

static struct bench *b; /* of the one test in this process */
static double soft_limit;

static inline struct json_object *
fields(lovage_task *t)
{
    struct json_object *o = json_object_new_object();
    struct json_object *limits = json_object_new_array();

    (void)t;
    json_object_array_add(limits, NULL);
    json_object_array_add(
        limits, soft_limit > 0 ? json_object_new_double(soft_limit) : NULL);
    json_object_object_add(o, "timelimit", limits);
    return o;
}

static inline void
on_finish(lovage_task *t)
{
    (void)t;
    b->finished++;
}

static inline const struct services *
services(lovage_task *t)
{
    (void)t;
    return &b->services;
}

static const struct task_host host = {
    .fields = fields, .finish = on_finish, .services = services};

static char models_file[64];

static inline void
write_models(void)
{
    FILE *f;

    snprintf(models_file, sizeof(models_file), "/tmp/lovage-models-%d",
             (int)getpid());
    f = fopen(models_file, "w");
    fprintf(f,
            "{\"providers\":{"
            "\"o\":{\"kind\":\"openai\",\"base_url\":\"%s/v1\"},"
            "\"a\":{\"kind\":\"anthropic\",\"base_url\":\"%s/v1\"},"
            "\"g\":{\"kind\":\"gemini\",\"base_url\":\"%s/v1beta\"},"
            "\"p\":{\"kind\":\"palm\",\"base_url\":\"%s/v1beta2\"},"
            "\"t\":{\"kind\":\"tgi\",\"base_url\":\"%s/models/{model}\"},"
            "\"k\":{\"base_url\":\"%s/v1\",\"api_key_env\":\"FAKE_KEY\"},"
            "\"dead\":{\"base_url\":\"http://127.0.0.1:1\"}},"
            "\"models\":{\"thinker\":{\"provider\":\"o\",\"model\":"
            "\"fake:reasoning-50\",\"reasons\":true,\"reasoning_allowance\":0},"
            "\"roomy\":{\"provider\":\"o\",\"model\":\"fake:reasoning-50\","
            "\"reasons\":true,\"reasoning_allowance\":100}}}",
            b->fake.base, b->fake.base, b->fake.base, b->fake.base,
            b->fake.base, b->fake.base);
    setenv("FAKE_KEY", "one that looks like no other", 1);
    fclose(f);
}

static inline void
start(void)
{
    struct error err = {0};

    b = calloc(1, sizeof(*b));
    fake_llm_start(&b->fake, NULL);
    cr_assert_eq(uv_loop_init(&b->loop), 0);
    cr_assert_eq(config_init(&b->config, &err), ST_OK, "%s", err.text);
    write_models();
    cr_assert_eq(config_set(&b->config, "llm_models_file", models_file, &err),
                 ST_OK);
    cr_assert_eq(config_set(&b->config, "llm_timeout", "10", &err), ST_OK);
    cr_assert_eq(http_open(&b->services.http, &b->loop, 100, &err), ST_OK);
    list_init(&b->cache.look_ups);
    uv_idle_init(&b->loop, &b->cache.idle);
    b->cache.idle.data = &b->cache;
    b->services.loop = &b->loop;
    b->services.config = &b->config;
    b->services.cache = &b->cache;
    cr_assert_eq(llm_tasks_register(registry_get(), &b->config, &err), ST_OK,
                 "%s", err.text);
    remove(models_file);
}

static inline void
stop(void)
{
    http_close(b->services.http, NULL, NULL);
    uv_close((uv_handle_t *)&b->cache.idle, NULL);
    uv_run(&b->loop, UV_RUN_DEFAULT);
    cr_assert_eq(uv_loop_close(&b->loop), 0, "a handle is left open");
    for (size_t i = 0; i < b->cache.used; i++)
        free(b->cache.value[i]);
    fake_llm_stop(&b->fake);
    config_fini(&b->config);
    free(b);
}

static inline void
set(const char *name, const char *value)
{
    struct error err = {0};

    cr_assert_eq(config_set(&b->config, name, value, &err), ST_OK, "%s",
                 err.text);
}

/* ---- one run of a task ---- */

struct run {
    lovage_task task;
    struct json_object *args, *kwargs;
    bool over; /* ended without waiting */
};

static inline struct json_object *
json(const char *text)
{
    struct json_object *v = NULL;

    cr_assert_eq(json_parse((struct slice){text, strlen(text)}, 64, &v, NULL),
                 ST_OK, "%s", text);
    return v;
}

static inline void
begin(struct run *r, const char *name, const char *args, const char *kwargs)
{
    const struct lovage_task_def *def =
        registry_find((struct slice){name, strlen(name)});

    cr_assert_not_null(def, "%s", name);
    task_init(&r->task, def, &host, NULL);
    r->args = json(args);
    r->kwargs = json(kwargs);
    r->task.args = r->args;
    r->task.kwargs = r->kwargs;
    r->task.id = "id-1";
    r->over = task_run(&r->task);
}

static inline void
wait_for(size_t finished)
{
    while (b->finished < finished)
        uv_run(&b->loop, UV_RUN_ONCE);
}

static inline void
clear(struct run *r)
{
    task_clear(&r->task);
    json_object_put(r->args);
    json_object_put(r->kwargs);
}

static inline void
run(struct run *r, const char *name, const char *args, const char *kwargs)
{
    size_t n = b->finished + 1;

    begin(r, name, args, kwargs);
    if (!r->over)
        wait_for(n);
}

static inline struct json_object *
result(struct run *r)
{
    cr_assert_eq(r->task.out.kind, OUTCOME_RETURN, "%s",
                 json_object_to_json_string(r->task.out.exc));
    return r->task.out.result;
}

static inline const char *
get(struct json_object *o, const char *key)
{
    return json_object_get_string(json_get(o, key));
}

static inline struct json_object *
answer(struct run *r, size_t i)
{
    return json_object_array_get_idx(json_get(result(r), "answers"), i);
}

/* The exception, as its JSON text. */
static inline const char *
exception(struct run *r)
{
    cr_assert(r->task.out.kind == OUTCOME_RAISE ||
              r->task.out.kind == OUTCOME_RETRY);
    return json_object_to_json_string(r->task.out.exc);
}

/* How many calls the fake server has had with this prompt. */
static int64_t calls_seen;

static inline void
on_stats(void *arg, const struct http_response *h)
{
    struct json_object *doc = NULL;

    cr_assert_eq(json_parse(h->body, 64, &doc, NULL), ST_OK);
    calls_seen = json_get_int(json_get(doc, "prompts"), arg, 0);
    json_object_put(doc);
    b->finished++;
}

static inline int64_t
calls_with(const char *prompt)
{
    char url[96], key[64];
    struct http_request rq = {
        .method = "GET", .url = url, .max_response = 1 << 20};
    struct http_call *c;
    size_t n = b->finished + 1;

    snprintf(url, sizeof(url), "%s/stats", b->fake.base);
    snprintf(key, sizeof(key), "%s", prompt);
    cr_assert_eq(http_call(b->services.http, &rq, on_stats, key, &c), ST_OK);
    wait_for(n);
    return calls_seen;
}

#endif
