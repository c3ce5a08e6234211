#ifndef STORE_REDIS_ADDRESS_H
#define STORE_REDIS_ADDRESS_H

#include "base/config.h"
#include "base/stream.h"
#include "base/url.h"
#include "store/tls.h"

/* Where a Redis server is and how to log in, from Celery's URL forms
 * (celery-wire.md 3.9): redis://, rediss://, redis+socket://, socket://,
 * sentinel://; and from the settings that go with them. */

enum { SENTINELS_MAX = 64 };

/* Celery has settings of its own for brokers and for results. */
enum redis_role { REDIS_BROKER, REDIS_RESULT };

/* Who knows where the master is. */
struct redis_sentinels {
    struct url urls[SENTINELS_MAX]; /* owned */
    size_t count;
    char *master; /* master_name; this and the rest are owned */
    char *user, *password;
    int64_t min_others; /* other sentinels that one must know to be believed */
    struct store_tls tls;
    struct stream_opts stream; /* of all of them, without host and port */
};

struct redis_address {
    struct url url; /* owned; what follows points into it */
    const char *user, *password;
    int db;
    struct store_tls tls;
    struct stream_opts stream; /* points into this struct: do not move it */
    struct redis_sentinels *sentinels; /* NULL: none; then stream has no host */
    uint32_t socket_timeout_ms;
    uint32_t health_check_ms; /* 0: never */
};

/* config: NULL: nothing but the URL counts.  ST_INVALID, naming the URL without
 * its password, if it cannot be used. */
enum status redis_address_init(struct redis_address *a, const char *url,
                               const struct config *config,
                               enum redis_role role, struct error *err);
void redis_address_fini(struct redis_address *a);

/* ---- for address*.c ---- */

struct json_object;
enum status redis_address_invalid(const struct redis_address *a,
                                  const char *what, struct error *err);
/* address_options.c: what the transport options say; o NULL: nothing. */
enum status redis_address_options(struct redis_address *a,
                                  struct json_object *o, struct error *err);
/* address_sentinel.c: the list of URLs; a->url is the first of them. */
enum status redis_sentinels_init(struct redis_address *a, const char *urls,
                                 struct json_object *o, struct error *err);
void redis_sentinels_free(struct redis_sentinels *s);

#endif
