/* SPDX-License-Identifier: Apache-2.0 */
/* Remote control commands that show what a node has and does, in the shapes
 * that Celery's clients and Flower expect (celery-wire.md 8.4). */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/url.h"
#include "protocol/iso8601.h"
#include "worker/control.h"
#include "worker/fields.h"

enum { PIDS_MAX = 1024, LINE_MAX_BYTES = 600, ETA_PRIORITY = 6 };

/* safe: args as the sender described them. */
static struct json_object *
info(const struct request *rq, bool safe)
{
    const struct task_message *tm = &rq->tm;
    struct json_object *o = json_object_new_object();
    struct json_object *where = json_object_new_object();

    field_str(o, "id", tm->id);
    field_str(o, "name", tm->shadow.ptr ? tm->shadow : tm->name);
    if (safe) {
        field_str(o, "args", tm->argsrepr);
        field_str(o, "kwargs", tm->kwargsrepr);
    } else {
        field_ref(o, "args", tm->args);
        field_ref(o, "kwargs", tm->kwargs);
    }
    field_str(o, "type", tm->name);
    field_text(o, "hostname", rq->n->name);
    if (rq->time_start > 0)
        field_double(o, "time_start", rq->time_start);
    else
        field_null(o, "time_start");
    field_bool(o, "acknowledged", rq->tag == 0);
    field_text(where, "exchange", tm->msg->exchange ? tm->msg->exchange : "");
    field_text(where, "routing_key", tm->msg->routing_key);
    field_int(where, "priority", tm->msg->priority < 0 ? 0 : tm->msg->priority);
    field_bool(where, "redelivered", tm->redelivered);
    field_take(o, "delivery_info", where);
    if (rq->pid)
        field_int(o, "worker_pid", rq->pid);
    else
        field_null(o, "worker_pid");
    return o;
}

struct json_object *
control_info(const struct request *rq)
{
    return info(rq, false);
}

static void
add(struct json_object *list, struct json_object *v)
{
    if (list && v && json_append(list, v) == ST_OK)
        return;
    if (!list)
        json_object_put(v);
}

static void
add_state(struct node *n, struct json_object *list, enum request_state s)
{
    list_for_each (l, &n->states[s])
        add(list, control_info(list_entry(l, struct request, link)));
}

static struct json_object *
dump_active(struct node *n, struct json_object *args)
{
    struct json_object *list = json_object_new_array();
    bool safe = json_get_bool(args, "safe", false);

    list_for_each (l, &n->states[RQ_RUNNING])
        add(list, info(list_entry(l, struct request, link), safe));
    return list;
}

static struct json_object *
dump_reserved(struct node *n, struct json_object *args)
{
    struct json_object *list = json_object_new_array();

    (void)args;
    add_state(n, list, RQ_RECEIVED);
    add_state(n, list, RQ_CLAIMING);
    add_state(n, list, RQ_READY);
    list_for_each (l, &n->states[RQ_PARKED]) {
        const struct request *rq = list_entry(l, struct request, link);

        if (!rq->tm.has_eta)
            add(list, control_info(rq));
    }
    return list;
}

static struct json_object *
dump_scheduled(struct node *n, struct json_object *args)
{
    struct json_object *list = json_object_new_array();

    (void)args;
    list_for_each (l, &n->states[RQ_PARKED]) {
        const struct request *rq = list_entry(l, struct request, link);
        struct json_object *o;
        char eta[ISO8601_MAX];

        if (!rq->tm.has_eta)
            continue;
        o = json_object_new_object();
        field_text(o, "eta", iso8601_format(rq->tm.eta_us, eta));
        field_int(o, "priority", ETA_PRIORITY);
        field_take(o, "request", control_info(rq));
        add(list, o);
    }
    return list;
}

static void
add_revoked(void *arg, struct slice id, uint64_t at_us)
{
    (void)at_us;
    add(arg, json_new_str(id));
}

