#ifndef STORE_REDIS_LAYOUT_H
#define STORE_REDIS_LAYOUT_H

#include "base/buf.h"
#include "protocol/message.h"

/* How kombu lays its queues out in Redis, with the transport options that
 * change it (celery-wire.md 3.1, 3.9, 3.10).  All nodes must agree on them. */
enum { LAYOUT_STEPS_MAX = 10 };

enum queue_order { ORDER_ROUND_ROBIN, ORDER_PRIORITY, ORDER_SORTED };

struct redis_layout {
    char *prefix; /* global_keyprefix; "" */
    char *sep;
    int steps[LAYOUT_STEPS_MAX];
    size_t step_count;
    char *unacked, *unacked_index, *unacked_mutex; /* with the prefix */
    char *fanout_prefix; /* "/0." or as set; without the key prefix */
    bool fanout_patterns;
    double visibility_timeout, mutex_expire; /* s */
    int64_t restore_limit;                   /* 0: none */
    enum queue_order order;
};

/* options: the setting broker_transport_options; db: of the broker's URL. */
enum status redis_layout_init(struct redis_layout *l, const char *options,
                              int db, struct error *err);
void redis_layout_fini(struct redis_layout *l);

/* What follows a queue's name in the key for a priority: "" or sep and step.
 * Written into out. */
void redis_layout_suffix(const struct redis_layout *l, int priority,
                         struct buf *out);
/* prefix and text: a key. malloc'd; NULL without memory. */
char *redis_layout_key(const struct redis_layout *l, const char *text,
                       struct slice more);

/* The global_keyprefix of result_backend_transport_options, as Celery 5.3 puts
 * it before its keys: with an underscore, unless it ends in a sign that parts.
 * *out is the caller's. */
enum status redis_result_prefix(const char *options, char **out,
                                struct error *err);

#endif
