/* SPDX-License-Identifier: Apache-2.0
 *
 * `lovage call` and `lovage result`: send a task, wait for an outcome. */
#include "cli/cli.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/client.h"
#include "cli/group.h"
#include "protocol/iso8601.h"
#include "protocol/task.h"

const struct cli_flag call_flags[] = {
    {"args", 'a', "JSON", NULL, false, "positional arguments: an array"},
    {"kwargs", 'k', "JSON", NULL, false, "keyword arguments: an object"},
    {"countdown", 0, "SECONDS", NULL, false, "run it so much later"},
    {"eta", 0, "TIME", NULL, false, "run it then (ISO 8601)"},
    {"expires", 0, "SECONDS|TIME", NULL, false, "do not run it after that"},
    {"queue", 'Q', "NAME", NULL, false, "else what task_routes says"},
    {"exchange", 0, "NAME", NULL, false, "to this exchange"},
    {"routing-key", 0, "KEY", NULL, false, "with this routing key"},
    {"priority", 0, "N", NULL, false, "0 to 9; on Redis 0 comes first"},
    {"task-id", 0, "ID", NULL, false, "else a random one"},
    {"wait", 'w', NULL, NULL, false, "wait for the result and print it"},
    {"timeout", 0, "SECONDS", NULL, false, "how long --wait waits at most"},
    {.name = NULL},
};

const struct cli_flag result_flags[] = {
    {"timeout", 0, "SECONDS", NULL, false, "how long to wait at most"},
    {"traceback", 0, NULL, NULL, false, "print the traceback of a failure"},
    {"forget", 0, NULL, NULL, false, "then delete the result"},
    {.name = NULL},
};

/* What --args and its like give; what is borrowed by struct task_new. */
struct call {
    struct task_new task;
    char id[ID_LEN + 1], origin[128];
    struct topology *topology;
    struct message *msg;
};

struct outcome {
    struct slice sent; /* the id, until it has been printed */
    bool done;
    int rc;
    bool traceback;
};

static struct slice
text(const char *s)
{
    return (struct slice){s, s != NULL ? strlen(s) : 0};
}

static int
read_json(const struct cli *c, const char *flag, enum json_type type,
          struct json_object **out)
{
    const char *value = cli_flag(c, flag);
    struct error err;

    if (value == NULL)
        return EXIT_OK;
    if (json_parse(text(value), JSON_DEPTH, out, &err) != ST_OK)
        return cli_fail(EXIT_USAGE, "--%s: %s", flag, err.text);
    if (json_object_get_type(*out) != type)
        return cli_fail(EXIT_USAGE, "--%s: not a JSON %s: %s", flag,
                        json_type_to_name(type), value);
    return EXIT_OK;
}

/* Seconds from now, or a time. */
static int
read_time(const struct cli *c, const char *flag, bool *has, int64_t *unix_us)
{
    const char *value = cli_flag(c, flag);
    struct error err;
    double seconds;
    char *end;

    if (value == NULL)
        return EXIT_OK;
    seconds = strtod(value, &end);
    *has = true;
    if (end != value && *end == '\0' && fabs(seconds) < 1e10) {
        *unix_us = clock_unix_us() + (int64_t)(seconds * 1e6);
        return EXIT_OK;
    }
    if (iso8601_parse(text(value), unix_us, &err) != ST_OK)
        return cli_fail(EXIT_USAGE, "--%s: %s", flag, err.text);
    return EXIT_OK;
}

static int
read_numbers(const struct cli *c, struct task_new *t)
{
    double priority;
    int rc = cli_flag_number(c, "priority", -1, &priority);

    if (rc != EXIT_OK)
        return rc;
    if (priority > 255 || priority != floor(priority))
        return cli_fail(EXIT_USAGE, "--priority: not 0 to 255: %s",
                        cli_flag(c, "priority"));
    t->priority = (int)priority;
    if (cli_flag(c, "countdown") != NULL && cli_flag(c, "eta") != NULL)
        return cli_fail(EXIT_USAGE, "--countdown and --eta: only one of them");
    rc = read_time(c, "countdown", &t->has_eta, &t->eta_us);
    if (rc == EXIT_OK)
        rc = read_time(c, "eta", &t->has_eta, &t->eta_us);
    if (rc == EXIT_OK)
        rc = read_time(c, "expires", &t->has_expires, &t->expires_us);
    return rc;
}