static struct json_object *
dump_revoked(struct node *n, struct json_object *args)
{
    struct json_object *list = json_object_new_array();

    (void)args;
    revoked_each(&n->revoked, add_revoked, list);
    return list;
}

static bool
wants(struct json_object *items, const char *what)
{
    size_t n = json_object_get_type(items) == json_type_array
                   ? json_object_array_length(items)
                   : 0;

    for (size_t i = 0; i < n; i++) {
        struct slice s = json_str(json_object_array_get_idx(items, i));

        if (s.ptr && !strcmp(s.ptr, what))
            return true;
    }
    return n == 0 && !strcmp(what, "rate_limit");
}

/* "name" or "name [rate_limit=2/s max_retries=3]" */
static void
add_task(struct json_object *list, const struct lovage_task_def *d,
         struct json_object *items)
{
    struct buf b;
    struct slice s;
    bool open = false;

    buf_init(&b, LINE_MAX_BYTES);
    buf_addf(&b, "%s", d->name);
    if (d->rate_limit && wants(items, "rate_limit")) {
        buf_addf(&b, " [rate_limit=%s", d->rate_limit);
        open = true;
    }
    if (wants(items, "max_retries")) {
        buf_addf(&b, "%smax_retries=%d", open ? " " : " [",
                 d->max_retries ? d->max_retries : 3);
        open = true;
    }
    if (open)
        buf_addf(&b, "]");
    s.ptr = b.data;
    s.len = b.len;
    if (!b.failed)
        add(list, json_new_str(s));
    buf_fini(&b);
}

static struct json_object *
dump_registered(struct node *n, struct json_object *args)
{
    struct json_object *list = json_object_new_array();
    bool builtins = json_get_bool(args, "builtins", false);
    const struct lovage_task_def *d;

    (void)n;
    for (size_t i = 0; (d = registry_at(i)); i++)
        if (builtins || strncmp(d->name, "celery.", 7) != 0)
            add_task(list, d, json_get(args, "taskinfoitems"));
    return list;
}

static const char *
query_state(const struct request *rq)
{
    if (rq->state == RQ_RUNNING || rq->state == RQ_SETTLING)
        return "active";
    return rq->state == RQ_PARKED && rq->tm.has_eta ? "ready" : "reserved";
}

static struct json_object *
dump_query(struct node *n, struct json_object *args)
{
    struct json_object *ids = json_get(args, "ids");
    struct json_object *o = json_object_new_object();
    bool many = json_object_get_type(ids) == json_type_array;
    size_t count = many ? json_object_array_length(ids) : ids != NULL;

    for (size_t i = 0; i < count; i++) {
        struct slice id =
            json_str(many ? json_object_array_get_idx(ids, i) : ids);
        const struct request *rq = id.ptr ? map_find(&n->by_id, id) : NULL;
        struct json_object *pair = rq ? json_object_new_array() : NULL;

        if (!pair)
            continue;
        add(pair, json_new_str(node_slice(query_state(rq))));
        add(pair, control_info(rq));
        field_take(o, id.ptr, pair);
    }
    return o;
}

static struct json_object *
dump_clock(struct node *n, struct json_object *args)
{
    struct json_object *o = json_object_new_object();

    (void)args;
    field_int(o, "clock", n->clock);
    return o;
}

/* ---- queues ---- */

static struct json_object *
dump_queues(struct node *n, struct json_object *args)
{
    struct json_object *list = json_object_new_array();

    (void)args;
    for (size_t i = 0; i < topology_count(n->topology); i++) {
        const struct queue_def *q = topology_at(n->topology, i);

        if (q->consumed)
            add(list, json_object_get(q->doc));
    }
    return list;
}

/* ---- stats ---- */

static struct json_object *
totals(void)
{
    struct json_object *o = json_object_new_object();
    const struct lovage_task_def *d;

    for (size_t i = 0; (d = registry_at(i)); i++)
        if (registry_entry(d)->accepted)
            field_int(o, d->name, (int64_t)registry_entry(d)->accepted);
    return o;
}

