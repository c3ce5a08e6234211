/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the result backend that a URL's scheme names. */
#include "store/result.h"

#include <string.h>
#include <strings.h>

#include "store/pg/ops.h"
#include "store/redis/ops.h"
#include "store/rpc/ops.h"

static const struct {
    const char *scheme;
    const struct result_ops *ops;
} backends[] = {
    {"redis", &redis_result_ops},
    {"rediss", &redis_result_ops},
    {"redis+socket", &redis_result_ops},
    {"socket", &redis_result_ops},
    {"sentinel", &redis_result_ops},
    {"db+postgresql", &pg_result_ops},
    {"db+postgresql+psycopg2", &pg_result_ops},
    {"db+postgresql+psycopg", &pg_result_ops},
    {"database+postgresql", &pg_result_ops},
    {"sqlalchemy+postgresql", &pg_result_ops},
    {"postgresql", &pg_result_ops},
};

/* They name no server, and may come without "://". */
static bool
is_word(const char *url, const char *word)
{
    size_t n = strlen(word);

    return strncmp(url, word, n) == 0 &&
           (url[n] == '\0' || strncmp(url + n, "://", 3) == 0);
}

enum status
result_open(struct result **out, uv_loop_t *loop, const char *url,
            const struct config *config, struct error *err)
{
    const char *end = strstr(url, "://");
    size_t n = end == NULL ? 0 : (size_t)(end - url);

    *out = NULL;
    if (*url == '\0' || is_word(url, "disabled"))
        return ST_OK;
    if (is_word(url, "rpc"))
        return rpc_result_ops.open(out, loop, url, config, err);
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++)
        if (strlen(backends[i].scheme) == n &&
            strncasecmp(url, backends[i].scheme, n) == 0)
            return backends[i].ops->open(out, loop, url, config, err);
    return error_set(err, ST_INVALID,
                     "result_backend: no backend \"%.*s\": there are redis, "
                     "rediss, redis+socket, sentinel, rpc and disabled",
                     (int)(n < 40 ? n : 40), url);
}

unsigned
result_can(const struct result *r)
{
    return r != NULL ? r->ops->can : 0;
}

const char *
result_reply_to(struct result *r)
{
    return r != NULL && r->ops->reply_to != NULL ? r->ops->reply_to(r) : "";
}
