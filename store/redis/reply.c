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

/* Redis does not say which command it was that the user of a script may not
 * run: tells all that the script calls. */
static enum status
denied_in_script(const struct redisReply *r, struct error *err)
{
    static const char call[] = "redis.call('";
    char names[160] = "";
    size_t len = 0;

    for (enum redis_script s = 0; s < SCRIPT_COUNT; s++) {
        const char *p = redis_script_text(s);

        if (strstr(r->str, redis_script_sha(s)) == NULL)
            continue;
        while ((p = strstr(p, call)) != NULL) {
            size_t n;

            p += sizeof call - 1;
            n = strcspn(p, "'");
            if (memmem(names, len, p, n) != NULL || len + n + 2 > sizeof names)
                continue;
            memcpy(names + len, p, n);
            names[len + n] = ' ';
            len += n + 1;
        }
    }
    return error_set(err, ST_DENIED,
                     "redis: %.71s: it may not be allowed to use one of: %.*s",
                     r->str, (int)len, names);
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
    if (strstr(r->str, "user executing the script") != NULL ||
        strstr(r->str, "ACL failure in script") != NULL)
        return denied_in_script(r, err);
    if (begins_with_one_of(r, denied))
        return error_set(err, ST_DENIED, "redis: %.200s", r->str);
    /* Some servers quote the arguments of what they do not know: AUTH's. */
    if (strstr(r->str, "unknown command") != NULL)
        return error_set(err, ST_PROTO, "redis: unknown command");
    return error_set(err, ST_PROTO, "redis: %.200s", r->str);
}
