/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the broker that a URL's scheme names. */
#include "store/broker.h"

#include <string.h>

#include "base/url.h"
#include "store/redis/ops.h"

static const struct {
    const char *scheme;
    const struct broker_ops *ops;
} brokers[] = {
    {"redis", &redis_broker_ops},
    {"rediss", &redis_broker_ops},
    {"redis+socket", &redis_broker_ops},
    {"socket", &redis_broker_ops},
};

enum status
broker_open(struct broker **out, uv_loop_t *loop, const struct broker_opts *o,
            const struct broker_events *ev, void *arg, struct error *err)
{
    struct url url;
    enum status st = url_parse(o->url, &url, err);

    if (st != ST_OK)
        return st;
    st = ST_INVALID;
    for (size_t i = 0; i < sizeof brokers / sizeof *brokers; i++)
        if (strcmp(url.scheme, brokers[i].scheme) == 0) {
            st = brokers[i].ops->open(out, loop, o, ev, arg, err);
            goto out;
        }
    st = error_set(err, st, "no broker for the scheme %.40s of broker_url",
                   url.scheme);
out:
    url_fini(&url);
    return st;
}
