#ifndef STORE_PG_RECORDS_H
#define STORE_PG_RECORDS_H

#include "base/config.h"
#include "protocol/state.h"

#include <uv.h>

/* Task records in PostgreSQL, with the transactional outbox.  On one loop,
 * never blocking; calls of one turn travel in one batch and commit together.
 * Every callback is called exactly once and never before the call has returned;
 * arguments are borrowed until the call returns.
 *
 * While the database is away calls wait.  Those of a worker (claim, begun,
 * settle, note, release, died, bury, park) and those without a callback wait
 * for ever; all others fail with ST_TIMEOUT after database_timeout, and then
 * nobody knows whether a change was made, if it had been sent.  A call that
 * waits for ever is sent again until it is answered, and takes effect once.
 * Over the bound (50,000 calls, 256 MiB) a call fails with ST_BUSY at once.
 *
 * Calls for one task are only in order if the second is made in or after the
 * callback of the first, but settlements of one task keep theirs.  What begins
 * is told after all that was settled before: so of a process that runs one task
 * after the other at most one is STARTED.
 *
 * Ids are 1 to 155 bytes; what cannot be an id, and a message or JSON that is
 * no UTF-8 or holds U+0000, fails that one call with ST_INVALID.  In any other
 * text such bytes are replaced by U+FFFD, and what is over 1 MiB (512 bytes: of
 * task, status, queue, model, worker) is cut off.  Arguments and results over
 * 8 MiB are recorded as a string that says so; NaN and the infinities, which
 * are no JSON, as strings.  ST_INVALID also tells what the database refused;
 * that is logged. */
struct records;

/* ST_INVALID: database_url is none.  Connects in the background, also when the
 * database is away; config is borrowed for this call. */
enum status records_open(struct records **out, uv_loop_t *loop,
                         const struct config *config, struct error *err);
/* Sends what is queued for at most flush_ms, then closed(arg), once.  What is
 * left by then, and what is asked for from now on, fails with ST_LOST. */
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
struct records_made {
    int64_t seq; /* the integer id */
    int64_t created_us;
    int64_t outbox_id; /* for outbox_done(); 0: a relay has done it already */
};
/* Inserts the task (PENDING) and its outbox row in one transaction.  fn with
 * ST_OK: both are committed; otherwise made is NULL.  ST_DENIED: there is a
 * task with that id. */
typedef void records_submit_fn(void *arg, enum status st,
                               const struct records_made *made);
void records_submit(struct records *r, const struct records_new *n,
                    records_submit_fn *fn, void *arg);

struct records_row {
    int64_t seq; /* the integer id */
    struct slice id, name, description, task, args, kwargs, queue, status;
    struct slice result;                   /* JSON text */
    struct slice error;                    /* one line: ValueError('boom') */
    struct slice traceback, worker, model; /* worker: a node's name */
    int64_t retries, attempt;
    int64_t prompt_tokens, completion_tokens, total_tokens;  /* -1: none */
    int64_t created_us, updated_us, started_us, finished_us; /* 0: none */
};
/* rows are borrowed; total: of all that match, for paging. */
typedef void records_rows_fn(void *arg, enum status st,
                             const struct records_row *rows, size_t n,
                             int64_t total);

/* Which task: the Celery id or, with ptr NULL, the integer id.  Never both from
 * one text: a producer may call a task "7". */
struct records_key {
    struct slice id;
    int64_t seq;
};
/* n is 0 or 1; none is ST_OK. */
void records_get(struct records *r, struct records_key key, records_rows_fn *fn,
                 void *arg);

/* The same for who asks again and again: a row only once it has ended. */
void records_ended(struct records *r, struct slice id, records_rows_fn *fn,
                   void *arg);

struct records_filter {
    struct slice status, task, queue, model; /* ptr NULL: any */
    struct slice search;                     /* part of name or description */
    int64_t skip, limit;
    bool oldest_first;
};
/* At most 1000 rows; args, kwargs, result and traceback over 64 KiB come as
 * NULL: records_get() has them.  search looks at the first 1000 bytes. */
void records_list(struct records *r, const struct records_filter *f,
                  records_rows_fn *fn, void *arg);

/* What PUT may change: name and description always; the rest only while the
 * task is PENDING and its outbox row unpublished: no relay holds it, and it is
 * due in the future or ten seconds old (before that its submitter may be
 * publishing it).  ptr NULL: unchanged.  ST_NOTFOUND: no such task; ST_DENIED:
 * it runs already or is done.  Answers with the row as it is then. */
struct records_change {
    struct slice name, description;
    struct slice task, args, kwargs, queue, message;
    int64_t due_us; /* publish not before; 0: unchanged */
};
void records_update(struct records *r, struct records_key key,
                    const struct records_change *c, records_rows_fn *fn,
                    void *arg);
/* Revokes what is not done and removes the row and its outbox row; answers with
 * the row as it was, or ST_NOTFOUND.  A later delivery of the id is not run
 * (revoked table, kept for 30 days); an outcome that comes later is dropped. */
void records_delete(struct records *r, struct records_key key,
                    records_rows_fn *fn, void *arg);

/* ---- the outbox relay: api and worker ---- */

/* Takes up to n rows (at most 1000) that are due and were made at least
 * min_age_ms ago, for lease_ms (SKIP LOCKED: relays do not collide).  One that
 * is not outbox_done() by then is taken again. */
