/* SPDX-License-Identifier: Apache-2.0 */
/* One libpq connection on the loop, in pipeline mode.
 *
 * libpq closes and reopens its socket behind our back while it connects (the
 * next address, TLS refused), and a new socket may get the old number.  So the
 * poll handle is stopped before every PQconnectPoll() and looked at anew after
 * it, and a handle is on the heap because it outlives its socket. */
#include "store/pg/session.h"

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

struct session {
    struct session_opts opts; /* opts.url is not kept */
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
    struct session_call setup;
    char setup_timeout[16];
    void (*closed)(void *arg);
    void *closed_arg;
};

static void start(struct session *s);

static void
set_state(struct session *s, enum state to)
{
    if (!(moves[s->state] & 1u << to)) {
        log_critical("illegal move of a database connection", "from=%d to=%d",
                     (int)s->state, (int)to);
        abort();
    }
    s->state = to;
}

/* ---- the socket ---- */

static void
free_handle(uv_handle_t *h)
{
    free(h);
}

static void
poll_close(struct session *s)
{
    if (s->poll == NULL)
        return;
    uv_poll_stop(s->poll);
    uv_close((uv_handle_t *)s->poll, free_handle);
    s->poll = NULL;
}

/* False: no memory, no descriptor. */
static bool
poll_want(struct session *s, int events, uv_poll_cb fn)
{
    int fd = PQsocket(s->conn);

    if (s->poll != NULL && s->poll_fd != fd)
        poll_close(s);
    if (s->poll == NULL) {
        s->poll = malloc(sizeof(*s->poll));
        if (s->poll == NULL)
            return false;
        if (uv_poll_init(s->opts.loop, s->poll, fd) != 0) {
            free(s->poll);
            s->poll = NULL;
            return false;
        }
        s->poll->data = s;
        s->poll_fd = fd;
    }
    return uv_poll_start(s->poll, events, fn) == 0;
}

/* ---- losing the connection ---- */

/* The call's memory is the owner's again once done() has been called. */
static void
end_call(struct session *s, struct session_call *call,
         const struct session_answer *a)
{
    PGresult *res = call->result;

    list_del(&call->node);
    s->open_count--;
    call->done(call, a);
    PQclear(res);
}

/* From the newest to the oldest: the owner puts each back at the head of its
 * queue, which so comes to be in the order it had. */
static void
lose_open(struct session *s, const char *why)
{
    const struct session_answer lost = {.status = ST_LOST, .why = why};

    while (!list_empty(&s->open))
        end_call(s, list_entry(s->open.prev, struct session_call, node), &lost);
}

static void
disconnect(struct session *s)
{
    poll_close(s);
    PQfinish(s->conn);
    s->conn = NULL;
    s->broken = NULL;
    memset(s->prepared, 0, sizeof(s->prepared));
}

static void on_timer(uv_timer_t *t);

/* why is copied first: it may be libpq's and end with the connection. */
static void
drop(struct session *s, const char *why)
{
    char line[MAX_LINE];

    snprintf(line, sizeof(line), "%.*s", (int)strcspn(why, "\n"), why);
    if (s->down_us == 0) {
        s->down_us = clock_mono_us();
        log_warning("no database connection", "error=%s", line);
    }
    disconnect(s);
    set_state(s, WAITING);
    uv_timer_start(&s->timer, on_timer, backoff_next_ms(&s->backoff), 0);
    lose_open(s, line);
}

/* For where drop() would call back into the caller.  The socket is no longer
 * watched: libpq may have closed it, and its number is free for others. */
static void
drop_later(struct session *s, const char *why)
{
    poll_close(s);
    if (s->broken == NULL)
        s->broken = why;
    uv_timer_start(&s->timer, on_timer, 0, 0);
}

/* ---- answers ---- */

static struct session_answer
judge(struct session *s, const PGresult *res)
{
    const char *code = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    const char *why = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
    struct session_answer a = {.status = ST_OK, .rows = res};

    if (PQresultStatus(res) == PGRES_TUPLES_OK ||
        PQresultStatus(res) == PGRES_COMMAND_OK)
        return a;
    a = (struct session_answer){.status = sqlstate_judge(code),
                                .why = why != NULL ? why : "no result",
                                .code = code};
    if (sqlstate_ends_session(code))
        drop_later(s, "the server ended the session");
    return a;
}

/* One result of the oldest call.  The first one that is no success is kept:
 * what follows it only says that the pipeline was aborted. */
static void
take_result(struct session *s, PGresult *res)
{
    struct session_call *call =
        list_entry(s->open.next, struct session_call, node);
    struct session_answer a;

    if (PQresultStatus(res) == PGRES_PIPELINE_SYNC) {
        PQclear(res);
        a = judge(s, call->result);
        end_call(s, call, &a);
        return;
    }
    if (call->prepares && call->result == NULL) {
        call->prepares = false;
        if (PQresultStatus(res) == PGRES_COMMAND_OK) {
            PQclear(res);
            return;
        }
        s->prepared[call->kind] = false;
    }
    if (call->result == NULL)
        call->result = res;
    else
        PQclear(res);
}

