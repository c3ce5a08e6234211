/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the URL of a Redis server. */
#include "store/redis/address.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PORT = 6379, DB_MAX = 65535 };

static enum status
invalid(const struct redis_address *a, const char *what, struct error *err)
{
    char safe[160];

    (void)a;
    return error_set(
        err, ST_INVALID, "%s: %s",
        url_redacted(a->url.text == NULL ? "" : a->url.text, safe, sizeof safe),
        what);
}

/* "", "/" and "0" are database 0. */
static enum status
parse_db(const char *text, int *db)
{
    char *end;
    long n;

    while (*text == '/')
        text++;
    if (*text == '\0') {
        *db = 0;
        return ST_OK;
    }
    errno = 0;
    n = strtol(text, &end, 10);
    if (errno != 0 || *end != '\0' || n < 0 || n > DB_MAX)
        return ST_INVALID;
    *db = (int)n;
    return ST_OK;
}

/* Peer verification is on unless the URL says otherwise: kombu has it off by
 * default on the broker, which makes the encryption worth little. */
static enum status
parse_verify(struct redis_address *a, struct error *err)
{
    char *reqs = url_query(&a->url, "ssl_cert_reqs");
    enum status st = ST_OK;

    a->tls.verify = true;
    if (reqs == NULL)
        return ST_OK;
    if (strcmp(reqs, "none") == 0 || strcmp(reqs, "CERT_NONE") == 0)
        a->tls.verify = false;
    else if (strcmp(reqs, "required") != 0 &&
             strcmp(reqs, "CERT_REQUIRED") != 0 &&
             strcmp(reqs, "optional") != 0 &&
             strcmp(reqs, "CERT_OPTIONAL") != 0)
        st = invalid(a, "ssl_cert_reqs is none, optional or required", err);
    free(reqs);
    return st;
}

static enum status
use_tls(struct redis_address *a, struct error *err)
{
    a->ca_file = url_query(&a->url, "ssl_ca_certs");
    a->cert_file = url_query(&a->url, "ssl_certfile");
    a->key_file = url_query(&a->url, "ssl_keyfile");
    a->tls.ca_file = a->ca_file;
    a->tls.cert_file = a->cert_file;
    a->tls.key_file = a->key_file;
    a->stream.tls = &a->tls;
    return parse_verify(a, err);
}

static enum status
use_tcp(struct redis_address *a, bool tls, struct error *err)
{
    a->stream.host = *a->url.host == '\0' ? "localhost" : a->url.host;
    a->stream.port = a->url.port == 0 ? PORT : a->url.port;
    if (parse_db(a->url.path, &a->db) != ST_OK)
        return invalid(a, "the database is no number", err);
    return tls ? use_tls(a, err) : ST_OK;
}

static enum status
use_socket(struct redis_address *a, struct error *err)
{
    char *db = url_query(&a->url, "virtual_host");
    enum status st;

    a->stream.path = a->url.path;
    st = parse_db(db == NULL ? "" : db, &a->db);
    free(db);
    if (st != ST_OK)
        return invalid(a, "virtual_host is no database number", err);
    if (*a->url.path == '\0')
        return invalid(a, "no path of a unix socket", err);
    return ST_OK;
}

enum status
redis_address_init(struct redis_address *a, const char *url, struct error *err)
{
    const char *scheme;
    enum status st;

    *a = (struct redis_address){0};
    st = url_parse(url, &a->url, err);
    if (st != ST_OK) {
        a->url = (struct url){0};
        return st;
    }
    a->user = a->url.user;
    a->password = a->url.password;
    scheme = a->url.scheme;
    if (strcmp(scheme, "redis") == 0 || strcmp(scheme, "rediss") == 0)
        st = use_tcp(a, scheme[5] == 's', err);
    else if (strcmp(scheme, "redis+socket") == 0 ||
             strcmp(scheme, "socket") == 0)
        st = use_socket(a, err);
    else
        st = invalid(a, "not redis, rediss, redis+socket or socket", err);
    if (st != ST_OK)
        redis_address_fini(a);
    return st;
}

void
redis_address_fini(struct redis_address *a)
{
    url_fini(&a->url);
    free(a->ca_file);
    free(a->cert_file);
    free(a->key_file);
    *a = (struct redis_address){0};
}