static struct json_object *
pool_stats(struct node *n)
{
    struct json_object *o = json_object_new_object();
    struct json_object *list = json_object_new_array();
    struct json_object *limits = json_object_new_array();
    const struct config *c = n->config;
    pid_t pids[PIDS_MAX];
    size_t k = pool_pids(n->pool, pids, PIDS_MAX);

    for (size_t i = 0; i < k; i++)
        add(list, json_object_new_int(pids[i]));
    add(limits, json_new_double(c->task_soft_time_limit));
    add(limits, json_new_double(c->task_time_limit));
    field_text(o, "implementation", "lovage:executors");
    field_int(o, "max-concurrency", (int64_t)pool_size(n->pool));
    field_take(o, "processes", list);
    if (c->worker_max_tasks_per_child > 0)
        field_int(o, "max-tasks-per-child", c->worker_max_tasks_per_child);
    else
        field_text(o, "max-tasks-per-child", "N/A");
    field_bool(o, "put-guarded-by-semaphore", false);
    field_take(o, "timeouts", limits);
    field_take(o, "writes", json_object_new_object());
    return o;
}

/* The brokers after the first, without their passwords. */
static struct json_object *
alternates(const char *urls)
{
    struct json_object *list = json_object_new_array();
    const char *next = urls;

    while ((next = strchr(next, ';'))) {
        char one[LINE_MAX_BYTES], shown[LINE_MAX_BYTES];
        size_t len = strcspn(++next, ";");

        if (len >= sizeof(one))
            continue;
        memcpy(one, next, len);
        one[len] = '\0';
        add(list,
            json_new_str(node_slice(url_redacted(one, shown, sizeof(shown)))));
    }
    return list;
}

static bool
is_tls(const char *scheme)
{
    return !strncmp(scheme, "rediss", 6) || !strcmp(scheme, "amqps");
}

/* Of a list of brokers it shows the first. */
static struct json_object *
broker_stats(struct node *n)
{
    static const char *const unset[] = {"login_method", "uri_prefix",
                                        "credential_provider"};
    struct json_object *o = json_object_new_object();
    const char *urls = n->config->broker_url;
    char *first = strndup(urls, strcspn(urls, ";"));
    struct url u;

    if (!first || url_parse(first, &u, NULL) != ST_OK) {
        free(first);
        return o;
    }
    field_text(o, "hostname", u.host[0] ? u.host : u.path);
    field_text(o, "userid", u.user[0] ? u.user : NULL);
    field_text(o, "virtual_host", u.path[0] == '/' ? u.path + 1 : u.path);
    field_int(o, "port", u.port);
    field_bool(o, "insist", false);
    field_bool(o, "ssl", is_tls(u.scheme));
    field_text(o, "transport", n->broker->ops->scheme);
    field_double(o, "connect_timeout", n->config->broker_connection_timeout);
    field_take(o, "transport_options", json_object_new_object());
    for (size_t i = 0; i < sizeof(unset) / sizeof(unset[0]); i++)
        field_null(o, unset[i]);
    field_double(o, "heartbeat", 0);
    field_text(o, "failover_strategy", n->config->broker_failover_strategy);
    field_take(o, "alternates", alternates(urls));
    url_fini(&u);
    free(first);
    return o;
}

