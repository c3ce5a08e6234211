/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the broker that a URL's scheme names. */
#include "store/broker.h"

#include <string.h>
#include <strings.h>

#include "store/amqp/ops.h"
#include "store/redis/ops.h"

static const struct {
    const char *scheme;
    const struct broker_ops *ops;
} brokers[] = {
    {"redis", &redis_broker_ops},        {"rediss", &redis_broker_ops},
    {"redis+socket", &redis_broker_ops}, {"socket", &redis_broker_ops},
    {"sentinel", &redis_broker_ops},     {"amqp", &amqp_broker_ops},
    {"pyamqp", &amqp_broker_ops},        {"amqps", &amqp_broker_ops},
};

/* Of a list of URLs the first names the kind of all. */
enum status
broker_open(struct broker **out, uv_loop_t *loop, const struct broker_opts *o,
            const struct broker_events *ev, void *arg, struct error *err)
{
    const char *end = strstr(o->url, "://");
    size_t n = end == NULL ? 0 : (size_t)(end - o->url);

    for (size_t i = 0; i < sizeof brokers / sizeof *brokers; i++)
        if (strlen(brokers[i].scheme) == n &&
            strncasecmp(o->url, brokers[i].scheme, n) == 0)
            return brokers[i].ops->open(out, loop, o, ev, arg, err);
    return error_set(err, ST_INVALID,
                     "no broker for the scheme \"%.*s\" of broker_url",
                     (int)(n < 40 ? n : 40), o->url);
}
