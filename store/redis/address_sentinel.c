/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a list of sentinels: "sentinel://a:26379/0;sentinel://b".  User,
 * password and database are of the master, from the first URL as in Celery;
 * what sentinels themselves want is in sentinel_kwargs. */
#include "store/redis/address.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"

enum {
    PORT = 26379,
    PATIENCE_MS = 1000 /* then the next one is asked */
};

/* The URLs may not contradict each other: which would hold would be a matter of
 * chance in Celery. */
static enum status
check_same(const struct redis_address *a, const struct url *u,
           struct error *err)
{
    const char *db = u->path + strspn(u->path, "/");

    if (*db != '\0' && strtol(db, NULL, 10) != a->db)
        return redis_address_invalid(
            a, "the sentinels' URLs name different databases", err);
    if ((*u->password != '\0' && strcmp(u->password, a->password) != 0) ||
        (*u->user != '\0' && strcmp(u->user, a->user) != 0))
        return redis_address_invalid(
            a, "the sentinels' URLs name different users or passwords", err);
    return ST_OK;
}

static enum status
add_url(struct redis_address *a, const char *text, size_t n, struct error *err)
{
    struct redis_sentinels *s = a->sentinels;
    char *one = strndup(text, n);
    struct url *u = &s->urls[s->count];
    enum status st = ST_OK;

    if (one == NULL)
        return error_set(err, ST_NOMEM, "no memory for a sentinel's URL");
    if (s->count == SENTINELS_MAX)
        st = redis_address_invalid(a, "more than 64 sentinels", err);
    else
        st = url_parse(one, u, err);
    free(one);
    if (st != ST_OK)
        return st;
    s->count++;
    if (strcmp(u->scheme, "sentinel") != 0)
        return redis_address_invalid(a, "not all URLs are sentinel://", err);
    if (u->port == 0)
        u->port = PORT;
    if (*u->host == '\0')
        u->host = "localhost";
    return check_same(a, u, err);
}

static char *
copy(struct json_object *o, const char *name)
{
    struct slice s = json_get_str(o, name);

    return s.ptr == NULL ? NULL : strndup(s.ptr, s.len);
}

static uint32_t
patience(struct json_object *kwargs)
{
    double s = json_get_double(
        kwargs, "socket_connect_timeout",
        json_get_double(kwargs, "socket_timeout", PATIENCE_MS / 1000.0));

    return s > 0.001 && s < 3600 ? (uint32_t)(s * 1000) : PATIENCE_MS;
}

static enum status
read_kwargs(struct redis_address *a, struct json_object *kwargs,
            struct error *err)
{
    struct redis_sentinels *s = a->sentinels;
    enum status st = store_tls_init_object(&s->tls, NULL, kwargs, err);

    if (st != ST_OK)
        return st;
    s->user = copy(kwargs, "username");
    s->password = copy(kwargs, "password");
    s->stream.connect_timeout_ms = patience(kwargs);
    if (json_get_bool(kwargs, "ssl", s->tls.asked))
        s->stream.tls = &s->tls.opts;
    return ST_OK;
}

enum status
redis_sentinels_init(struct redis_address *a, const char *urls,
                     struct json_object *o, struct error *err)
{
    enum status st = ST_OK;

    a->sentinels = calloc(1, sizeof *a->sentinels);
    if (a->sentinels == NULL)
        return error_set(err, ST_NOMEM, "no memory for sentinels");
    a->stream.host = NULL;
    while (st == ST_OK && *urls != '\0') {
        size_t n = strcspn(urls, ";");

        if (n > 0)
            st = add_url(a, urls, n, err);
        urls += n + (urls[n] == ';');
    }
    if (st == ST_OK)
        st = read_kwargs(a, json_get(o, "sentinel_kwargs"), err);
    if (st != ST_OK)
        return st;
    a->sentinels->min_others = json_get_int(o, "min_other_sentinels", 0);
    a->sentinels->master = copy(o, "master_name");
    if (a->sentinels->master == NULL)
        a->sentinels->master = url_query(&a->url, "master_name");
    if (a->sentinels->master == NULL || *a->sentinels->master == '\0')
        return redis_address_invalid(
            a, "master_name is not in the transport options", err);
    return ST_OK;
}

void
redis_sentinels_free(struct redis_sentinels *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->count; i++)
        url_fini(&s->urls[i]);
    store_tls_fini(&s->tls);
    free(s->master);
    free(s->user);
    free(s->password);
    free(s);
}
