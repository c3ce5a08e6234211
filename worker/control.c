/* SPDX-License-Identifier: Apache-2.0 */
/* Remote control: what `celery inspect` and `celery control` ask and order. */
#include "worker/control.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "worker/fields.h"

enum { TEXT_MAX = 64 * 1024, NAME_MAX_BYTES = 512 };

static const char pidbox[] = "celery.pidbox";

struct json_object *
control_say(const char *key, const char *text)
{
    struct json_object *o = json_object_new_object();

    field_text(o, key, text);
    return o;
}

/* ---- orders ---- */

static struct json_object *
order_ping(struct node *n, struct json_object *args)
{
    (void)n;
    (void)args;
    return control_say("ok", "pong");
}

static struct json_object *
order_shutdown(struct node *n, struct json_object *args)
{
    (void)args;
    log_info("shutdown by remote control", "node=%s", n->name);
    shutdown_warm(n);
    return NULL;
}

/* "SIGKILL", "KILL", "TERM" or a number; SIGTERM when it is nothing known. */
static int
signal_of(struct json_object *v)
{
    struct slice s = json_str(v);
    const char *name = s.ptr;

    if (json_object_get_type(v) == json_type_int)
        return json_object_get_int(v);
    if (name && !strncmp(name, "SIG", 3))
        name += 3;
    for (int n = 1; name && n < NSIG; n++)
        if (sigabbrev_np(n) && !strcmp(sigabbrev_np(n), name))
            return n;
    return SIGTERM;
}

static void
revoke_answered(void *arg, enum status st)
{
    (void)arg;
    if (st != ST_OK)
        log_warning("a revocation was not recorded", "reason=%s",
                    status_text(st));
}

/* True: the id is to be ended, and is here: it runs, or waits and will not. */
static bool
revoke_one(struct node *n, struct slice id, bool terminate, int signum)
{
    struct request *rq;

    if (revoked_add(&n->revoked, id, clock_mono_us()) != ST_OK)
        log_warning("a revocation is forgotten", "id=%.*s", (int)id.len,
                    id.ptr);
    if (n->records)
        records_revoke(n->records, id, revoke_answered, NULL);
    rq = terminate ? map_find(&n->by_id, id) : NULL;
    if (!rq || rq->state == RQ_SETTLING)
        return false;
    dispatch_terminate(rq, signum);
    return true;
}

static struct json_object *
revoke_reply(const struct buf *ids, const struct buf *ended, bool terminate)
{
    struct buf text;
    struct json_object *reply;
    char *s = NULL;
    size_t len;

    buf_init(&text, TEXT_MAX);
    if (terminate && ended->len)
        buf_addf(&text, "terminate: %.*s", (int)ended->len, ended->data);
    else if (terminate)
        buf_addf(&text, "terminate: tasks unknown");
    else
        buf_addf(&text, "tasks {%.*s} flagged as revoked", (int)ids->len,
                 ids->len ? ids->data : "");
    reply = buf_take(&text, &s, &len) == ST_OK
                ? control_say("ok", s)
                : control_say("ok", "tasks flagged as revoked");
    free(s);
    buf_fini(&text);
    return reply;
}

static struct json_object *
order_revoke(struct node *n, struct json_object *args)
{
    struct json_object *what = json_get(args, "task_id");
    bool terminate = json_get_bool(args, "terminate", false);
    bool many = json_object_get_type(what) == json_type_array;
    int signum = signal_of(json_get(args, "signal"));
    size_t count = many ? json_object_array_length(what) : 1;
    struct json_object *reply;
    struct buf ids, ended;

    if (!what)
        return control_say("error", "TypeError(\"revoke() missing 1 required "
                                    "positional argument: 'task_id'\")");
    buf_init(&ids, TEXT_MAX);
    buf_init(&ended, TEXT_MAX);
    for (size_t i = 0; i < count; i++) {
        struct slice id =
            json_str(many ? json_object_array_get_idx(what, i) : what);

        if (!id.ptr)
            continue;
        buf_addf(&ids, "%s'%.*s'", ids.len ? ", " : "", (int)id.len, id.ptr);
        if (revoke_one(n, id, terminate, signum))
            buf_addf(&ended, "%s%.*s", ended.len ? ", " : "", (int)id.len,
                     id.ptr);
    }
    reply = revoke_reply(&ids, &ended, terminate);
    buf_fini(&ids);
    buf_fini(&ended);
    return reply;
}

static struct json_object *
order_terminate(struct node *n, struct json_object *args)
{
    struct json_object *copy = json_copy(args), *reply;

    field_bool(copy, "terminate", true);
    reply = order_revoke(n, copy);
    json_object_put(copy);
    return reply;
}

/* Seconds; what is no limit is none. */
static double
limit_of(struct json_object *args, const char *key)
{
    return fmin(fmax(json_get_double(args, key, 0), 0), TASK_SECONDS_MAX);
}

