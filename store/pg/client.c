/* SPDX-License-Identifier: Apache-2.0 */
/* One libpq connection on the loop, in pipeline mode.
 *
 * libpq closes and reopens its socket behind our back while it connects (the
 * next address, TLS refused), and a new socket may get the old number.  So the
 * poll handle is stopped before every PQconnectPoll() and looked at anew after
 * it, and a handle is on the heap because it outlives its socket. */
#include "store/pg/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/log.h"
#include "store/pg/conninfo.h"
#include "store/pg/sqlstate.h"

enum {
    MAX_OPEN = 2, /* one is executed, the next one is on its way */
    CONNECT_TIMEOUT_MS = 5000,
    TICK_MS = 1000,         /* of the watch over open calls */
    ANSWER_GRACE_MS = 5000, /* above statement_timeout */
    MAX_LINE = 200
};

enum state {
    IDLE,    /* nobody has needed it yet */
    WAITING, /* for the next attempt */
    RESOLVING,
    CONNECTING,
    SETTING_UP, /* connected; the session's settings are being made */
    UP,
    CLOSED, /* until the loop gives the handles back */
    STATES
};

static const unsigned moves[STATES] = {
    [IDLE] = 1u << RESOLVING | 1u << CLOSED,
    [WAITING] = 1u << RESOLVING | 1u << CLOSED,
    [RESOLVING] = 1u << CONNECTING | 1u << WAITING | 1u << CLOSED,
    [CONNECTING] = 1u << SETTING_UP | 1u << WAITING | 1u << CLOSED,
    [SETTING_UP] = 1u << UP | 1u << WAITING | 1u << CLOSED,
    [UP] = 1u << WAITING | 1u << CLOSED,
};

struct client {
    struct client_opts opts; /* opts.url is not kept */
    enum state state;
    struct conninfo *info;
    PGconn *conn;    /* from CONNECTING to UP */
    uv_poll_t *poll; /* the socket's; NULL: none */
    int poll_fd;
    uv_timer_t timer; /* what it is for depends on the state: on_timer() */
    uv_getaddrinfo_t lookup;
    bool looking_up, timer_closed;
    struct backoff backoff;
    uint64_t down_us;   /* since when; 0: it is up or was never needed */
    const char *broken; /* why it is to be dropped; a constant */
    struct list open;   /* calls that are sent, oldest first */
    unsigned open_count;
    bool prepared[PG_KINDS];
    struct client_call setup;
    char setup_timeout[16];
    void (*closed)(void *arg);
    void *closed_arg;
};

static void start(struct client *c);

static void
set_state(struct client *c, enum state to)
{
    if (!(moves[c->state] & 1u << to)) {
        log_critical("illegal move of a database connection", "from=%d to=%d",
                     (int)c->state, (int)to);
        abort();
    }
    c->state = to;
}

/* ---- the socket ---- */

static void
free_handle(uv_handle_t *h)
{
    free(h);
}

static void
poll_close(struct client *c)
{
    if (c->poll == NULL)
        return;
    uv_poll_stop(c->poll);
    uv_close((uv_handle_t *)c->poll, free_handle);
    c->poll = NULL;
}

/* False: no memory, no descriptor. */
static bool
poll_want(struct client *c, int events, uv_poll_cb fn)
{
    int fd = PQsocket(c->conn);

    if (c->poll != NULL && c->poll_fd != fd)
        poll_close(c);
    if (c->poll == NULL) {
        c->poll = malloc(sizeof(*c->poll));
        if (c->poll == NULL)
            return false;
        if (uv_poll_init(c->opts.loop, c->poll, fd) != 0) {
            free(c->poll);
            c->poll = NULL;
            return false;
        }
        c->poll->data = c;
        c->poll_fd = fd;
    }
    return uv_poll_start(c->poll, events, fn) == 0;
}

/* ---- losing the connection ---- */

/* The call's memory is the owner's again once done() has been called. */
static void
end_call(struct client *c, struct client_call *call,
         const struct client_answer *a)
{
    PGresult *res = call->result;

    list_del(&call->node);
    c->open_count--;
    call->done(call, a);
    PQclear(res);
}

