#ifndef STORE_PG_RESULT_DB_H
#define STORE_PG_RESULT_DB_H

#include "base/backoff.h"
#include "base/map.h"
#include "base/turn.h"
#include "store/pg/op.h"
#include "store/pg/result_sql.h"

/* The result backend over Celery's own tables, private to result_db*.c.
 *
 * Calls wait in one queue and go in its order, a batch of one kind at a time:
 * what is put for an id is stored in the order in which it was put. */
struct result_db {
    struct result base;
    uv_loop_t *loop;
    int64_t expires_s;
    bool extended;
    struct result_sql sql;
    struct session *session;

    struct list queue;   /* struct op, that wait */
    struct list refused; /* to be told so at the turn's end */
    size_t calls, bytes; /* waiting or under way */
    uint64_t next_no;
    struct batch *sent; /* under way; NULL: none */

    bool missing;         /* the tables may be: they are created first */
    bool cannot_create;   /* it was tried in vain: calls are not put off */
    bool creating;        /* under way */
    bool create_at_setup; /* not only before the first call */
    struct session_call create;

    struct map topics; /* what is watched: result_db_watch.c */
    struct list all_topics;
    struct batch *poll; /* under way; NULL: none */
    uint64_t poll_sent_us;
    uv_timer_t poll_timer;

    struct turn turn;
    uv_timer_t pause; /* active: after an error that will pass */
    struct backoff backoff;
    uv_timer_t deadline; /* of closing */
    bool closing, finished;
    unsigned handles;
    void (*closed)(void *arg);
    void *closed_arg;
};

/* result_db.c */
void result_db_ask(struct result_db *r, enum pg_kind kind,
                   const struct op_value *v, union op_fn fn, void *arg);
/* What follows a failed statement: are the tables to be created, or do they
 * lack a column?  Then it will be seen to, and the statement is to be sent
 * again. */
bool result_db_is_missing(struct result_db *r, const struct session_answer *a);

/* result_db_calls.c */
void result_db_put(struct result *base, const struct task_state *ts,
                   result_fn *fn, void *arg);
void result_db_get(struct result *base, struct slice id, result_fn *fn,
                   void *arg);
void result_db_forget(struct result *base, struct slice id, result_fn *fn,
                      void *arg);
void result_db_group_save(struct result *base, struct slice id,
                          struct json_object *tuple, result_fn *fn, void *arg);
void result_db_group_get(struct result *base, struct slice id,
                         result_group_fn *fn, void *arg);
void result_db_group_forget(struct result *base, struct slice id, result_fn *fn,
                            void *arg);
void result_db_cleanup(struct result *base, result_fn *fn, void *arg);

/* result_db_rows.c: tells an op how it ended, when it failed. */
void result_db_fail(const struct op *op, enum status st);
/* Tells all ops of a batch that succeeded. */
void result_db_answer(struct batch *b, const PGresult *rows);
/* A row of PG_RESULT_GET and PG_RESULT_READY, about id. */
void result_db_tell_row(const PGresult *rows, int row, struct slice id,
                        result_fn *fn, void *arg);
/* Which op of the batch a row is about; NULL: none. */
struct op *result_db_op_of(const struct batch *b, const PGresult *rows,
                           int row);

/* result_db_watch.c */
struct result_watch *result_db_watch(struct result *base, struct slice id,
                                     result_fn *fn, void *arg);
void result_db_unwatch(struct result *base, struct result_watch *w);
void result_db_watch_init(struct result_db *r);
void result_db_watch_turn(struct result_db *r); /* polls if it is time to */
void result_db_watch_fini(struct result_db *r);

#endif
