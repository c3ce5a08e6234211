/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the URLs of AMQP brokers. */
#include "store/amqp/address.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { PORT = 5672, TLS_PORT = 5671, BROKERS_MAX = 64, SHORT_MAX = 255 };

static enum status
invalid(const struct amq_address *a, const char *what, struct error *err)
{
    return error_set(err, ST_INVALID, "broker %.80s: %s", a->url.host, what);
}

static enum status
parse_login(struct amq_address *a, struct error *err)
{
    char *method = url_query(&a->url, "login_method");
    enum status st = ST_OK;

    if (method == NULL)
        return ST_OK;
    if (strcasecmp(method, "EXTERNAL") == 0)
        a->external = true;
    else if (strcasecmp(method, "PLAIN") != 0)
        st = invalid(a, "login_method is PLAIN or EXTERNAL", err);
    free(method);
    return st;
}

static enum status
parse_heartbeat(struct amq_address *a, struct error *err)
{
    char *text = url_query(&a->url, "heartbeat"), *end;
    enum status st = ST_OK;
    double seconds;

    if (text == NULL)
        return ST_OK;
    seconds = strtod(text, &end);
    if (end == text || *end != '\0' || !(seconds >= 0 && seconds <= 3600))
        st = invalid(a, "heartbeat is a number of seconds", err);
    else
        a->heartbeat = (uint16_t)seconds;
    free(text);
    return st;
}

static enum status
parse(struct amq_address *a, const char *text, const char *use_ssl,
      struct error *err)
{
    enum status st = url_parse(text, &a->url, err);
    bool tls;

    if (st != ST_OK) {
        a->url = (struct url){0};
        return st;
    }
    tls = strcmp(a->url.scheme, "amqps") == 0;
    if (!tls && strcmp(a->url.scheme, "amqp") != 0 &&
        strcmp(a->url.scheme, "pyamqp") != 0)
        return invalid(a, "the scheme is not amqp, pyamqp or amqps", err);
    a->stream.host = *a->url.host == '\0' ? "localhost" : a->url.host;
    a->stream.port = a->url.port;
    if (a->stream.port == 0)
        a->stream.port = tls ? TLS_PORT : PORT;
    a->user = *a->url.user == '\0' ? "guest" : a->url.user;
    a->password = a->url.password;
    if (*a->url.user == '\0' && *a->url.password == '\0')
        a->password = "guest";
    a->vhost = *a->url.path == '/' ? a->url.path + 1 : a->url.path;
    if (*a->vhost == '\0')
        a->vhost = "/";
    if (strlen(a->vhost) > SHORT_MAX)
        return invalid(a, "the virtual host is longer than 255 bytes", err);
    st = store_tls_init(&a->tls, &a->url, use_ssl, err);
    if (tls || a->tls.asked)
        a->stream.tls = &a->tls.opts;
    if (st == ST_OK)
        st = parse_login(a, err);
    return st == ST_OK ? parse_heartbeat(a, err) : st;
}

enum status
amq_addresses_init(struct amq_addresses *a, const char *urls,
                   const char *use_ssl, struct error *err)
{
    enum status st = ST_OK;

    a->count = 0;
    a->each = calloc(BROKERS_MAX, sizeof *a->each);
    if (a->each == NULL)
        return error_set(err, ST_NOMEM, "no memory for a broker's address");
    while (st == ST_OK && *urls != '\0') {
        size_t n = strcspn(urls, ";");
        char *one = strndup(urls, n);

        if (a->count == BROKERS_MAX)
            st = error_set(err, ST_TOOBIG, "more than %d brokers", BROKERS_MAX);
        else if (one == NULL)
            st = error_set(err, ST_NOMEM, "no memory for a broker's address");
        else if (n > 0)
            st = parse(&a->each[a->count++], one, use_ssl, err);
        free(one);
        urls += n + (urls[n] == ';');
    }
    if (st == ST_OK && a->count == 0)
        st = error_set(err, ST_INVALID, "no broker is named");
    if (st != ST_OK)
        amq_addresses_fini(a);
    return st;
}

void
amq_addresses_fini(struct amq_addresses *a)
{
    for (size_t i = 0; i < a->count; i++) {
        url_fini(&a->each[i].url);
        store_tls_fini(&a->each[i].tls);
    }
    free(a->each);
    *a = (struct amq_addresses){0};
}
