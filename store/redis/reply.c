/* SPDX-License-Identifier: Apache-2.0 */
/* What Redis' errors mean. */
#include "store/redis/client.h"

#include <string.h>

bool
redis_error_is(const struct redisReply *r, const char *word)
{
    size_t n = strlen(word);

    return r->type == REDIS_REPLY_ERROR && r->len >= n &&
           memcmp(r->str, word, n) == 0;
}

enum status
redis_status(const struct redisReply *r, struct error *err)
{
    static const char *const transient[] = {
        "LOADING",     "BUSY",       "READONLY", "OOM",       "MISCONF",
        "NOSCRIPT",    "MASTERDOWN", "TRYAGAIN", "UNBLOCKED", "NOREPLICAS",
        "CLUSTERDOWN", "MOVED",      "EXECABORT"};
    static const char *const denied[] = {"NOAUTH", "WRONGPASS", "NOPERM",
                                         "ERR invalid password"};

    if (r->type != REDIS_REPLY_ERROR)
        return ST_OK;
    for (size_t i = 0; i < sizeof transient / sizeof *transient; i++)
        if (redis_error_is(r, transient[i]))
            return error_set(err, ST_BUSY, "redis: %.200s", r->str);
    for (size_t i = 0; i < sizeof denied / sizeof *denied; i++)
        if (redis_error_is(r, denied[i]))
            return error_set(err, ST_DENIED, "redis: %.200s", r->str);
    /* Some servers quote the arguments of what they do not know: AUTH's. */
    if (strstr(r->str, "unknown command") != NULL)
        return error_set(err, ST_PROTO, "redis: unknown command");
    return error_set(err, ST_PROTO, "redis: %.200s", r->str);
}