static struct json_object *
order_time_limit(struct node *n, struct json_object *args)
{
    const struct lovage_task_def *d =
        registry_find(json_get_str(args, "task_name"));

    (void)n;
    if (!d)
        return control_say("error", "unknown task");
    registry_entry(d)->hard_s = limit_of(args, "hard");
    registry_entry(d)->soft_s = limit_of(args, "soft");
    return control_say("ok", "time limits set successfully");
}

/* What a neighbour that starts wants to know. */
static void
add_revoked(void *arg, struct slice id, uint64_t at_us)
{
    struct json_object *o = arg, *pair = json_object_new_array();
    char key[NAME_MAX_BYTES];

    if (!pair || id.len >= sizeof(key) ||
        json_append(pair, json_new_double((double)at_us / 1e6)) != ST_OK ||
        json_append(pair, json_new_str(id)) != ST_OK) {
        json_object_put(pair);
        return;
    }
    memcpy(key, id.ptr, id.len);
    key[id.len] = '\0';
    field_take(o, key, pair);
}

static void
learn_revoked(struct node *n, struct json_object *theirs)
{
    if (json_object_get_type(theirs) != json_type_object)
        return;
    json_object_object_foreach(theirs, id, value)
    {
        (void)value; /* seconds of the sender's own clock: of no use here */
        if (revoked_add(&n->revoked, node_slice(id), clock_mono_us()) != ST_OK)
            return;
    }
}

static struct json_object *
order_hello(struct node *n, struct json_object *args)
{
    struct slice from = json_get_str(args, "from_node");
    struct json_object *reply, *ours;

    if (from.ptr && !strcmp(from.ptr, n->name))
        return NULL;
    ours = json_object_new_object();
    revoked_each(&n->revoked, add_revoked, ours);
    learn_revoked(n, json_get(args, "revoked"));
    reply = json_object_new_object();
    field_take(reply, "revoked", ours);
    field_int(reply, "clock", n->clock);
    return reply;
}

static const struct control_command orders[] = {
    {"ping", NULL, order_ping, false},
    {"revoke", NULL, order_revoke, false},
    {"terminate", NULL, order_terminate, false},
    {"time_limit", NULL, order_time_limit, false},
    {"hello", NULL, order_hello, false},
    {"add_consumer", NULL, order_add_consumer, false},
    {"cancel_consumer", NULL, order_cancel_consumer, false},
    {"shutdown", NULL, order_shutdown, true},
    {NULL, NULL, NULL, false},
};

/* ---- receiving ---- */

static bool
is_named(const struct control_command *c, struct slice name)
{
    return (strlen(c->name) == name.len &&
            !memcmp(c->name, name.ptr, name.len)) ||
           (c->alias && strlen(c->alias) == name.len &&
            !memcmp(c->alias, name.ptr, name.len));
}

static const struct control_command *
find(const struct control_command *table, struct slice name)
{
    for (; table->name; table++)
        if (is_named(table, name))
            return table;
    return NULL;
}

static struct json_object *
unknown(struct slice method)
{
    char text[NAME_MAX_BYTES];
    int len = snprintf(text, sizeof(text), "KeyError('%.*s')",
                       (int)(method.len < 400 ? method.len : 400), method.ptr);

    return control_say("error", len > 0 ? text : "KeyError");
}

static void
send_reply(struct node *n, const struct control_request *r,
           struct json_object *reply)
{
    struct message *m = NULL;
    struct error err = {.text = ""};

    if (control_reply(r, node_slice(n->name), reply, n->clock, &m, &err) !=
            ST_OK ||
        n->broker->ops->publish(n->broker, m, NULL, &err) != ST_OK)
        log_warning("a control reply was not sent", "reason=%s", err.text);
    message_free(m);
}

static void
obey(struct node *n, const struct control_request *r)
{
    const struct control_command *c = find(orders, r->method);
    struct json_object *reply;

    if (!c)
        c = find(control_dumps, r->method);
    log_debug("control command", "method=%.*s", (int)r->method.len,
              r->method.ptr);
    reply = c ? c->fn(n, r->arguments) : unknown(r->method);
    if (r->ticket.ptr && !(c && c->silent))
        send_reply(n, r, reply);
    json_object_put(reply);
}

void
control_received(struct node *n, struct message *m)
{
    struct control_request r;
    struct error err;
    enum status st;

    n->clock++;
    st = control_decode(m, node_slice(n->name), &r, &err);
    if (st == ST_OK) {
        obey(n, &r);
        control_fini(&r);
    } else if (st != ST_NOTFOUND) {
        log_warning("a control message makes no sense", "reason=%s", err.text);
    }
    message_free(m);
}

void
control_subscribe(struct node *n)
{
    char queue[sizeof(n->name) + sizeof(pidbox) + 1];
    struct error err;
    int len = snprintf(queue, sizeof(queue), "%s.%s", n->name, pidbox);

    if (len < 0 || n->broker->ops->subscribe(n->broker, node_slice(pidbox),
                                             node_slice(queue), &err) != ST_OK)
        log_warning("no remote control", "reason=%s", err.text);
}
