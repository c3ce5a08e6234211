/* SPDX-License-Identifier: Apache-2.0 */
/* The transport options that concern the connection: timeouts and keepalive,
 * by the names that redis-py gives them. */
#include "store/redis/address.h"

#include <stdio.h>

#include "base/json.h"

enum { SECONDS_MAX = 86400 };

/* Seconds to milliseconds; absent or null leaves *ms. */
static enum status
read_seconds(const struct redis_address *a, struct json_object *o,
             const char *name, bool zero, uint32_t *ms, struct error *err)
{
    struct json_object *v = json_get(o, name);
    double s;
    char what[80];

    if (v == NULL)
        return ST_OK;
    s = json_get_double(o, name, -1);
    if (s > 0 && s <= SECONDS_MAX) {
        *ms = s < 0.001 ? 1 : (uint32_t)(s * 1000);
        return ST_OK;
    }
    if (s == 0 && zero) {
        *ms = 0;
        return ST_OK;
    }
    snprintf(what, sizeof what, "%s is no number of seconds", name);
    return redis_address_invalid(a, what, err);
}

/* Python's dict has the numbers of <netinet/tcp.h> for keys. */
static int
keepalive_option(struct json_object *o, const char *name, const char *number)
{
    int64_t n = json_get_int(o, name, json_get_int(o, number, 0));

    return n > 0 && n <= SECONDS_MAX ? (int)n : 0;
}

static void
read_keepalive(struct redis_address *a, struct json_object *o)
{
    struct stream_keepalive *k = &a->stream.keepalive;
    struct json_object *how = json_get(o, "socket_keepalive_options");

    k->off = !json_get_bool(o, "socket_keepalive", !k->off);
    k->idle_s = keepalive_option(how, "TCP_KEEPIDLE", "4");
    k->interval_s = keepalive_option(how, "TCP_KEEPINTVL", "5");
    k->count = keepalive_option(how, "TCP_KEEPCNT", "6");
}

enum status
redis_address_options(struct redis_address *a, struct json_object *o,
                      struct error *err)
{
    enum status st =
        read_seconds(a, o, "socket_timeout", false, &a->socket_timeout_ms, err);

    if (st == ST_OK)
        st = read_seconds(a, o, "socket_connect_timeout", false,
                          &a->stream.connect_timeout_ms, err);
    if (st == ST_OK)
        st = read_seconds(a, o, "health_check_interval", true,
                          &a->health_check_ms, err);
    read_keepalive(a, o);
    return st;
}
