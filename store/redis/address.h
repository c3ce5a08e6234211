#ifndef STORE_REDIS_ADDRESS_H
#define STORE_REDIS_ADDRESS_H

#include "base/stream.h"
#include "base/url.h"

/* Where a Redis server is and how to log in, from Celery's URL forms
 * (celery-wire.md 3.9): redis://, rediss://, redis+socket://, socket://. */
struct redis_address {
    struct url url; /* owned; what follows points into it */
    const char *user, *password;
    int db;
    char *ca_file, *cert_file, *key_file; /* owned; NULL: not given */
    struct stream_tls tls;
    struct stream_opts stream; /* points into this struct: do not move it */
};

/* ST_INVALID, naming the URL without its password, if it cannot be used. */
enum status redis_address_init(struct redis_address *a, const char *url,
                               struct error *err);
void redis_address_fini(struct redis_address *a);

#endif
