#ifndef TESTS_SUPPORT_PG_RECORDS_H
#define TESTS_SUPPORT_PG_RECORDS_H

#include "store/pg/records.h"
#include "tests/support/pg_server.h"

/* Records on a loop of their own, with calls that wait for their answer. */
struct pg_records {
    uv_loop_t loop;
    struct config config;
    struct records *r;
    uv_timer_t guard; /* ends a wait that takes too long */
};

/* Aborts the test if it cannot. */
void pg_records_open(struct pg_records *p, const char *url, int connections,
                     double database_timeout, double lease);
void pg_records_close(struct pg_records *p);

/* Runs the loop until *done is at least n; aborts the test after 15 s
 * times LOVAGE_TEST_SLOW. */
void pg_records_wait(struct pg_records *p, const size_t *done, size_t n);
/* Runs the loop for that long. */
void pg_records_run(struct pg_records *p, uint32_t ms);

/* A slice of a literal or of a C string; NULL: ptr NULL. */
struct slice text(const char *s);

/* The answer of the call that was waited for last. */
struct pg_answer {
    enum status st;
    size_t done, n;
    int64_t number, total;
    enum claim claim;
    int64_t attempt;
    char ids[8][160];
    char id[160], status[64], result[4096], error[256], worker[64], name[256];
    char args[256], task[64], queue[64], message[256];
    struct records_row row; /* its slices are gone: use the texts above */
};

struct pg_answer pg_submit(struct pg_records *p, const char *id);
struct pg_answer pg_get(struct pg_records *p, const char *id);
struct pg_answer pg_get_seq(struct pg_records *p, int64_t seq);
struct pg_answer pg_delete_seq(struct pg_records *p, int64_t seq);
struct pg_answer pg_list(struct pg_records *p, const struct records_filter *f);
struct pg_answer pg_update(struct pg_records *p, const char *id,
                           const struct records_change *c);
struct pg_answer pg_delete(struct pg_records *p, const char *id);
struct pg_answer pg_take(struct pg_records *p, size_t n, uint32_t min_age_ms,
                         uint32_t lease_ms);
struct pg_answer pg_park(struct pg_records *p, const char *id, int64_t due_us);
struct pg_answer pg_depth(struct pg_records *p);
struct pg_answer pg_claim(struct pg_records *p, const char *who, const char *id,
                          int64_t retries, bool begun);
struct pg_answer pg_begun(struct pg_records *p, const char *who, const char *id,
                          int64_t attempt, bool acked);
struct pg_answer pg_settle(struct pg_records *p, const char *who,
                           const char *id, int64_t attempt, const char *status,
                           const char *result);
struct pg_answer pg_note(struct pg_records *p, const char *id, const char *task,
                         const char *status, const char *result);
struct pg_answer pg_release(struct pg_records *p, const char *who,
                            const char *id, int64_t attempt);
struct pg_answer pg_died(struct pg_records *p, const char *who, const char *id,
                         int64_t attempt);
struct pg_answer pg_renew(struct pg_records *p, const char *who);
struct pg_answer pg_bury(struct pg_records *p, const char *who);
struct pg_answer pg_revoke(struct pg_records *p, const char *id);
struct pg_answer pg_open_ids(struct pg_records *p, size_t n, uint32_t age_ms);

#endif