/* In pipeline mode NULL ends one statement, and a second NULL in a row means
 * that nothing is left. */
static void
take_results(struct session *s)
{
    int nulls = 0;

    while (!list_empty(&s->open) && nulls < 2 && !PQisBusy(s->conn)) {
        PGresult *res = PQgetResult(s->conn);

        if (res == NULL) {
            nulls++;
            continue;
        }
        nulls = 0;
        take_result(s, res);
    }
}

static void on_socket(uv_poll_t *p, int status, int events);

static void
flush(struct session *s)
{
    int more = PQflush(s->conn);
    int events = UV_READABLE | (more == 1 ? UV_WRITABLE : 0);

    if (more < 0 || !poll_want(s, events, on_socket))
        drop_later(s, "cannot write to the server");
}

static void
on_socket(uv_poll_t *p, int status, int events)
{
    struct session *s = p->data;

    (void)events; /* PQconsumeInput() also writes */
    if (status != 0 || !PQconsumeInput(s->conn)) {
        drop(s, status != 0 ? uv_strerror(status) : PQerrorMessage(s->conn));
        return;
    }
    take_results(s);
    if (PQstatus(s->conn) == CONNECTION_BAD) {
        drop(s, PQerrorMessage(s->conn));
        return;
    }
    if (s->broken == NULL)
        flush(s);
    if (s->state == UP && s->open_count < MAX_OPEN)
        s->opts.ready(s->opts.arg);
}

/* ---- connecting ---- */

static void
send_call(struct session *s, struct session_call *call)
{
    const struct statement *stmt = statement_get(call->kind);
    const char *sql = stmt->sql;
    int formats[SESSION_PARAMS], n = (int)strlen(stmt->params), ok;

    for (int i = 0; i < n; i++)
        formats[i] = 1;
    if (sql == NULL)
        sql = s->opts.sql(s->opts.arg, call->kind);
    call->result = NULL;
    call->prepares = stmt->prepared && !s->prepared[call->kind];
    call->sent_us = clock_mono_us();
    list_add_tail(&s->open, &call->node);
    s->open_count++;
    ok = !call->prepares || PQsendPrepare(s->conn, stmt->name, sql, 0, NULL);
    s->prepared[call->kind] = stmt->prepared;
    if (!stmt->prepared)
        ok = PQsendQueryParams(s->conn, sql, n, NULL, call->values,
                               call->lengths, formats, 0);
    else if (ok)
        ok = PQsendQueryPrepared(s->conn, stmt->name, n, call->values,
                                 call->lengths, formats, 0);
    if (ok && PQpipelineSync(s->conn))
        flush(s);
    else
        drop_later(s, "cannot send to the server");
}

static void
on_set_up(struct session_call *call, const struct session_answer *a)
{
    struct session *s = list_entry(call, struct session, setup);

    if (a->status == ST_LOST)
        return; /* we are inside drop() */
    if (a->status != ST_OK) {
        log_error("database session refused", "error=%s", a->why);
        drop_later(s, "session refused");
        return;
    }
    if (strcmp(PQgetvalue(a->rows, 0, 0), "t") == 0) {
        drop_later(s, "the server is read-only");
        return;
    }
    if (s->down_us != 0)
        log_info("database connection is back", "after_ms=%llu",
                 (unsigned long long)(clock_mono_us() - s->down_us) / 1000);
    s->down_us = 0;
    backoff_reset(&s->backoff);
    uv_timer_stop(&s->timer);
    set_state(s, UP);
}

static void
set_up(struct session *s)
{
    const char *plans = s->opts.generic_plans ? "force_generic_plan" : "auto";

    set_state(s, SETTING_UP);
    if (PQsetnonblocking(s->conn, 1) != 0 || !PQenterPipelineMode(s->conn)) {
        drop(s, "no pipeline mode");
        return;
    }
    s->setup = (struct session_call){.kind = PG_SET_UP, .done = on_set_up};
    snprintf(s->setup_timeout, sizeof(s->setup_timeout), "%u",
             (unsigned)s->opts.statement_timeout_ms);
    s->setup.values[0] = s->setup_timeout;
    s->setup.lengths[0] = (int)strlen(s->setup_timeout);
    s->setup.values[1] = plans;
    s->setup.lengths[1] = (int)strlen(plans);
    send_call(s, &s->setup);
}

static void
on_connecting(uv_poll_t *p, int status, int events)
{
    struct session *s = p->data;
    int want;

    (void)status; /* libpq finds out by itself */
    (void)events;
    uv_poll_stop(p);
    switch (PQconnectPoll(s->conn)) {
    case PGRES_POLLING_OK:
        set_up(s);
        return;
    case PGRES_POLLING_READING:
        want = UV_READABLE;
        break;
    case PGRES_POLLING_WRITING:
        want = UV_WRITABLE;
        break;
    default:
        drop(s, PQerrorMessage(s->conn));
        return;
    }
    if (!poll_want(s, want, on_connecting))
        drop(s, "cannot poll the socket");
}

