#ifndef STORE_REDIS_CACHE_H
#define STORE_REDIS_CACHE_H

#include "base/config.h"

#include <uv.h>

/* A small key-value cache in Redis.  Best effort: a cache that is away misses
 * (within 250 ms) and forgets what it is given. */
struct cache;

enum status cache_open(struct cache **out, uv_loop_t *loop, const char *url,
                       const struct config *config, struct error *err);
bool cache_takes(const char *url); /* is it of a Redis? */
void cache_close(struct cache *c); /* calls still waiting are not answered */

/* value.ptr NULL: a miss.  Called once, not before cache_get has returned. */
typedef void cache_fn(void *arg, struct slice value);
void cache_get(struct cache *c, struct slice key, cache_fn *fn, void *arg);
void cache_put(struct cache *c, struct slice key, struct slice value,
               int64_t ttl_s);

#endif
