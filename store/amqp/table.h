#ifndef STORE_AMQP_TABLE_H
#define STORE_AMQP_TABLE_H

#include "base/json.h"

#include <amqp.h>

/* Field tables and JSON objects.  celery-wire.md 4.9: py-amqp and RabbitMQ read
 * some kinds differently, so only S I l t d V A F are written; all are read. */

/* *out borrows the strings of obj and lives in pool.  What RabbitMQ adds when
 * it dead-letters (x-death and its like) is left out: sent again, it would look
 * like a cycle.  obj NULL: an empty table. */
enum status amq_table_encode(struct json_object *obj, amqp_pool_t *pool,
                             amqp_table_t *out, struct error *err);

/* ST_PROTO: nested too deep. */
enum status amq_table_decode(const amqp_table_t *table,
                             struct json_object **out, struct error *err);

/* Names like x-death, which a message that is sent again may not carry. */
bool amq_table_is_death(struct slice name);

static inline struct slice
amq_slice(amqp_bytes_t b)
{
    return (struct slice){b.bytes, b.len};
}

amqp_bytes_t amq_bytes(const char *text); /* borrowed; NULL: empty */
amqp_bytes_t amq_bytes_of(struct slice s);

#endif