/* From the newest to the oldest: the owner puts each back at the head of its
 * queue, which so comes to be in the order it had. */
static void
lose_open(struct client *c, const char *why)
{
    const struct client_answer lost = {.status = ST_LOST, .why = why};

    while (!list_empty(&c->open))
        end_call(c, list_entry(c->open.prev, struct client_call, node), &lost);
}

static void
disconnect(struct client *c)
{
    poll_close(c);
    PQfinish(c->conn);
    c->conn = NULL;
    c->broken = NULL;
    memset(c->prepared, 0, sizeof(c->prepared));
}

static void on_timer(uv_timer_t *t);

/* why is copied first: it may be libpq's and end with the connection. */
static void
drop(struct client *c, const char *why)
{
    char line[MAX_LINE];

    snprintf(line, sizeof(line), "%.*s", (int)strcspn(why, "\n"), why);
    if (c->down_us == 0) {
        c->down_us = clock_mono_us();
        log_warning("no database connection", "error=%s", line);
    }
    disconnect(c);
    set_state(c, WAITING);
    uv_timer_start(&c->timer, on_timer, backoff_next_ms(&c->backoff), 0);
    lose_open(c, line);
}

/* For where drop() would call back into the caller. */
static void
drop_later(struct client *c, const char *why)
{
    if (c->broken == NULL)
        c->broken = why;
    uv_timer_start(&c->timer, on_timer, 0, 0);
}

/* ---- answers ---- */

static struct client_answer
judge(struct client *c, const PGresult *res)
{
    const char *code = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    const char *why = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
    struct client_answer a = {.status = ST_OK, .rows = res};

    if (PQresultStatus(res) == PGRES_TUPLES_OK ||
        PQresultStatus(res) == PGRES_COMMAND_OK)
        return a;
    a = (struct client_answer){.status = sqlstate_judge(code),
                               .why = why != NULL ? why : "no result"};
    if (sqlstate_ends_session(code))
        drop_later(c, "the server ended the session");
    return a;
}

/* One result of the oldest call.  The first one that is no success is kept:
 * what follows it only says that the pipeline was aborted. */
static void
take_result(struct client *c, PGresult *res)
{
    struct client_call *call =
        list_entry(c->open.next, struct client_call, node);
    struct client_answer a;

    if (PQresultStatus(res) == PGRES_PIPELINE_SYNC) {
        PQclear(res);
        a = judge(c, call->result);
        end_call(c, call, &a);
        return;
    }
    if (call->prepares && call->result == NULL) {
        call->prepares = false;
        if (PQresultStatus(res) == PGRES_COMMAND_OK) {
            PQclear(res);
            return;
        }
        c->prepared[call->kind] = false;
    }
    if (call->result == NULL)
        call->result = res;
    else
        PQclear(res);
}

/* In pipeline mode NULL ends one statement, and a second NULL in a row means
 * that nothing is left. */
static void
take_results(struct client *c)
{
    int nulls = 0;

    while (!list_empty(&c->open) && nulls < 2 && !PQisBusy(c->conn)) {
        PGresult *res = PQgetResult(c->conn);

        if (res == NULL) {
            nulls++;
            continue;
        }
        nulls = 0;
        take_result(c, res);
    }
}

static void on_socket(uv_poll_t *p, int status, int events);

static void
flush(struct client *c)
{
    int more = PQflush(c->conn);
    int events = UV_READABLE | (more == 1 ? UV_WRITABLE : 0);

    if (more < 0 || !poll_want(c, events, on_socket))
        drop_later(c, "cannot write to the server");
}

static void
on_socket(uv_poll_t *p, int status, int events)
{
    struct client *c = p->data;

    (void)events; /* PQconsumeInput() also writes */
    if (status != 0 || !PQconsumeInput(c->conn)) {
        drop(c, status != 0 ? uv_strerror(status) : PQerrorMessage(c->conn));
        return;
    }
    take_results(c);
    if (PQstatus(c->conn) == CONNECTION_BAD) {
        drop(c, PQerrorMessage(c->conn));
        return;
    }
    if (c->broken == NULL)
        flush(c);
    if (c->state == UP && c->open_count < MAX_OPEN)
        c->opts.ready(c->opts.arg);
}

