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

static bool
begins_with_one_of(const struct redisReply *r, const char *const *words)
{
    for (; *words != NULL; words++)
        if (redis_error_is(r, *words))
            return true;
    return false;
}

enum status
redis_status(const struct redisReply *r, struct error *err)
{
    static const char *const transient[] = {"LOADING",
                                            "BUSY",
                                            "READONLY",
                                            "OOM",
                                            "MISCONF",
                                            "NOSCRIPT",
                                            "TRYAGAIN",
                                            "UNBLOCKED",
                                            "NOREPLICAS",
                                            "CLUSTERDOWN",
                                            "EXECABORT",
                                            "MASTERDOWN",
                                            "DENIED", /* protected mode */
                                            "ERR max number of clients",
                                            NULL};
    static const char *const cluster[] = {"MOVED", "ASK", "CROSSSLOT", NULL};
    static const char *const denied[] = {"NOAUTH",   "WRONGPASS",
                                         "NOPERM",   "ERR invalid password",
                                         "ERR AUTH", "ERR Client sent AUTH",
                                         NULL};

    if (r->type != REDIS_REPLY_ERROR)
        return ST_OK;
    if (begins_with_one_of(r, transient))
        return error_set(err, ST_BUSY, "redis: %.200s", r->str);
    if (begins_with_one_of(r, cluster))
        return error_set(err, ST_BUSY,
                         "this is a Redis Cluster, which is not supported: "
                         "%.120s",
                         r->str);
    /* Inside a script, Redis 7 says so after the fact. */
    if (begins_with_one_of(r, denied) || strstr(r->str, "ACL failure") != NULL)
        return error_set(err, ST_DENIED, "redis: %.200s", r->str);
    /* Some servers quote the arguments of what they do not know: AUTH's. */
    if (strstr(r->str, "unknown command") != NULL)
        return error_set(err, ST_PROTO, "redis: unknown command");
    return error_set(err, ST_PROTO, "redis: %.200s", r->str);
}
