/* SPDX-License-Identifier: Apache-2.0 */
/* A node: everything is opened, the loop turns, everything is closed. */
#include "worker/node.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "worker/builtin.h"
#include "worker/llm/llm.h"
#include "worker/nodename.h"
#include "worker/worker.h"

enum { EXIT_CONFIG = 2, HOST_MAX = 256, EXTRA_CALLS = 64 };

struct slice
node_slice(const char *s)
{
    struct slice r = {s, strlen(s)};

    return r;
}

struct slice
node_who(const struct node *n)
{
    return node_slice(n->instance);
}

/* ---- names ---- */

static enum status
name_node(struct node *n, struct error *err)
{
    char host[HOST_MAX] = "localhost";
    uint32_t r;
    int len;

    if (gethostname(host, sizeof(host) - 1) != 0)
        host[0] = '\0';
    if (nodename_format(n->config->worker_hostname, host, n->page->index,
                        n->name, sizeof(n->name), err) != ST_OK)
        return err->code;
    id_random(&r, sizeof(r));
    len = snprintf(n->instance, sizeof(n->instance), "%s/%08x", n->name, r);
    if (len < 0 || (size_t)len >= sizeof(n->instance))
        return error_set(err, ST_TOOBIG, "the node's name is too long");
    memcpy(n->page->instance, n->instance, sizeof(n->instance));
    return ST_OK;
}

/* ---- tasks ---- */

static enum status
register_tasks(const struct config *c, struct error *err)
{
    struct lovage_registry *r = registry_get();
    enum status st = builtin_register(r, err);

    if (st == ST_OK)
        st = llm_tasks_register(r, c, err);
    if (st == ST_OK)
        st = registry_load_all(c->worker_include, err);
    return st;
}

static bool
any_blocking(void)
{
    const struct lovage_task_def *d;

    for (size_t i = 0; (d = registry_at(i)); i++)
        if (d->kind == LOVAGE_BLOCKING)
            return true;
    return false;
}

/* ---- services ---- */

static enum status
open_broker(struct node *n, struct error *err)
{
    const struct broker_opts o = {
        .url = n->config->broker_url,
        .config = n->config,
        .topology = n->topology,
        .instance = n->instance,
        .adopt = n->page->dead[0] ? n->page->dead : NULL,
    };
    enum status st =
        broker_open(&n->broker, &n->loop, &o, &consumer_events, n, err);

    if (st == ST_OK && n->records)
        st = relay_open(&n->relay, &n->loop, n->records, n->broker, err);
    return st;
}

static enum status
open_services(struct node *n, struct error *err)
{
    const struct config *c = n->config;
    const char *cache_url = c->cache_url[0] ? c->cache_url : c->result_backend;
    size_t calls = (size_t)c->worker_async_concurrency + EXTRA_CALLS;
    enum status st;

    st = result_open(&n->result, &n->loop, c->result_backend, c, err);
    if (st == ST_OK && c->database_url[0])
        st = records_open(&n->records, &n->loop, c, err);
    if (st == ST_OK)
        st = http_open(&n->http, &n->loop, calls, err);
    if (st == ST_OK && cache_takes(cache_url))
        st = cache_open(&n->cache, &n->loop, cache_url, c, err);
    n->services.loop = &n->loop;
    n->services.config = c;
    n->services.http = n->http;
    n->services.cache = n->cache;
    n->services.nodename = n->name;
    return st;
}

static enum status
open_pool(struct node *n, struct error *err)
{
    int64_t size = n->config->worker_concurrency;
    struct pool_opts o = {
        .loop = &n->loop,
        .config = n->config,
        .size = size > 0 ? (size_t)size : uv_available_parallelism(),
        .argc = n->argc,
        .argv = n->argv,
        .idle = !any_blocking(),
    };

    return pool_open(&n->pool, &o, &run_pool_events, n, err);
}

