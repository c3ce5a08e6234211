#ifndef STORE_PG_RECORDS_H
#define STORE_PG_RECORDS_H

#include "base/config.h"
#include "protocol/state.h"

#include <uv.h>

/* Task records in PostgreSQL, with the transactional outbox.  On one loop,
 * never blocking; calls of one turn travel in one batch and commit together.
 * Every callback is called exactly once and never before the call has returned;
 * arguments are borrowed until the call returns.  While the database is away
 * calls wait, up to database_timeout, then fail with ST_TIMEOUT (those of the
 * api) or for ever (those of a worker: claim, settle); over the bound: ST_BUSY.
 */
struct records;

enum status records_open(struct records **out, uv_loop_t *loop,
                         const struct config *config, struct error *err);
/* Sends what is queued for at most flush_ms, then closed(arg), once. */
void records_close(struct records *r, uint32_t flush_ms,
                   void (*closed)(void *arg), void *arg);
bool records_up(const struct records *r);
size_t records_backlog(const struct records *r);

typedef void records_fn(void *arg, enum status st);

/* ---- the api: submit, read, change ---- */

/* Slices with ptr NULL are NULL in the table. */
struct records_new {
    struct slice id;                 /* the Celery id */
    struct slice name, description;  /* the user's words for it */
    struct slice task, args, kwargs; /* args, kwargs: JSON text */
    struct slice queue, model;
    struct slice message; /* as protocol/envelope.h writes it */
    int64_t due_us;       /* publish not before; 0: now */
};
/* Inserts the task and its outbox row in one transaction.  fn with ST_OK: both
 * are committed.  *outbox_id is valid in fn only. */
typedef void records_submit_fn(void *arg, enum status st, int64_t outbox_id);
void records_submit(struct records *r, const struct records_new *n,
                    records_submit_fn *fn, void *arg);

struct records_row {
    int64_t seq; /* the integer id */
    struct slice id, name, description, task, args, kwargs, queue, status;
    struct slice result; /* JSON text */
    struct slice error;  /* one line: ValueError('boom') */
    struct slice traceback, worker, model;
    int64_t retries, attempt;
    int64_t prompt_tokens, completion_tokens, total_tokens;  /* -1: none */
    int64_t created_us, updated_us, started_us, finished_us; /* 0: none */
};
/* rows are borrowed; total: of all that match, for paging. */
typedef void records_rows_fn(void *arg, enum status st,
                             const struct records_row *rows, size_t n,
                             int64_t total);

/* id: the Celery id or the integer id in text.  n is 0 or 1. */
void records_get(struct records *r, struct slice id, records_rows_fn *fn,
                 void *arg);

struct records_filter {
    struct slice status, task, queue, model; /* ptr NULL: any */
    struct slice search;                     /* part of name or description */
    int64_t skip, limit;
    bool oldest_first;
};
void records_list(struct records *r, const struct records_filter *f,
                  records_rows_fn *fn, void *arg);

/* What PUT may change: name and description always; the rest only while the
 * task is PENDING and its outbox row unpublished.  ptr NULL: unchanged.
 * ST_NOTFOUND: no such task; ST_DENIED: it runs already or is done.  Answers
 * with the row as it is then. */
struct records_change {
    struct slice name, description;
    struct slice task, args, kwargs, queue, message;
};
void records_update(struct records *r, struct slice id,
                    const struct records_change *c, records_rows_fn *fn,
                    void *arg);
/* Revokes what is not done and removes the row and its outbox row; answers with
 * the row as it was.  A later delivery of the id is not run (revoked table). */
void records_delete(struct records *r, struct slice id, records_rows_fn *fn,
                    void *arg);

/* ---- the outbox relay: api and worker ---- */

/* Takes up to n rows that are due and older than min_age_ms, for lease_ms
 * (SKIP LOCKED: relays do not collide). */
struct outbox_row {
    int64_t outbox_id;
    struct slice task_id, queue, message;
};
typedef void outbox_fn(void *arg, enum status st, const struct outbox_row *rows,
                       size_t n);