/* ---- connecting ---- */

static void
send_call(struct client *c, struct client_call *call)
{
    const struct statement *s = statement_get(call->kind);
    int formats[CLIENT_PARAMS], n = (int)strlen(s->params), ok;

    for (int i = 0; i < n; i++)
        formats[i] = 1;
    call->result = NULL;
    call->prepares = s->prepared && !c->prepared[call->kind];
    call->sent_us = clock_mono_us();
    list_add_tail(&c->open, &call->node);
    c->open_count++;
    ok = !call->prepares || PQsendPrepare(c->conn, s->name, s->sql, 0, NULL);
    c->prepared[call->kind] = s->prepared;
    if (!s->prepared)
        ok = PQsendQueryParams(c->conn, s->sql, n, NULL, call->values,
                               call->lengths, formats, 0);
    else if (ok)
        ok = PQsendQueryPrepared(c->conn, s->name, n, call->values,
                                 call->lengths, formats, 0);
    if (ok && PQpipelineSync(c->conn))
        flush(c);
    else
        drop_later(c, "cannot send to the server");
}

static void
on_set_up(struct client_call *call, const struct client_answer *a)
{
    struct client *c = list_entry(call, struct client, setup);

    if (a->status == ST_LOST)
        return; /* we are inside drop() */
    if (a->status != ST_OK) {
        log_error("database session refused", "error=%s", a->why);
        drop_later(c, "session refused");
        return;
    }
    if (strcmp(PQgetvalue(a->rows, 0, 0), "t") == 0) {
        drop_later(c, "the server is a standby");
        return;
    }
    if (c->down_us != 0)
        log_info("database connection is back", "after_ms=%llu",
                 (unsigned long long)(clock_mono_us() - c->down_us) / 1000);
    c->down_us = 0;
    backoff_reset(&c->backoff);
    uv_timer_stop(&c->timer);
    set_state(c, UP);
}

static void
ignore_notice(void *arg, const PGresult *res)
{
    (void)arg;
    (void)res;
}

static void
set_up(struct client *c)
{
    const char *plans = c->opts.generic_plans ? "force_generic_plan" : "auto";

    set_state(c, SETTING_UP);
    PQsetNoticeReceiver(c->conn, ignore_notice, NULL);
    if (PQsetnonblocking(c->conn, 1) != 0 || !PQenterPipelineMode(c->conn)) {
        drop(c, "no pipeline mode");
        return;
    }
    c->setup = (struct client_call){.kind = PG_SET_UP, .done = on_set_up};
    snprintf(c->setup_timeout, sizeof(c->setup_timeout), "%u",
             (unsigned)c->opts.statement_timeout_ms);
    c->setup.values[0] = c->setup_timeout;
    c->setup.lengths[0] = (int)strlen(c->setup_timeout);
    c->setup.values[1] = plans;
    c->setup.lengths[1] = (int)strlen(plans);
    send_call(c, &c->setup);
}

static void
on_connecting(uv_poll_t *p, int status, int events)
{
    struct client *c = p->data;
    int want;

    (void)status; /* libpq finds out by itself */
    (void)events;
    uv_poll_stop(p);
    switch (PQconnectPoll(c->conn)) {
    case PGRES_POLLING_OK:
        set_up(c);
        return;
    case PGRES_POLLING_READING:
        want = UV_READABLE;
        break;
    case PGRES_POLLING_WRITING:
        want = UV_WRITABLE;
        break;
    default:
        drop(c, PQerrorMessage(c->conn));
        return;
    }
    if (!poll_want(c, want, on_connecting))
        drop(c, "cannot poll the socket");
}

static void
connect_now(struct client *c)
{
    set_state(c, CONNECTING);
    c->conn = conninfo_connect(c->info);
    if (c->conn == NULL) {
        drop(c, "no host has an address");
        return;
    }
    if (PQstatus(c->conn) == CONNECTION_BAD) {
        drop(c, PQerrorMessage(c->conn));
        return;
    }
    uv_timer_start(&c->timer, on_timer, CONNECT_TIMEOUT_MS, 0);
    if (!poll_want(c, UV_WRITABLE, on_connecting))
        drop(c, "cannot poll the socket");
}

