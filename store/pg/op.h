#ifndef STORE_PG_OP_H
#define STORE_PG_OP_H

#include "base/list.h"
#include "store/pg/records.h"
#include "store/pg/session.h"
#include "store/result.h"

/* One call of records.h with a copy of its arguments, and the batch that it
 * travels in. */

union op_fn {
    records_fn *done;
    records_submit_fn *submitted;
    records_rows_fn *rows;
    outbox_fn *taken;
    void (*depth)(void *arg, enum status st, int64_t n);
    claim_fn *claimed;
    records_lost_fn *ids;
    result_fn *result;
    result_group_fn *group;
};

/* A parameter: text or bytes of length n (ptr NULL: NULL), or the number n. */
struct op_value {
    const char *ptr;
    int64_t n;
};

struct op {
    struct list node;  /* in the queue of its kind, or in a batch */
    struct list timed; /* in the list of deadlines; in none if it has none */
    enum pg_kind kind;
    enum status refused; /* not ST_OK: why it is never sent */
    bool sent;           /* in a batch that is under way */
    bool told;           /* its callback was called: it timed out under way */
    unsigned most;       /* calls in its next batch, after a failure; 0: any */
    uint64_t no;         /* ops are numbered: older ones are sent first */
    uint64_t deadline_us;
    size_t bytes;
    union op_fn fn; /* may be NULL */
    void *arg;
    struct op_value v[]; /* and the bytes */
};

static inline struct op_value
op_text(struct slice s)
{
    return (struct op_value){s.ptr, s.ptr != NULL ? (int64_t)s.len : 0};
}

static inline struct op_value
op_int(int64_t n)
{
    return (struct op_value){NULL, n};
}

/* Copies the values, made storable.  With a value that cannot be, or too large
 * a one, op->refused says so.  NULL: out of memory. */
struct op *op_new(enum pg_kind kind, const struct op_value *v);
/* The same for a call that somebody waits for; aborts without memory, since not
 * even the caller could be told. */
struct op *op_ask(enum pg_kind kind, const struct op_value *v, union op_fn fn,
                  void *arg, uint64_t no);
void op_free(struct op *op);

/* A null callback is fine.  Calls it with st and nothing else. */
void op_fail(struct op *op, enum status st);

struct batch {
    struct session_call call;
    void *owner;
    size_t n;
    struct op *ops[]; /* in the order of the parameters; owned */
};

/* The batch of n ops of one kind; NULL: out of memory.  A batch of a keyed kind
 * is to be sorted by id. */
struct batch *batch_new(struct op *const *ops, size_t n);
void batch_free(struct batch *b); /* not the ops */

/* Writes the parameters into memory that the caller frees after sending.
 * ST_NOMEM. */
enum status batch_encode(struct batch *b, char **memory);

/* The op with that id, of a batch that is sorted; NULL: none. */
struct op *batch_find(const struct batch *b, struct slice id);
int op_compare_ids(const void *a, const void *b); /* for qsort: id, then no */

#endif
