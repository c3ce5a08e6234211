/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the result backend that a URL's scheme names. */
#include "store/result.h"

#include <string.h>

#include "base/url.h"
#include "store/redis/ops.h"

static const struct {
    const char *scheme;
    const struct result_ops *ops;
} backends[] = {
    {"redis", &redis_result_ops},
    {"rediss", &redis_result_ops},
    {"redis+socket", &redis_result_ops},
    {"socket", &redis_result_ops},
};

enum status
result_open(struct result **out, uv_loop_t *loop, const char *url,
            const struct config *config, struct error *err)
{
    struct url u;
    enum status st;

    *out = NULL;
    if (*url == '\0' || strncmp(url, "disabled://", 11) == 0)
        return ST_OK;
    st = url_parse(url, &u, err);
    if (st != ST_OK)
        return st;
    st = ST_INVALID;
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++)
        if (strcmp(u.scheme, backends[i].scheme) == 0) {
            st = backends[i].ops->open(out, loop, url, config, err);
            goto out;
        }
    st = error_set(err, st,
                   "no result backend for the scheme %.40s of "
                   "result_backend",
                   u.scheme);
out:
    url_fini(&u);
    return st;
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