static void
make_metrics(struct node *n)
{
    n->m_tasks = metric_new(METRIC_COUNTER, "tasks_total",
                            "Tasks that ended, by outcome.", "outcome");
    n->m_in_hand = metric_new(METRIC_GAUGE, "tasks_in_hand",
                              "Tasks that the node holds, by state.", "state");
    n->m_executors = metric_new(
        METRIC_COUNTER, "executor_deaths_total",
        "Executors that died while they ran a task, by cause.", "cause");
    n->m_lag = metric_new(METRIC_HISTOGRAM, "loop_lag_seconds",
                          "How late the node's one-second timer is.", NULL);
}

void
node_init(struct node *n, const struct config *config, int argc, char **argv)
{
    n->config = config;
    n->argc = argc;
    n->argv = argv;
    n->started_us = clock_mono_us();
    for (int s = 0; s < RQ_STATES; s++)
        list_init(&n->states[s]);
    list_init(&n->blocking);
    list_init(&n->async);
    list_init(&n->outgoing);
    list_init(&n->stores);
    n->store_patience_us = store_patience_us(config);
    map_init(&n->by_id);
    revoked_init(&n->revoked);
    shm_table_init(&n->slots, n->page);
    lost_init(n);
    make_metrics(n);
    uv_loop_init(&n->loop);
    stalls_init(&n->stalls, &n->loop);
    timers_init(&n->timers, &n->loop);
    flow_init(n);
}

void
node_fini(struct node *n)
{
    for (int s = 0; s < RQ_STATES; s++)
        list_for_each_safe (l, &n->states[s])
            request_free(list_entry(l, struct request, link));
    map_fini(&n->by_id);
    revoked_fini(&n->revoked);
    lost_fini(n);
    store_fini(n);
    topology_free(n->topology);
    uv_loop_close(&n->loop);
}

/* A node without its supervisor has no place. */
static bool
orphaned(const struct node *n)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    return n->page->supervisor && getppid() != n->page->supervisor;
}

static enum status
open_all(struct node *n, struct error *err)
{
    enum status st = register_tasks(n->config, err);

    if (st == ST_OK)
        st = topology_new(&n->topology, n->config, err);
    if (st == ST_OK)
        st = open_services(n, err);
    if (st == ST_OK)
        st = open_pool(n, err);
    return st;
}

static void
begin(struct node *n)
{
    struct error err;

    if (n->phase != NODE_STARTING)
        return;
    if (open_broker(n, &err) == ST_OK && node_consume(n, &err) == ST_OK) {
        if (n->config->worker_enable_remote_control)
            control_subscribe(n);
        flow_changed(n);
        return;
    }
    log_critical("node cannot start", "reason=%s", err.text);
    n->exit_code = EXIT_CONFIG;
    shutdown_warm(n);
}

static int
run(struct node *n)
{
    shutdown_signals(n);
    tick_start(n);
    if (n->records && n->page->dead[0])
        lost_recover(n, begin);
    else
        begin(n);
    uv_run(&n->loop, UV_RUN_DEFAULT);
    return n->exit_code;
}

int
node_main(const struct config *config, int argc, char **argv)
{
    struct node *n = calloc(1, sizeof(*n));
    struct error err = {.text = "out of memory"};
    int code = EXIT_CONFIG;

    if (!n || shm_attach(&n->page, &err) != ST_OK) {
        log_critical("node cannot start", "reason=%s", err.text);
        free(n);
        return EXIT_FAILURE;
    }
    signal(SIGPIPE, SIG_IGN);
    node_init(n, config, argc, argv);
    if (orphaned(n)) {
        code = EXIT_FAILURE;
    } else if (name_node(n, &err) != ST_OK || open_all(n, &err) != ST_OK) {
        log_critical("node cannot start", "reason=%s", err.text);
        /* What was opened goes with the process, and what checks for leaks at
         * a normal end must not complain and change the exit code. */
        _exit(code);
    } else {
        code = run(n);
        node_fini(n);
    }
    free(n);
    return code;
}