static void resolve_next(struct client *c);

static void
close_if_done(struct client *c)
{
    void (*closed)(void *) = c->closed;
    void *arg = c->closed_arg;

    if (c->state != CLOSED || c->looking_up || !c->timer_closed)
        return;
    conninfo_free(c->info);
    free(c);
    closed(arg);
}

static void
on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *res)
{
    struct client *c = req->data;

    c->looking_up = false;
    for (struct addrinfo *a = res; a != NULL && status == 0; a = a->ai_next)
        conninfo_add_address(c->info, a->ai_addr);
    uv_freeaddrinfo(res);
    if (c->state == CLOSED)
        close_if_done(c);
    else
        resolve_next(c);
}

/* A name that cannot be looked up is left out. */
static void
resolve_next(struct client *c)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM};
    const char *name, *port;

    while ((name = conninfo_next_name(c->info, &port)) != NULL) {
        c->lookup.data = c;
        if (uv_getaddrinfo(c->opts.loop, &c->lookup, on_resolved, name, port,
                           &hints) == 0) {
            c->looking_up = true;
            return;
        }
    }
    connect_now(c);
}

static void
start(struct client *c)
{
    set_state(c, RESOLVING);
    conninfo_rewind(c->info);
    resolve_next(c);
}

/* ---- the timer ---- */

/* A server that has gone without a word (a frozen machine, a cut cable) is
 * found here, since a server that lives ends a statement at its timeout. */
static void
watch(struct client *c)
{
    struct client_call *oldest;
    uint64_t limit_us =
        ((uint64_t)c->opts.statement_timeout_ms + ANSWER_GRACE_MS) * 1000;

    if (list_empty(&c->open))
        return; /* client_send() starts the timer again */
    oldest = list_entry(c->open.next, struct client_call, node);
    if (clock_mono_us() - oldest->sent_us > limit_us)
        drop(c, "no answer from the server");
    else
        uv_timer_start(&c->timer, on_timer, TICK_MS, 0);
}

static void
on_timer(uv_timer_t *t)
{
    struct client *c = t->data;

    if (c->broken != NULL)
        drop(c, c->broken);
    else if (c->state == WAITING)
        start(c);
    else if (c->state == UP)
        watch(c);
    else
        drop(c, "the connection was not made in time");
}

static void
on_timer_closed(uv_handle_t *h)
{
    struct client *c = h->data;

    c->timer_closed = true;
    close_if_done(c);
}

/* ---- for the owner ---- */

enum status
client_open(struct client **out, const struct client_opts *opts,
            struct error *err)
{
    struct client *c = calloc(1, sizeof(*c));
    enum status st;

    if (c == NULL)
        return error_set(err, ST_NOMEM, "database: no memory");
    st = conninfo_new(&c->info, opts->url, err);
    if (st != ST_OK) {
        free(c);
        return st;
    }
    c->opts = *opts;
    c->opts.url = NULL;
    c->backoff = (struct backoff){.base_ms = 50, .cap_ms = 1000};
    list_init(&c->open);
    uv_timer_init(opts->loop, &c->timer);
    c->timer.data = c;
    *out = c;
    return ST_OK;
}

void
client_close(struct client *c, void (*closed)(void *arg), void *arg)
{
    c->closed = closed;
    c->closed_arg = arg;
    disconnect(c);
    set_state(c, CLOSED);
    lose_open(c, "closed");
    if (c->looking_up)
        uv_cancel((uv_req_t *)&c->lookup); /* or it ends by itself */
    uv_close((uv_handle_t *)&c->timer, on_timer_closed);
}

bool
client_up(const struct client *c)
{
    return c->state == UP && c->broken == NULL;
}

bool
client_ready(struct client *c)
{
    if (c->state == IDLE)
        start(c);
    return client_up(c) && c->open_count < MAX_OPEN;
}

void
client_send(struct client *c, struct client_call *call)
{
    send_call(c, call);
    if (c->broken == NULL && !uv_is_active((uv_handle_t *)&c->timer))
        uv_timer_start(&c->timer, on_timer, TICK_MS, 0);
}