struct outbox_row {
    int64_t outbox_id;
    struct slice task_id, queue, message;
};
typedef void outbox_fn(void *arg, enum status st, const struct outbox_row *rows,
                       size_t n);
void outbox_take(struct records *r, size_t n, uint32_t min_age_ms,
                 uint32_t lease_ms, outbox_fn *fn, void *arg);
void outbox_done(struct records *r, int64_t outbox_id); /* published: delete */
/* Parks a message that a worker holds (far ETA) until due_us; acknowledge it
 * when fn says ST_OK.  Parked twice, it is published twice. */
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
    CLAIM_ELSEWHERE, /* runs under a live lease, perhaps our own: acknowledge */
    CLAIM_POISON,    /* died worker_max_attempts times: note FAILURE with
                      * WorkerLostError; until then it is told so again */
};
struct records_claim {
    struct slice id, task, args, kwargs, queue, root_id, parent_id, group_id;
    struct slice model; /* of LLM tasks */
    int64_t retries;
    bool begun; /* STARTED at once: it runs within fn, with no records_begun();
                 * who counts its deaths */
};
typedef void claim_fn(void *arg, enum status st, enum claim c, int64_t attempt);
/* who: the node's instance, as for the broker.  The row is made if there is
 * none (Python producers).  A claim is a lease on the id: status stays PENDING
 * or RETRY until the task begins.  The lease lasts worker_lease (and after a
 * start of the server no lease ends for as long); whoever claims after it has
 * run out counts a death, if the task had begun.  attempt only grows: it is the
 * fencing token, not the number of deaths.  A message with more retries than
 * the row is a fresh chance: it starts even under a live lease, and deaths
 * begin anew. */
void records_claim(struct records *r, struct slice who,
                   const struct records_claim *c, claim_fn *fn, void *arg);

/* It runs from now on: status STARTED; nothing if it is settled by then. acked:
 * its message is acknowledged when fn says ST_OK, not sooner; if who dies after
 * this the task is lost, and before it is free.  ST_DENIED as for
 * records_settle(). */
void records_begun(struct records *r, struct slice who, struct slice id,
                   int64_t attempt, bool acked, records_fn *fn, void *arg);

struct records_outcome {
    struct slice id;
    int64_t attempt;
    struct slice status; /* SUCCESS, FAILURE, RETRY, REVOKED, IGNORED, ... */
    struct slice result; /* JSON text; ptr NULL: null */
    struct slice error, traceback;
    struct slice worker, model;
    int64_t retries;
    int64_t prompt_tokens, completion_tokens, total_tokens; /* -1: none */
    int64_t ran_us;    /* 0: it did not begin; records_note(): not looked at */
    struct slice task; /* records_note() only: see there */
};
/* Settled only if who still holds that attempt; otherwise fn gets ST_DENIED:
 * the outcome is late and must be dropped.  (Of a row that a user deleted it is
 * dropped with ST_OK.)  SUCCESS, FAILURE, REVOKED, REJECTED, IGNORED are final;
 * they, RETRY and PENDING end the lease.  Any other state is progress: result
 * is its meta, and the lease goes on. */
void records_settle(struct records *r, struct slice who,
                    const struct records_outcome *o, records_fn *fn, void *arg);
/* An outcome that nobody claimed (expired, revoked, unknown task; or what the
 * api found in the result backend): written unless a final state is there; what
 * is not final, also not over a live lease.  attempt is not looked at.  If
 * there is no row, one is made when o->task is given and the id not revoked. */
void records_note(struct records *r, const struct records_outcome *o,
                  records_fn *fn, void *arg);
/* Hands a claim back unrun or interrupted: no death.  Put the message back in
 * its queue only after fn: a claim before it would find a live lease.
 * ST_DENIED as for records_settle(). */
void records_release(struct records *r, struct slice who, struct slice id,
                     int64_t attempt, records_fn *fn, void *arg);
/* The same for a claim whose executor died, which counts: after
 * worker_max_attempts of them in a row the next claim is CLAIM_POISON. */
void records_died(struct records *r, struct slice who, struct slice id,
                  int64_t attempt, records_fn *fn, void *arg);
/* Renews the leases of all that who runs: several times in worker_lease. */
void records_renew(struct records *r, struct slice who, records_fn *fn,
                   void *arg);
/* who is dead: its claims are free at once, but those that had begun and were
 * acknowledged become FAILURE WorkerLostError and are listed.  What had begun
 * has died once more.  who.ptr NULL: all whose lease has run out.  At most
 * 10,000 in one call. */
typedef void records_lost_fn(void *arg, enum status st, const struct slice *ids,
                             size_t n);
void records_bury(struct records *r, struct slice who, records_lost_fn *fn,
                  void *arg);
/* Not run when it is delivered.  A row that waits becomes REVOKED; one that is
 * claimed is left as it is, for remote control to end. */
void records_revoke(struct records *r, struct slice id, records_fn *fn,
                    void *arg);
/* A message that was rejected: reason and the first 64 KiB of its bytes.  The
 * last 10,000 are kept. */
void records_reject(struct records *r, struct slice queue, struct slice id,
                    struct slice reason, struct slice raw);

/* ---- housekeeping ---- */

/* Ids of records not final, not leased and published for longer than age_ms:
 * what the api looks up in the result backend.  Each call goes on where the one
 * before ended, oldest first, and begins anew after the last page. */
void records_open_ids(struct records *r, size_t n, uint32_t age_ms,
                      records_lost_fn *fn, void *arg);

#endif