static void
ignore_notice(void *arg, const PGresult *res)
{
    (void)arg;
    (void)res;
}

static void
connect_now(struct session *s)
{
    set_state(s, CONNECTING);
    s->conn = conninfo_connect(s->info);
    if (s->conn == NULL) {
        drop(s, "no host has an address");
        return;
    }
    if (PQstatus(s->conn) == CONNECTION_BAD) {
        drop(s, PQerrorMessage(s->conn));
        return;
    }
    PQsetNoticeReceiver(s->conn, ignore_notice, NULL);
    uv_timer_start(&s->timer, on_timer, CONNECT_TIMEOUT_MS, 0);
    if (!poll_want(s, UV_WRITABLE, on_connecting))
        drop(s, "cannot poll the socket");
}

static void resolve_next(struct session *s);

static void
close_if_done(struct session *s)
{
    void (*closed)(void *) = s->closed;
    void *arg = s->closed_arg;

    if (s->state != CLOSED || s->looking_up || !s->timer_closed)
        return;
    conninfo_free(s->info);
    free(s);
    closed(arg);
}

static void
on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *res)
{
    struct session *s = req->data;

    s->looking_up = false;
    for (struct addrinfo *a = res; a != NULL && status == 0; a = a->ai_next)
        conninfo_add_address(s->info, a->ai_addr);
    uv_freeaddrinfo(res);
    if (s->state == CLOSED)
        close_if_done(s);
    else
        resolve_next(s);
}

/* A name that cannot be looked up is left out. */
static void
resolve_next(struct session *s)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM};
    const char *name, *port;

    while ((name = conninfo_next_name(s->info, &port)) != NULL) {
        s->lookup.data = s;
        if (uv_getaddrinfo(s->opts.loop, &s->lookup, on_resolved, name, port,
                           &hints) == 0) {
            s->looking_up = true;
            return;
        }
    }
    connect_now(s);
}

static void
start(struct session *s)
{
    set_state(s, RESOLVING);
    conninfo_rewind(s->info);
    resolve_next(s);
}

/* ---- the timer ---- */

/* A server that has gone without a word (a frozen machine, a cut cable) is
 * found here, since a server that lives ends a statement at its timeout. */
static void
watch(struct session *s)
{
    struct session_call *oldest;
    uint64_t limit_us =
        ((uint64_t)s->opts.statement_timeout_ms + ANSWER_GRACE_MS) * 1000;

    if (list_empty(&s->open))
        return; /* session_send() starts the timer again */
    oldest = list_entry(s->open.next, struct session_call, node);
    if (clock_mono_us() - oldest->sent_us > limit_us)
        drop(s, "no answer from the server");
    else
        uv_timer_start(&s->timer, on_timer, TICK_MS, 0);
}

static void
on_timer(uv_timer_t *t)
{
    struct session *s = t->data;

    if (s->broken != NULL)
        drop(s, s->broken);
    else if (s->state == WAITING)
        start(s);
    else if (s->state == UP)
        watch(s);
    else
        drop(s, "the connection was not made in time");
}

static void
on_timer_closed(uv_handle_t *h)
{
    struct session *s = h->data;

    s->timer_closed = true;
    close_if_done(s);
}

/* ---- for the owner ---- */

enum status
session_open(struct session **out, const struct session_opts *opts,
             struct error *err)
{
    struct session *s = calloc(1, sizeof(*s));
    enum status st;

    if (s == NULL)
        return error_set(err, ST_NOMEM, "database: no memory");
    st = conninfo_new(&s->info, opts->url, err);
    if (st != ST_OK) {
        free(s);
        return st;
    }
    s->opts = *opts;
    s->opts.url = NULL;
    s->backoff = (struct backoff){.base_ms = 50, .cap_ms = 1000};
    list_init(&s->open);
    uv_timer_init(opts->loop, &s->timer);
    s->timer.data = s;
    *out = s;
    return ST_OK;
}

void
session_close(struct session *s, void (*closed)(void *arg), void *arg)
{
    s->closed = closed;
    s->closed_arg = arg;
    disconnect(s);
    set_state(s, CLOSED);
    lose_open(s, "closed");
    if (s->looking_up)
        uv_cancel((uv_req_t *)&s->lookup); /* or it ends by itself */
    uv_close((uv_handle_t *)&s->timer, on_timer_closed);
}

bool
session_up(const struct session *s)
{
    return s->state == UP && s->broken == NULL;
}

bool
session_ready(struct session *s)
{
    if (s->state == IDLE)
        start(s);
    return session_up(s) && s->open_count < MAX_OPEN;
}

void
session_send(struct session *s, struct session_call *call)
{
    send_call(s, call);
    if (s->broken == NULL && !uv_is_active((uv_handle_t *)&s->timer))
        uv_timer_start(&s->timer, on_timer, TICK_MS, 0);
}
