/* SPDX-License-Identifier: Apache-2.0 */
/* Asking sentinels for the master.  The connection to the one that has answered
 * is kept for the next question; one that fails or hangs is left at once. */
#include "store/redis/sentinel.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>

#include "store/redis/command.h"

struct sentinel {
    uv_loop_t *loop;
    const struct redis_address *a;
    sentinel_fn *fn;
    void *arg;
    size_t first;        /* who knew it last time */
    size_t tries;        /* of this question; 0: nothing is asked */
    bool trusted;        /* knows enough other sentinels */
    unsigned generation; /* changes with each connection: stale loops stop */
    struct stream *stream;
    redisReader *reader;
    struct error why;
    uv_timer_t timer; /* for one sentinel's answer, or its turn */
    void (*closed)(void *arg);
    void *closed_arg;
};

static void try_next(struct sentinel *s);

static void
hang_up(struct sentinel *s)
{
    s->generation++;
    stream_close(s->stream);
    s->stream = NULL;
    if (s->reader != NULL)
        redisReaderFree(s->reader);
    s->reader = NULL;
    uv_timer_stop(&s->timer);
}

static size_t
current(const struct sentinel *s)
{
    return (s->first + s->tries - 1) % s->a->sentinels->count;
}

static void
finish(struct sentinel *s, const char *host, int port)
{
    struct error why = s->why;

    if (host != NULL)
        s->first = current(s);
    uv_timer_stop(&s->timer);
    s->tries = 0;
    s->fn(s->arg, host, port, &why);
}

/* What is kept between questions may go: nobody is waiting. */
static void
fail(struct sentinel *s, enum status st, const char *what)
{
    const struct url *u;

    hang_up(s);
    if (s->tries == 0)
        return;
    u = &s->a->sentinels->urls[current(s)];
    (void)error_set(&s->why, st, "sentinel %.80s:%d: %.120s", u->host, u->port,
                    what);
    try_next(s);
}

static void
on_timer(uv_timer_t *t)
{
    fail(t->data, ST_TIMEOUT, "no answer in time");
}

/* ---- what it says ---- */

/* The value of a field of SENTINEL MASTER, which lists names and values. */
static const char *
field(const redisReply *r, const char *name)
{
    for (size_t i = 0; i + 1 < r->elements; i += 2)
        if (r->element[i]->type == REDIS_REPLY_STRING &&
            r->element[i + 1]->type == REDIS_REPLY_STRING &&
            strcmp(r->element[i]->str, name) == 0)
            return r->element[i + 1]->str;
    return NULL;
}

/* "+OK" of AUTH, a long list of SENTINEL MASTER, a short one with the address:
 * what each answer is can be told from its form. */
static void
answer(struct sentinel *s, const redisReply *r)
{
    int64_t min = s->a->sentinels->min_others;
    const char *others;
    char host[256];
    long port;

    if (s->tries == 0) {
        hang_up(s); /* speaks without being asked */
    } else if (r->type == REDIS_REPLY_ERROR) {
        fail(s, ST_DENIED, r->str);
    } else if (r->type == REDIS_REPLY_NIL) {
        fail(s, ST_NOTFOUND, "knows no master of that name");
    } else if (r->type == REDIS_REPLY_ARRAY && r->elements > 2) {
        others = field(r, "num-other-sentinels");
        s->trusted = others != NULL && strtoll(others, NULL, 10) >= min;
    } else if (r->type == REDIS_REPLY_ARRAY && r->elements == 2 &&
               r->element[0]->type == REDIS_REPLY_STRING &&
               r->element[1]->type == REDIS_REPLY_STRING) {
        port = strtol(r->element[1]->str, NULL, 10);
        if (!s->trusted) {
            fail(s, ST_BUSY, "knows fewer others than min_other_sentinels");
        } else if (r->element[0]->len < sizeof host && port > 0 &&
                   port < 65536) {
            memcpy(host, r->element[0]->str, r->element[0]->len + 1);
            finish(s, host, (int)port);
        } else
            fail(s, ST_PROTO, "names no address");
    } else if (r->type != REDIS_REPLY_STATUS)
        fail(s, ST_PROTO, "an answer that makes no sense");
}

static void
on_data(void *arg, const char *p, size_t n)
{
    struct sentinel *s = arg;
    unsigned generation = s->generation;
    void *r = NULL;

    if (redisReaderFeed(s->reader, p, n) != REDIS_OK) {
        fail(s, ST_NOMEM, "no memory for its answer");
        return;
    }
    while (s->generation == generation) {
        if (redisReaderGetReply(s->reader, &r) != REDIS_OK) {
            fail(s, ST_PROTO, s->reader->errstr);
            return;
        }
        if (r == NULL)
            return;
        answer(s, r);
        freeReplyObject(r);
    }
}

