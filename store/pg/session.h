#ifndef STORE_PG_SESSION_H
#define STORE_PG_SESSION_H

#include "base/list.h"
#include "base/status.h"
#include "store/pg/statements.h"

#include <libpq-fe.h>
#include <uv.h>

/* One connection to PostgreSQL on a loop, never blocking: libpq in pipeline
 * mode.  Each call is one statement, one transaction and one sync.  It connects
 * when it is first needed and, once lost, again and again (50 ms to 1 s) until
 * it is closed.  It does not queue: what to send next is the owner's decision,
 * made when there is room, so that what waits is sent as one batch. */
struct session;

enum {
    SESSION_PARAMS = 16 /* of one statement */
};

/* How a call ended.  status: ST_OK; ST_LOST: the connection went, nobody knows
 * whether the statement was carried out; ST_AGAIN: it was not, the same may
 * succeed later; ST_TIMEOUT, ST_DENIED, ST_INVALID: see sqlstate.h. */
struct session_answer {
    enum status status;
    const PGresult *rows; /* ST_OK only */
    const char *why;      /* else: one line */
    const char *code;     /* SQLSTATE, if the server gave one; or NULL */
};

/* A statement and its parameters, in binary.  The memory is the caller's until
 * done() is called; values only until session_send() has returned. */
struct session_call {
    struct list node;
    enum pg_kind kind;
    const char *values[SESSION_PARAMS];
    int lengths[SESSION_PARAMS];
    void (*done)(struct session_call *call, const struct session_answer *a);

    /* The session's own. */
    bool prepares; /* its first result is that of PREPARE */
    uint64_t sent_us;
    PGresult *result;
};

struct session_opts {
    uv_loop_t *loop;
    const char *url;
    uint32_t statement_timeout_ms;
    bool generic_plans; /* plan a prepared statement once, without values */
    /* The SQL of statements that have none of their own; may be NULL. */
    const char *(*sql)(void *arg, enum pg_kind kind);
    void (*ready)(void *arg); /* there is room for a call (again) */
    void *arg;
};

/* Nothing is connected yet. */
enum status session_open(struct session **out, const struct session_opts *opts,
                         struct error *err);

/* Calls that are open end with ST_LOST before this returns; closed(arg) is
 * called later, when s is freed. */
void session_close(struct session *s, void (*closed)(void *arg), void *arg);

/* May session_send() be called?  If it is not connected, it starts to be. */
bool session_ready(struct session *s);
bool session_up(const struct session *s);

/* done() is called exactly once, never before this has returned.  Only when
 * session_ready(). */
void session_send(struct session *s, struct session_call *call);

#endif