static struct json_object *
usage_stats(void)
{
    struct json_object *o = json_object_new_object();
    struct rusage u;

    if (getrusage(RUSAGE_SELF, &u) != 0)
        return o;
    field_double(o, "utime",
                 (double)u.ru_utime.tv_sec + (double)u.ru_utime.tv_usec / 1e6);
    field_double(o, "stime",
                 (double)u.ru_stime.tv_sec + (double)u.ru_stime.tv_usec / 1e6);
    field_int(o, "maxrss", u.ru_maxrss);
    field_int(o, "ixrss", u.ru_ixrss);
    field_int(o, "idrss", u.ru_idrss);
    field_int(o, "isrss", u.ru_isrss);
    field_int(o, "minflt", u.ru_minflt);
    field_int(o, "majflt", u.ru_majflt);
    field_int(o, "nswap", u.ru_nswap);
    field_int(o, "inblock", u.ru_inblock);
    field_int(o, "oublock", u.ru_oublock);
    field_int(o, "msgsnd", u.ru_msgsnd);
    field_int(o, "msgrcv", u.ru_msgrcv);
    field_int(o, "nsignals", u.ru_nsignals);
    field_int(o, "nvcsw", u.ru_nvcsw);
    field_int(o, "nivcsw", u.ru_nivcsw);
    return o;
}

/* What Celery has not; its clients pass on what they do not know. */
static struct json_object *
own_stats(struct node *n)
{
    struct json_object *o = json_object_new_object();

    field_take(o, "loop", stalls_show(&n->stalls));
    return o;
}

static struct json_object *
dump_stats(struct node *n, struct json_object *args)
{
    struct json_object *o = json_object_new_object();
    char clock[32];
    int len = snprintf(clock, sizeof(clock), "%lld", (long long)n->clock);

    (void)args;
    field_take(o, "total", totals());
    field_int(o, "pid", getpid());
    field_text(o, "clock", len > 0 ? clock : "0");
    field_int(o, "uptime",
              (int64_t)((clock_mono_us() - n->started_us) / 1000000));
    field_take(o, "pool", pool_stats(n));
    field_take(o, "broker", broker_stats(n));
    field_int(o, "prefetch_count", n->prefetch);
    field_take(o, "rusage", usage_stats());
    field_take(o, "lovage", own_stats(n));
    return o;
}

/* ---- settings ---- */

static void
add_setting(struct json_object *o, const struct config *c,
            const struct config_item *item)
{
    const char *at = (const char *)c + item->offset;
    char *text;
    char url[LINE_MAX_BYTES];
    int64_t i;
    double d;
    bool b;

    switch (item->type) {
    case CONFIG_STR:
        memcpy(&text, at, sizeof(text));
        if (item->secret && text[0])
            field_text(o, item->name, "********");
        else
            field_text(o, item->name,
                       strstr(text, "://")
                           ? url_redacted(text, url, sizeof(url))
                           : text);
        break;
    case CONFIG_INT:
        memcpy(&i, at, sizeof(i));
        field_int(o, item->name, i);
        break;
    case CONFIG_NUM:
        memcpy(&d, at, sizeof(d));
        field_double(o, item->name, d);
        break;
    case CONFIG_BOOL:
        memcpy(&b, at, sizeof(b));
        field_bool(o, item->name, b);
        break;
    }
}

static struct json_object *
dump_conf(struct node *n, struct json_object *args)
{
    struct json_object *o = json_object_new_object();

    (void)args;
    for (const struct config_item *i = config_items(); i->name; i++)
        add_setting(o, n->config, i);
    return o;
}

static struct json_object *
dump_report(struct node *n, struct json_object *args)
{
    (void)n;
    (void)args;
    return control_say("ok", "\nsoftware -> lovage:" LOVAGE_VERSION "\n");
}

const struct control_command control_dumps[] = {
    {"active", "dump_active", dump_active, false},
    {"reserved", "dump_reserved", dump_reserved, false},
    {"scheduled", "dump_schedule", dump_scheduled, false},
    {"revoked", "dump_revoked", dump_revoked, false},
    {"registered", "dump_tasks", dump_registered, false},
    {"query_task", NULL, dump_query, false},
    {"active_queues", NULL, dump_queues, false},
    {"clock", NULL, dump_clock, false},
    {"stats", NULL, dump_stats, false},
    {"conf", "dump_conf", dump_conf, false},
    {"report", NULL, dump_report, false},
    {NULL, NULL, NULL, false},
};
