#ifndef STORE_TLS_H
#define STORE_TLS_H

#include "base/stream.h"
#include "base/url.h"

/* TLS as Celery's URLs (?ssl_cert_reqs=...) and settings (broker_use_ssl) say
 * it.  Peer and host name are verified unless they say otherwise. */
struct store_tls {
    struct stream_tls opts; /* borrows from this struct */
    char *ca_file, *cert_file, *key_file;
    bool asked; /* a parameter or the setting asks for TLS */
};

/* setting: "", "true", "false" or a JSON object; NULL is "".  What the URL says
 * comes first; u may be NULL.  ST_INVALID names u's host. */
enum status store_tls_init(struct store_tls *t, const struct url *u,
                           const char *setting, struct error *err);
/* The same of an object that was parsed already; NULL: none. */
struct json_object;
enum status store_tls_init_object(struct store_tls *t, const struct url *u,
                                  struct json_object *setting,
                                  struct error *err);
void store_tls_fini(struct store_tls *t);

#endif
