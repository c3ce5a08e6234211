/* SPDX-License-Identifier: Apache-2.0 */
/* What a connection says first: who it is, which database, which scripts; and
 * what it looks at: whether this server can be used at all.  All goes out in
 * one write; the PING at the end tells whether the server is ready. */
#include "store/redis/client_state.h"

#include <stdio.h>
#include <string.h>

/* Our own commands, which are small; without memory the login fails. */
void
redis_send_words(struct redis *c, const char *const *words, size_t n,
                 redis_fn *fn)
{
    struct redis_cmd cmd;
    struct slice wire;
    enum status st;

    redis_cmd_init(&cmd, words[0]);
    for (size_t i = 1; i < n; i++)
        redis_cmd_str(&cmd, words[i]);
    st = redis_cmd_wire(&cmd, &wire);
    if (st == ST_OK)
        st = redis_transmit(c, wire, fn, c);
    if (st != ST_OK)
        (void)error_set(&c->login_err, st, "no memory to log in");
    redis_cmd_fini(&cmd);
}

static void
on_optional(void *arg, const struct redisReply *r, const struct error *why)
{
    (void)arg;
    (void)r;
    (void)why;
}

static void
on_client_id(void *arg, const struct redisReply *r, const struct error *why)
{
    struct redis *c = arg;

    (void)why;
    if (r != NULL && r->type == REDIS_REPLY_INTEGER)
        c->client_id = r->integer;
}

static void
on_login(void *arg, const struct redisReply *r, const struct error *why)
{
    struct redis *c = arg;
    struct error err;

    (void)why;
    if (r != NULL && c->login_err.code == ST_OK &&
        redis_status(r, &err) != ST_OK)
        c->login_err = err;
}

/* CLUSTER INFO is an error where there is no cluster. */
static void
on_cluster(void *arg, const struct redisReply *r, const struct error *why)
{
    struct redis *c = arg;

    (void)why;
    if (r == NULL || r->type != REDIS_REPLY_STRING ||
        strstr(r->str, "cluster_state:") == NULL || c->login_err.code != ST_OK)
        return;
    (void)error_set(&c->login_err, ST_INVALID,
                    "%s:%d is a node of a Redis Cluster, which is not "
                    "supported: a queue's keys must change in one step, and a "
                    "cluster spreads them over its nodes; use a Redis with "
                    "cluster-enabled no, or Sentinel",
                    c->addr.stream.host == NULL ? c->addr.stream.path
                                                : c->addr.stream.host,
                    c->addr.stream.port);
}

/* A user without the right to ask is taken at his word. */
static void
on_role(void *arg, const struct redisReply *r, const struct error *why)
{
    struct redis *c = arg;

    (void)why;
    if (r == NULL || r->type != REDIS_REPLY_ARRAY || r->elements == 0 ||
        r->element[0]->type != REDIS_REPLY_STRING)
        return;
    c->doubtful = strcmp(r->element[0]->str, "master") != 0;
    if (c->doubtful && c->login_err.code == ST_OK)
        (void)error_set(&c->login_err, ST_BUSY,
                        "%s:%d is a %.20s, not the master: it cannot be "
                        "written to",
                        c->addr.stream.host == NULL ? c->addr.stream.path
                                                    : c->addr.stream.host,
                        c->addr.stream.port, r->element[0]->str);
}

static void
on_logged_in(void *arg, const struct redisReply *r, const struct error *why)
{
    struct redis *c = arg;
    struct error err;

    on_login(arg, r, why);
    if (r == NULL)
        return;
    if (c->login_err.code == ST_OK) {
        redis_logged_in(c);
        return;
    }
    err = c->login_err;
    redis_drop(c, &err);
}

void
redis_load_scripts(struct redis *c, redis_fn *fn)
{
    for (enum redis_script s = 0; c->scripts && s < SCRIPT_COUNT; s++)
        redis_send_words(
            c, (const char *[]){"SCRIPT", "LOAD", redis_script_text(s)}, 3, fn);
}

/* As redis-py: a user without password has an empty one. */
static void
authenticate(struct redis *c)
{
    const char *user = c->addr.user, *password = c->addr.password;

    if (*user != '\0')
        redis_send_words(c, (const char *[]){"AUTH", user, password}, 3,
                         on_login);
    else if (*password != '\0')
        redis_send_words(c, (const char *[]){"AUTH", password}, 2, on_login);
}

void
redis_login(struct redis *c)
{
    char db[16], name[80];

    c->login_err = (struct error){0};
    authenticate(c);
    (void)snprintf(name, sizeof name, "lovage-%s", c->name);
    redis_send_words(c, (const char *[]){"CLIENT", "SETNAME", name}, 3,
                     on_optional);
    redis_send_words(c, (const char *[]){"CLIENT", "ID"}, 2, on_client_id);
    redis_send_words(c, (const char *[]){"CLUSTER", "INFO"}, 2, on_cluster);
    if (c->sentinel != NULL || c->doubtful)
        redis_send_words(c, (const char *[]){"ROLE"}, 1, on_role);
    if (c->addr.db != 0) {
        (void)snprintf(db, sizeof db, "%d", c->addr.db);
        redis_send_words(c, (const char *[]){"SELECT", db}, 2, on_login);
    }
    redis_load_scripts(c, on_login);
    redis_send_words(c, (const char *[]){"PING"}, 1, on_logged_in);
}