void outbox_take(struct records *r, size_t n, uint32_t min_age_ms,
                 uint32_t lease_ms, outbox_fn *fn, void *arg);
void outbox_done(struct records *r, int64_t outbox_id); /* published: delete */
/* Parks a message that a worker holds (far ETA) until due_us. */
void outbox_park(struct records *r, struct slice task_id, struct slice queue,
                 struct slice message, int64_t due_us, records_fn *fn,
                 void *arg);
/* How many rows are due and wait; for the metrics and the backlog limit. */
void outbox_depth(struct records *r, void (*fn)(void *, enum status, int64_t),
                  void *arg);

/* ---- the worker: claim, lease, fence ---- */

enum claim {
    CLAIM_RUN,       /* ours: run it, settle with this attempt */
    CLAIM_DONE,      /* finished before: acknowledge, do not run */
    CLAIM_REVOKED,   /* acknowledge, store REVOKED */
    CLAIM_ELSEWHERE, /* runs under a live lease of another: acknowledge */
    CLAIM_POISON, /* died worker_max_attempts times: tell as WorkerLostError */
};
struct records_claim {
    struct slice id, task, args, kwargs, queue, root_id, parent_id, group_id;
    struct slice model; /* of LLM tasks */
    int64_t retries;
    bool acks_late;
    bool redelivered;
};
typedef void claim_fn(void *arg, enum status st, enum claim c, int64_t attempt);
/* who: the node's instance, as for the broker.  The row is made if there is
 * none (Python producers). */
void records_claim(struct records *r, struct slice who,
                   const struct records_claim *c, claim_fn *fn, void *arg);

struct records_outcome {
    struct slice id;
    int64_t attempt;
    struct slice status; /* SUCCESS, FAILURE, RETRY, REVOKED, IGNORED, ... */
    struct slice result; /* JSON text; ptr NULL: null */
    struct slice error, traceback;
    struct slice worker, model;
    int64_t retries;
    int64_t prompt_tokens, completion_tokens, total_tokens; /* -1: none */
};
/* Settled only if who still holds that attempt; otherwise fn gets ST_DENIED:
 * the outcome is late and must be dropped.  A status that is not ready (RETRY,
 * PROGRESS) keeps or ends the lease as its meaning asks. */
void records_settle(struct records *r, struct slice who,
                    const struct records_outcome *o, records_fn *fn, void *arg);
/* An outcome that nobody claimed (expired, revoked, unknown task; or what the
 * api found in the result backend): written unless a final state is there. */
void records_note(struct records *r, const struct records_outcome *o,
                  records_fn *fn, void *arg);
/* Hands a claim back unrun or interrupted; not counted as an attempt. */
void records_release(struct records *r, struct slice who, struct slice id,
                     int64_t attempt, records_fn *fn, void *arg);
/* Renews the leases of all that who runs. */
void records_renew(struct records *r, struct slice who, records_fn *fn,
                   void *arg);
/* who is dead: its acks_late claims are free at once; those acknowledged early
 * become FAILURE WorkerLostError and are listed.  who.ptr NULL: all whose lease
 * has run out. */
typedef void records_lost_fn(void *arg, enum status st, const struct slice *ids,
                             size_t n);
void records_bury(struct records *r, struct slice who, records_lost_fn *fn,
                  void *arg);
void records_revoke(struct records *r, struct slice id, records_fn *fn,
                    void *arg);
/* A message that was rejected: reason and the first 64 KiB of its bytes. */
void records_reject(struct records *r, struct slice queue, struct slice id,
                    struct slice reason, struct slice raw);

/* ---- housekeeping ---- */

/* Ids of records not final and published for longer than age_ms, oldest first:
 * what the api looks up in the result backend. */
void records_open_ids(struct records *r, size_t n, uint32_t age_ms,
                      records_lost_fn *fn, void *arg);

#endif