/* ---- asking ---- */

static enum status
say(struct sentinel *s, const char *const *words, size_t n)
{
    struct redis_cmd cmd;
    struct slice wire;
    enum status st;

    redis_cmd_init(&cmd, words[0]);
    for (size_t i = 1; i < n; i++)
        redis_cmd_str(&cmd, words[i]);
    st = redis_cmd_wire(&cmd, &wire);
    if (st == ST_OK)
        stream_write(s->stream, wire);
    redis_cmd_fini(&cmd);
    return st;
}

static void
question(struct sentinel *s)
{
    const struct redis_sentinels *who = s->a->sentinels;
    enum status st = ST_OK;

    s->trusted = who->min_others <= 0;
    if (!s->trusted)
        st = say(s, (const char *[]){"SENTINEL", "MASTER", who->master}, 3);
    if (st == ST_OK)
        st = say(s,
                 (const char *[]){"SENTINEL", "GET-MASTER-ADDR-BY-NAME",
                                  who->master},
                 3);
    if (st != ST_OK)
        fail(s, st, "no memory to ask");
}

static void
on_connected(void *arg)
{
    struct sentinel *s = arg;
    const struct redis_sentinels *who = s->a->sentinels;
    enum status st = ST_OK;

    if (who->password != NULL && who->user != NULL)
        st = say(s, (const char *[]){"AUTH", who->user, who->password}, 3);
    else if (who->password != NULL)
        st = say(s, (const char *[]){"AUTH", who->password}, 2);
    if (st == ST_OK)
        question(s);
    else
        fail(s, st, "no memory to log in");
}

static void
on_lost(void *arg, const struct error *why)
{
    struct sentinel *s = arg;

    s->stream = NULL; /* frees itself */
    fail(s, why->code, why->text);
}

/* The connection has a limit of its own, of which this is twice as much. */
static uint64_t
patience_ms(const struct sentinel *s)
{
    return (uint64_t)s->a->sentinels->stream.connect_timeout_ms * 2;
}

static void
try_next(struct sentinel *s)
{
    static const struct stream_events events = {on_connected, on_data, on_lost};
    const struct redis_sentinels *who = s->a->sentinels;
    struct stream_opts opts = who->stream;
    struct error err = {0};

    for (;;) {
        if (s->tries == who->count) {
            finish(s, NULL, 0);
            return;
        }
        s->tries++;
        opts.host = who->urls[current(s)].host;
        opts.port = who->urls[current(s)].port;
        s->reader = redisReaderCreate();
        if (s->reader == NULL)
            (void)error_set(&s->why, ST_NOMEM, "no memory for a reader");
        else if (stream_open(&s->stream, s->loop, &opts, &events, s, &err) ==
                 ST_OK)
            break;
        else
            s->why = err;
        hang_up(s);
    }
    uv_timer_start(&s->timer, on_timer, patience_ms(s), 0);
}

static void
on_begin(uv_timer_t *t)
{
    try_next(t->data);
}

static void
on_closed(uv_handle_t *h)
{
    struct sentinel *s = h->data;
    void (*closed)(void *) = s->closed;
    void *arg = s->closed_arg;

    free(s);
    if (closed != NULL)
        closed(arg);
}

enum status
sentinel_open(struct sentinel **out, uv_loop_t *loop,
              const struct redis_address *a, sentinel_fn *fn, void *arg,
              struct error *err)
{
    struct sentinel *s = calloc(1, sizeof *s);

    if (s == NULL)
        return error_set(err, ST_NOMEM, "no memory to ask sentinels");
    s->loop = loop;
    s->a = a;
    s->fn = fn;
    s->arg = arg;
    uv_timer_init(loop, &s->timer);
    s->timer.data = s;
    *out = s;
    return ST_OK;
}

void
sentinel_ask(struct sentinel *s)
{
    if (s->tries > 0 || uv_is_active((uv_handle_t *)&s->timer))
        return;
    if (s->stream == NULL) {
        uv_timer_start(&s->timer, on_begin, 0, 0);
        return;
    }
    s->tries = 1;
    uv_timer_start(&s->timer, on_timer, patience_ms(s), 0);
    question(s);
}

void
sentinel_stop(struct sentinel *s)
{
    hang_up(s);
    s->tries = 0;
}

void
sentinel_close(struct sentinel *s, void (*closed)(void *arg), void *arg)
{
    if (s == NULL)
        return;
    sentinel_stop(s);
    s->closed = closed;
    s->closed_arg = arg;
    uv_close((uv_handle_t *)&s->timer, on_closed);
}