static int
set_route(struct call *k, const struct cli *c)
{
    struct task_route r = {
        .queue = text(cli_flag(c, "queue")),
        .exchange = text(cli_flag(c, "exchange")),
        .routing_key = text(cli_flag(c, "routing-key")),
        .priority = k->task.priority,
    };
    struct error err;

    if (topology_new(&k->topology, &c->config, &err) != ST_OK ||
        topology_route(k->topology, k->task.name, &r, &err) != ST_OK)
        return cli_fail(EXIT_USAGE, "%s", err.text);
    k->task.exchange = r.exchange;
    k->task.routing_key = r.routing_key;
    k->task.priority = r.priority;
    k->task.delivery_mode = r.delivery_mode;
    return EXIT_OK;
}

static int
call_init(struct call *k, const struct cli *c)
{
    const char *id = cli_flag(c, "task-id");
    char host[64] = "localhost";
    struct error err;
    int rc;

    gethostname(host, sizeof(host) - 1);
    snprintf(k->origin, sizeof(k->origin), "gen%ld@%s", (long)getpid(), host);
    id_new(k->id);
    k->task = (struct task_new)TASK_NEW_INIT;
    k->task.name = text(c->args[0]);
    k->task.id = text(id != NULL ? id : k->id);
    k->task.origin = text(k->origin);
    k->task.compression = text(c->config.task_compression);
    rc = read_json(c, "args", json_type_array, &k->task.args);
    if (rc == EXIT_OK)
        rc = read_json(c, "kwargs", json_type_object, &k->task.kwargs);
    if (rc == EXIT_OK)
        rc = read_numbers(c, &k->task);
    if (rc == EXIT_OK)
        rc = set_route(k, c);
    if (rc == EXIT_OK && task_encode(&k->task, &k->msg, &err) != ST_OK)
        rc = cli_fail(EXIT_USAGE, "%s", err.text);
    return rc;
}

static void
call_fini(struct call *k)
{
    message_free(k->msg);
    topology_free(k->topology);
    json_object_put(k->task.args);
    json_object_put(k->task.kwargs);
}

static void
print_failure(const struct outcome *o, const struct task_state *ts)
{
    struct buf b;
    char *repr = NULL;

    buf_init(&b, 64 * 1024);
    if (ts->result != NULL)
        state_exception_repr(ts->result, &b);
    if (o->traceback && ts->traceback.ptr != NULL)
        fprintf(stderr, "%.*s\n", (int)ts->traceback.len, ts->traceback.ptr);
    if (buf_take(&b, &repr, NULL) == ST_OK && *repr != '\0')
        fprintf(stderr, "%.*s: %s\n", (int)ts->status.len, ts->status.ptr,
                repr);
    else
        fprintf(stderr, "%.*s\n", (int)ts->status.len, ts->status.ptr);
    free(repr);
    buf_fini(&b);
}

/* The id comes before the outcome, even if that is here before the broker has
 * confirmed the message. */
static void
print_id(struct outcome *o)
{
    if (o->sent.len > 0)
        printf("%.*s\n", (int)o->sent.len, o->sent.ptr);
    o->sent = (struct slice){0};
    fflush(stdout);
}

static void
on_outcome(void *arg, enum status st, const struct task_state *ts)
{
    struct outcome *o = arg;
    char *value;

    o->done = true;
    o->rc = EXIT_FAILED;
    if (st != ST_OK || ts == NULL) {
        cli_fail(EXIT_FAILED, "no result: %s", status_text(st));
        return;
    }
    print_id(o);
    if (ts->status.len != 7 || memcmp(ts->status.ptr, "SUCCESS", 7) != 0) {
        print_failure(o, ts);
        return;
    }
    value = json_text(ts->result);
    if (value != NULL) {
        printf("%s\n", value);
        o->rc = EXIT_OK;
    }
    free(value);
}

