#ifndef STORE_AMQP_ADDRESS_H
#define STORE_AMQP_ADDRESS_H

#include "base/stream.h"
#include "base/url.h"
#include "store/tls.h"

/* The brokers that a broker_url names: amqp, pyamqp or amqps URLs, separated by
 * semicolons.  The path is the virtual host: "" and "/" are "/", and so is
 * "//"; "/a" is "a"; "/%2Fa" is "/a". */
struct amq_address {
    struct url url;
    struct stream_opts stream; /* borrows from the rest */
    struct store_tls tls;
    const char *user, *password, *vhost;
    bool external;      /* SASL EXTERNAL: the certificate tells who we are */
    uint16_t heartbeat; /* seconds; 0: not said */
};

struct amq_addresses {
    struct amq_address *each;
    size_t count;
};

/* use_ssl: the setting broker_use_ssl. */
enum status amq_addresses_init(struct amq_addresses *a, const char *urls,
                               const char *use_ssl, struct error *err);
void amq_addresses_fini(struct amq_addresses *a);

#endif
