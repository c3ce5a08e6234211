#ifndef STORE_PG_INTERNAL_H
#define STORE_PG_INTERNAL_H

#include "store/pg/op.h"

/* What the calls of records.h (in records*.c and outbox.c) are made of.
 */

/* Queues a call with a copy of its values; fn is called as records.h says. */
void records_ask(struct records *r, enum pg_kind kind, const struct op_value *v,
                 union op_fn fn, void *arg);

int64_t records_lease_ms(const struct records *r);
int64_t records_max_attempts(const struct records *r);
int64_t records_cursor(const struct records *r); /* of PG_OPEN_IDS */
uint64_t records_next_no(struct records *r);     /* unique in the process */

#endif