/* Waits until the outcome has been printed. */
static int
wait_outcome(struct client *k, struct result_watch *w, struct outcome *o,
             double timeout)
{
    struct error err;

    if (w == NULL)
        return cli_fail(EXIT_FAILED, "out of memory");
    if (client_run(k, &o->done, timeout, &err) == ST_OK)
        return o->rc;
    k->result->ops->unwatch(k->result, w);
    return cli_fail(EXIT_FAILED, "%s", err.text);
}

static enum status
set_reply_to(const struct client *k, const struct call *call)
{
    const char *to = result_reply_to(k->result);

    return *to != '\0' ? message_set(&call->msg->reply_to, text(to)) : ST_OK;
}

/* The result is watched before the task is sent: it cannot be missed. */
static int
send_task(struct cli *c, struct client *k, const struct call *call)
{
    struct outcome o = {.sent = call->task.id, .traceback = true};
    struct result_watch *w = NULL;
    struct error err;
    double timeout;
    int rc = cli_flag_number(c, "timeout", 0, &timeout);
    bool wait = cli_flag(c, "wait") != NULL;

    if (rc != EXIT_OK)
        return rc;
    if (client_open(k, &c->config,
                    wait ? CLIENT_BROKER | CLIENT_RESULT : CLIENT_BROKER,
                    &err) != ST_OK)
        return cli_fail(EXIT_FAILED, "%s", err.text);
    if (wait && set_reply_to(k, call) != ST_OK)
        return cli_fail(EXIT_FAILED, "out of memory");
    if (wait)
        w = k->result->ops->watch(k->result, call->task.id, on_outcome, &o);
    if (client_publish(k, call->msg, &err) != ST_OK)
        return cli_fail(EXIT_FAILED, "%s", err.text);
    print_id(&o);
    return wait ? wait_outcome(k, w, &o, timeout) : EXIT_OK;
}

int
cmd_call(struct cli *c)
{
    struct client k = {0};
    struct call call = {0};
    int rc = call_init(&call, c);

    if (rc == EXIT_OK)
        rc = send_task(c, &k, &call);
    client_close(&k);
    call_fini(&call);
    return rc;
}

static void
on_forgotten(void *arg, enum status st, const struct task_state *ts)
{
    bool *done = arg;

    (void)st;
    (void)ts;
    *done = true;
}

static void
forget(struct client *k, const char *id)
{
    bool done = false;
    struct error err;

    k->result->ops->forget(k->result, text(id), on_forgotten, &done);
    (void)client_run(k, &done, 0, &err);
}

/* The id may be a task's or that of a saved group. */
static int
show_result(struct cli *c, struct client *k, double timeout)
{
    struct outcome o = {.traceback = cli_flag(c, "traceback") != NULL};
    bool forgets = cli_flag(c, "forget") != NULL, is_group;
    const char *id = c->args[0];
    int rc = group_show(k, id, timeout, forgets, &is_group);

    if (is_group)
        return rc;
    rc = wait_outcome(
        k, k->result->ops->watch(k->result, text(id), on_outcome, &o), &o,
        timeout);
    if (forgets && o.done)
        forget(k, id);
    return rc;
}

int
cmd_result(struct cli *c)
{
    struct client k = {0};
    struct error err;
    double timeout;
    int rc = cli_flag_number(c, "timeout", 0, &timeout);

    if (rc != EXIT_OK)
        return rc;
    if (client_open(&k, &c->config, CLIENT_RESULT, &err) != ST_OK)
        rc = cli_fail(EXIT_FAILED, "%s", err.text);
    else if (!(result_can(k.result) & RESULT_KEEPS))
        rc = cli_fail(EXIT_FAILED,
                      "%s:// results go to who sent the task: use lovage call "
                      "--wait",
                      k.result->ops->scheme);
    else
        rc = show_result(c, &k, timeout);
    client_close(&k);
    return rc;
}
