#ifndef STORE_PG_STATEMENTS_H
#define STORE_PG_STATEMENTS_H

#include <stdbool.h>

/* All SQL that is run on the loop.  Nothing is ever put together from text:
 * what varies is a parameter. */
enum pg_kind {
    PG_SET_UP, /* of a session */
    PG_SUBMIT,
    PG_SUBMIT_AGAIN, /* nobody knows whether the first time took effect */
    PG_GET,
    PG_ENDED,
    PG_LIST_NEWEST,
    PG_LIST_OLDEST,
    PG_UPDATE,
    PG_DELETE,
    PG_TAKE,      /* outbox rows to publish */
    PG_PUBLISHED, /* outbox rows that were */
    PG_PARK,
    PG_DEPTH,
    PG_CLAIM,
    PG_BEGUN,
    PG_SETTLE,
    PG_NOTE,
    PG_RELEASE,
    PG_RENEW,
    PG_BURY,
    PG_REVOKE,
    PG_REJECT,
    PG_OPEN_IDS,
    /* Celery's own tables; the SQL is result_sql.c's. */
    PG_RESULT_CREATE,
    PG_RESULT_PUT,
    PG_RESULT_PUT_EXTENDED,
    PG_RESULT_GET,
    PG_RESULT_READY, /* those of many that have ended */
    PG_RESULT_FORGET,
    PG_RESULT_CLEANUP,
    PG_GROUP_SAVE,
    PG_GROUP_GET,
    PG_GROUP_FORGET,
    PG_KINDS
};

/* Statements of one lane are sent in turn over the same connections; lanes do
 * not wait for each other where there are connections enough: records.c. */
enum lane {
    LANE_WORK,   /* claims, settlements, leases */
    LANE_SUBMIT, /* new tasks and the outbox */
    LANE_READ,   /* one task */
    LANE_SCAN,   /* what may take long */
    LANES
};

struct statement {
    const char *name;
    const char *sql; /* NULL: the session's owner has it */
    /* A letter for each parameter; a capital: one value; else an array with an
     * element for each call of the batch.
     *   k id: 1 to 155 bytes       s short text, t text: made storable
     *   m message: or refused      j JSON text       y bytes
     *   i bigint                   n bigint, -1: NULL       b boolean */
    const char *params;
    enum lane lane;
    unsigned max_calls; /* in one batch */
    bool prepared;      /* else planned anew each time, for its values */
    bool timed;         /* fails after database_timeout; else waits for ever */
    bool keyed;         /* an id at most once in a batch; sorted by it */
};

/* What is answered besides the values of enum claim, and besides 0 and 1. */
enum { ANSWER_AGAIN = 100 /* the row changed under us: ask once more */ };

const struct statement *statement_get(enum pg_kind kind);

#endif
