/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the URL of a Redis server. */
#include "store/redis/address.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

enum { PORT = 6379, DB_MAX = 65535 };

enum status
redis_address_invalid(const struct redis_address *a, const char *what,
                      struct error *err)
{
    return error_set(err, ST_INVALID, "%s://%.80s: %s", a->url.scheme,
                     *a->url.host != '\0' ? a->url.host : a->url.path, what);
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

static enum status
use_tcp(struct redis_address *a, struct error *err)
{
    a->stream.host = *a->url.host == '\0' ? "localhost" : a->url.host;
    a->stream.port = a->url.port == 0 ? PORT : a->url.port;
    if (parse_db(a->url.path, &a->db) != ST_OK)
        return redis_address_invalid(a, "the database is no number", err);
    return ST_OK;
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
        return redis_address_invalid(a, "virtual_host is no database number",
                                     err);
    if (*a->url.path == '\0')
        return redis_address_invalid(a, "no path of a unix socket", err);
    return ST_OK;
}

/* By the scheme, the parameters of the URL or the setting.  Celery refuses the
 * parameters with redis:// for results and heeds them for brokers. */
static enum status
use_tls(struct redis_address *a, const char *use_ssl, struct error *err)
{
    enum status st = store_tls_init(&a->tls, &a->url, use_ssl, err);

    if (st == ST_OK && a->stream.path == NULL &&
        (a->tls.asked || strcmp(a->url.scheme, "rediss") == 0))
        a->stream.tls = &a->tls.opts;
    return st;
}

static enum status
use_scheme(struct redis_address *a, const char *url, struct json_object *o,
           struct error *err)
{
    const char *scheme = a->url.scheme;
    enum status st;

    if (strcmp(scheme, "redis+socket") == 0 || strcmp(scheme, "socket") == 0)
        return use_socket(a, err);
    if (strcmp(scheme, "redis") != 0 && strcmp(scheme, "rediss") != 0 &&
        strcmp(scheme, "sentinel") != 0)
        return redis_address_invalid(
            a, "not redis, rediss, redis+socket, socket or sentinel", err);
    st = use_tcp(a, err);
    if (st == ST_OK && *scheme == 's')
        st = redis_sentinels_init(a, url, o, err);
    return st;
}

/* What the settings say where the transport options say nothing. */
static void
set_defaults(struct redis_address *a, const struct config *c,
             enum redis_role role)
{
    if (c == NULL) {
        a->socket_timeout_ms = 10000;
        a->health_check_ms = 25000;
    } else if (role == REDIS_BROKER) {
        a->socket_timeout_ms = 10000; /* after which a worker must know */
        a->health_check_ms = 25000;   /* kombu's */
        a->stream.connect_timeout_ms =
            (uint32_t)(c->broker_connection_timeout * 1000);
    } else {
        a->socket_timeout_ms = (uint32_t)(c->redis_socket_timeout * 1000);
        a->health_check_ms =
            (uint32_t)(c->redis_backend_health_check_interval * 1000);
        a->stream.connect_timeout_ms =
            (uint32_t)(c->redis_socket_connect_timeout * 1000);
        a->stream.keepalive.off = !c->redis_socket_keepalive;
    }
}

static enum status
read_options(const struct config *c, enum redis_role role,
             struct json_object **out, struct error *err)
{
    const char *text = c == NULL ? ""
                       : role == REDIS_BROKER
                           ? c->broker_transport_options
                           : c->result_backend_transport_options;

    *out = NULL;
    if (*text == '\0')
        return ST_OK;
    return json_parse((struct slice){text, strlen(text)}, JSON_DEPTH, out, err);
}

static enum status
parse_first(struct redis_address *a, const char *url, struct error *err)
{
    bool many = strncmp(url, "sentinel:", 9) == 0;
    char *first = strndup(url, many ? strcspn(url, ";") : strlen(url));
    enum status st = first == NULL
                         ? error_set(err, ST_NOMEM, "no memory for a URL")
                         : url_parse(first, &a->url, err);

    free(first);
    if (st != ST_OK)
        a->url = (struct url){0};
    return st;
}

enum status
redis_address_init(struct redis_address *a, const char *url,
                   const struct config *config, enum redis_role role,
                   struct error *err)
{
    const char *use_ssl = NULL;
    struct json_object *o = NULL;
    enum status st;

    *a = (struct redis_address){0};
    if (config != NULL)
        use_ssl = role == REDIS_BROKER ? config->broker_use_ssl
                                       : config->redis_backend_use_ssl;
    st = parse_first(a, url, err);
    if (st != ST_OK)
        return st;
    a->user = a->url.user;
    a->password = a->url.password;
    set_defaults(a, config, role);
    st = read_options(config, role, &o, err);
    if (st == ST_OK)
        st = redis_address_options(a, o, err);
    if (st == ST_OK)
        st = use_scheme(a, url, o, err);
    if (st == ST_OK)
        st = use_tls(a, use_ssl, err);
    json_object_put(o);
    if (st != ST_OK)
        redis_address_fini(a);
    return st;
}

void
redis_address_fini(struct redis_address *a)
{
    url_fini(&a->url);
    store_tls_fini(&a->tls);
    redis_sentinels_free(a->sentinels);
    *a = (struct redis_address){0};
}
