#ifndef API_HUB_H
#define API_HUB_H

#include "base/config.h"
#include "protocol/message.h"
#include "store/pg/records.h"

/* One thread with an event loop that owns all connections: records, broker,
 * result backend and the outbox relay.  Request threads call what follows, from
 * any thread; each call blocks until the loop has answered or its deadline has
 * passed.  What is asked for in one turn of the loop travels in one batch, so
 * that many submissions share a commit.
 *
 * Each call gives ST_BUSY when too many wait already, ST_TIMEOUT when the
 * database has not answered within database_timeout. */
struct hub;

enum status hub_open(struct hub **out, const struct config *config,
                     struct error *err);
/* Sends what is queued for at most flush_ms and ends the thread.  No call may
 * be made during or after it. */
void hub_close(struct hub *h, uint32_t flush_ms);

/* Rows copied for the caller, who frees them with one free(). */
struct hub_rows {
    int64_t total;
    size_t count;
    struct records_row rows[];
};

/* ST_OK: task and message are committed; made says as what.  The message goes
 * to the broker at once if it is due.  *m, of which n->message is the envelope,
 * is consumed and set to NULL.  ST_AGAIN: database_outbox_max messages wait for
 * the broker. */
enum status hub_submit(struct hub *h, const struct records_new *n,
                       struct message **m, struct records_made *made);

/* A row that is not final is first compared with the result backend: a Python
 * worker may have run the task.  ST_NOTFOUND: no such task. */
enum status hub_get(struct hub *h, struct records_key key,
                    struct hub_rows **out);
enum status hub_list(struct hub *h, const struct records_filter *f,
                     struct hub_rows **out);
/* As records_update and records_delete. */
enum status hub_update(struct hub *h, struct records_key key,
                       const struct records_change *c, struct hub_rows **out);
enum status hub_delete(struct hub *h, struct records_key key,
                       struct hub_rows **out);

/* Tells all workers that id is revoked; best effort, does not wait for them. */
enum status hub_revoke(struct hub *h, struct slice id, bool terminate);

/* Waits until id is ready, or deadline_us (CLOCK_MONOTONIC) has come
 * (ST_TIMEOUT), or gone(arg) says that nobody waits any more (ST_LOST).
 * status and result (JSON text, ptr NULL: null) point into *block, which the
 * caller frees. */
struct hub_outcome {
    struct slice status, result;
    char *block;
};
enum status hub_wait(struct hub *h, struct slice id, uint64_t deadline_us,
                     bool (*gone)(void *arg), void *arg,
                     struct hub_outcome *out);

/* Where the outcomes of tasks are to be sent; "": nowhere.  Never changes. */
const char *hub_reply_to(const struct hub *h);

struct hub_state {
    bool database_up, broker_up, result_up;
    size_t calls;         /* that wait for an answer */
    int64_t outbox_depth; /* as last counted; -1: never */
    size_t relay_backlog;
};
/* Also proves that the loop turns: ST_TIMEOUT within a second if not. */
enum status hub_state(struct hub *h, struct hub_state *out);

#endif
