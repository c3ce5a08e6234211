/* SPDX-License-Identifier: Apache-2.0 */
/* A Redis that refuses, under load: what a worker does (take, store the result,
 * acknowledge) goes on when it is over, nothing is lost, and the log says once
 * what is wrong. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/broker.h"
#include "store/result.h"
#include "tests/support/broker_rig.h"
#include "tests/support/loop.h"
#include "tests/support/redis_server.h"

enum {
    COUNT = 400,
    STEP_MS = 2,
    TROUBLE_MS = 700,
    LINES_MAX = 8 /* of warnings: one a connection, one a kind of command */
};

enum progress { TO_SEND, SENT, CONFIRMED };

struct job {
    struct load *load;
    enum progress progress;
    int n;
    bool done; /* stored and acknowledged */
};

/* A job may be delivered twice. */
struct work {
    struct job *job;
    uint64_t tag;
};

struct load {
    uv_loop_t loop;
    struct config config;
    struct redis_server *server;
    struct broker *b;
    struct result *r;
    struct job jobs[COUNT];
    int next, confirmed, done, lost;
    bool closed_b, closed_r;
    uv_timer_t timer;
    char log[64];
    int stderr_fd;
};

/* ---- the work ---- */

static void
on_stored(void *arg, enum status st, const struct task_state *ts)
{
    struct work *w = arg;
    struct job *j = w->job;
    struct load *l = j->load;

    (void)ts;
    cr_assert_eq(st, ST_OK, "job %d: %s", j->n, status_text(st));
    l->b->ops->settle(l->b, w->tag, VERDICT_ACK);
    free(w);
    l->done += !j->done;
    j->done = true;
}

static void
on_delivered(void *arg, const struct delivery *d)
{
    struct load *l = arg;
    struct task_state ts = {.status = {"SUCCESS", 7}, .result_text = {"1", 1}};
    struct work *w = malloc(sizeof *w);
    char id[16];
    int n = -1;

    cr_assert_not_null(d->msg);
    cr_assert_eq(sscanf(d->msg->body, "[[%d]", &n), 1);
    cr_assert(n >= 0 && n < COUNT);
    message_free(d->msg);
    cr_assert_not_null(w);
    *w = (struct work){&l->jobs[n], d->tag};
    (void)snprintf(id, sizeof id, "id-%d", n);
    ts.id = (struct slice){id, strlen(id)};
    l->r->ops->put(l->r, &ts, on_stored, w);
}

static void
on_published(void *arg, void *cookie, enum status st)
{
    struct load *l = arg;
    struct job *j = cookie;

    j->progress = st == ST_OK ? CONFIRMED : TO_SEND;
    l->confirmed += st == ST_OK;
}

static void
send_one(struct load *l, struct job *j)
{
    struct message *m = rig_message("", "q", j->n);
    struct error err;

    if (l->b->ops->publish(l->b, m, j, &err) == ST_OK)
        j->progress = SENT;
    message_free(m);
}

/* A new one, and one that was not confirmed. */
static void
on_timer(uv_timer_t *t)
{
    struct load *l = t->data;

    if (l->next < COUNT)
        send_one(l, &l->jobs[l->next++]);
    for (int i = 0; i < l->next; i++)
        if (l->jobs[i].progress == TO_SEND) {
            send_one(l, &l->jobs[i]);
            return;
        }
}

static void
on_ready(void *arg)
{
    (void)arg;
}

static void
on_lost(void *arg, const struct error *why, bool tags_void)
{
    (void)why;
    (void)tags_void;
    ((struct load *)arg)->lost++;
}

static void
on_fanout(void *arg, struct slice exchange, struct message *m)
{
    (void)arg;
    (void)exchange;
    message_free(m);
}

/* ---- begin and end ---- */

/* Also what the log says is kept. */
static void
catch_log(struct load *l)
{
    int fd;

    strcpy(l->log, "/tmp/lovage-trouble-XXXXXX");
    fd = mkstemp(l->log);
    cr_assert_geq(fd, 0);
    l->stderr_fd = dup(2);
    dup2(fd, 2);
    close(fd);
}

static char *
release_log(struct load *l)
{
    static char text[64 * 1024];
    FILE *f;
    size_t n;

    dup2(l->stderr_fd, 2);
    close(l->stderr_fd);
    f = fopen(l->log, "r");
    cr_assert_not_null(f);
    n = fread(text, 1, sizeof text - 1, f);
    text[n] = '\0';
    fclose(f);
    unlink(l->log);
    fputs(text, stderr);
    return text;
}

static int
lines_with(const char *text, const char *word)
{
    int n = 0;

    for (; (text = strstr(text, word)) != NULL; text++)
        n++;
    return n;
}

static void
begin(struct load *l)
{
    static const char *const flags[] = {"--appendonly",
                                        "yes",
                                        "--appendfsync",
                                        "always",
                                        "--key-load-delay",
                                        "400",
                                        "--user",
                                        "w",
                                        "on",
                                        ">pw",
                                        "~*",
                                        "&*",
                                        "+@all",
                                        NULL};
    static const struct broker_events events = {.ready = on_ready,
                                                .delivered = on_delivered,
                                                .published = on_published,
                                                .fanout = on_fanout,
                                                .lost = on_lost};
    struct broker_opts opts = {.config = &l->config, .instance = "w1@test/1"};
    struct queue_def *q = NULL;
    char url[80];
    struct error err = {0};

    l->server = redis_server_new(flags);
    (void)snprintf(url, sizeof url, "redis://w:pw@127.0.0.1:%d/0",
                   redis_server_port(l->server));
    opts.url = url;
    cr_assert_eq(uv_loop_init(&l->loop), 0);
    cr_assert_eq(config_init(&l->config, &err), ST_OK);
    for (int i = 0; i < COUNT; i++)
        l->jobs[i] = (struct job){.load = l, .n = i};
    cr_assert_eq(broker_open(&l->b, &l->loop, &opts, &events, l, &err), ST_OK,
                 "%s", err.text);
    cr_assert_eq(result_open(&l->r, &l->loop, url, &l->config, &err), ST_OK,
                 "%s", err.text);
    cr_assert_eq(topology_missing(NULL, (struct slice){"q", 1}, &q, &err),
                 ST_OK);
    cr_assert_eq(l->b->ops->consume(l->b, q, &err), ST_OK);
    queue_def_free(q);
    l->b->ops->prefetch(l->b, 20);
    uv_timer_init(&l->loop, &l->timer);
    l->timer.data = l;
    uv_timer_start(&l->timer, on_timer, STEP_MS, STEP_MS);
    catch_log(l);
}

static bool
is_done(void *arg)
{
    const struct load *l = arg;

    return l->done == COUNT && l->confirmed == COUNT;
}

static void
on_closed(void *arg)
{
    *(bool *)arg = true;
}

static bool
is_closed(void *arg)
{
    const struct load *l = arg;

    return l->closed_b && l->closed_r;
}

static void
check(struct load *l, const char *word)
{
    struct redis_server *s = l->server;
    char *text;
    int warnings;

    cr_expect(loop_until(&l->loop, is_done, l, 10000), "%d sent %d done",
              l->confirmed, l->done);
    /* What was sent twice, because nobody knew, is done twice. */
    for (int i = 0; i < 100 && redis_server_number(s, "EXISTS unacked q") != 0;
         i++)
        loop_until(&l->loop, NULL, NULL, 20);
    uv_close((uv_handle_t *)&l->timer, NULL);
    l->b->ops->close(l->b, 2000, on_closed, &l->closed_b);
    l->r->ops->close(l->r, 2000, on_closed, &l->closed_r);
    cr_assert(loop_until(&l->loop, is_closed, l, 5000));
    loop_end(&l->loop);
    config_fini(&l->config);
    text = release_log(l);
    warnings = lines_with(text, " WARNING ") + lines_with(text, " ERROR ");
    cr_expect_leq(warnings, LINES_MAX, "%d lines", warnings);
    cr_expect_not_null(strstr(text, word), "the log says %s", word);
    cr_expect_leq(l->lost, 1, "lost %d times", l->lost);
    cr_expect_eq(redis_server_number(s, "EXISTS unacked q"), 0);
    for (int i = 0; i < COUNT; i++) {
        char command[64];
        (void)snprintf(command, sizeof command, "EXISTS celery-task-meta-id-%d",
                       i);
        cr_assert_eq(redis_server_number(s, command), 1, "%d", i);
    }
    redis_server_free(s);
}

static void
ask(struct load *l, const char *command)
{
    free(redis_server_ask(l->server, command));
}

/* Some work first and in the middle of it the trouble. */
static void
suffer(const char *trouble, const char *cure, const char *word)
{
    static struct load l;

    begin(&l);
    loop_until(&l.loop, NULL, NULL, 200);
    cr_assert_gt(l.done, 0);
    ask(&l, trouble);
    loop_until(&l.loop, NULL, NULL, TROUBLE_MS);
    ask(&l, cure);
    check(&l, word);
}

/* ---- troubles ---- */

Test(redis_trouble, no_memory, .timeout = 60)
{
    suffer("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", "OOM");
}

Test(redis_trouble, it_has_become_a_replica, .timeout = 60)
{
    suffer("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", "READONLY");
}

Test(redis_trouble, too_few_replicas, .timeout = 60)
{
    suffer("CONFIG SET min-replicas-to-write 1",
           "CONFIG SET min-replicas-to-write 0", "NOREPLICAS");
}

Test(redis_trouble, scripts_are_forgotten, .timeout = 60)
{
    suffer("SCRIPT FLUSH", "SCRIPT FLUSH", "");
}

Test(redis_trouble, publishing_is_not_permitted, .timeout = 60)
{
    suffer("ACL SETUSER w -lpush", "ACL SETUSER w +lpush", "'lpush' command");
}

Test(redis_trouble, scripts_are_not_permitted, .timeout = 60)
{
    suffer("ACL SETUSER w -evalsha", "ACL SETUSER w +evalsha",
           "'evalsha' command");
}

Test(redis_trouble, what_scripts_do_is_not_permitted, .timeout = 60)
{
    suffer("ACL SETUSER w -lrange -setex", "ACL SETUSER w +lrange +setex",
           "one of: ");
}

Test(redis_trouble, keys_are_not_permitted, .timeout = 60)
{
    suffer("ACL SETUSER w resetkeys ~nothing", "ACL SETUSER w ~*", "NOPERM");
}

Test(redis_trouble, the_user_is_switched_off, .timeout = 60)
{
    static struct load l;

    begin(&l);
    loop_until(&l.loop, NULL, NULL, 200);
    ask(&l, "ACL SETUSER w off");
    ask(&l, "CLIENT KILL USER w");
    loop_until(&l.loop, NULL, NULL, TROUBLE_MS);
    ask(&l, "ACL SETUSER w on");
    check(&l, "WRONGPASS");
}

Test(redis_trouble, too_many_clients, .timeout = 60)
{
    static struct load l;

    begin(&l);
    loop_until(&l.loop, NULL, NULL, 200);
    ask(&l, "CONFIG SET maxclients 1");
    ask(&l, "CLIENT KILL TYPE normal SKIPME yes");
    ask(&l, "CLIENT KILL TYPE pubsub SKIPME yes");
    loop_until(&l.loop, NULL, NULL, TROUBLE_MS);
    ask(&l, "CONFIG SET maxclients 1000");
    check(&l, "max number of clients");
}

/* A snapshot cannot be written: its name is a folder's. */
Test(redis_trouble, the_disk_cannot_be_written, .timeout = 60)
{
    static struct load l;
    char *dir, path[160];
    bool failed = false;

    begin(&l);
    loop_until(&l.loop, NULL, NULL, 200);
    dir = redis_server_ask(l.server, "CONFIG GET dir");
    (void)snprintf(path, sizeof path, "mkdir -p %s/dump.rdb/x",
                   strchr(dir, '\n') + 1);
    free(dir);
    cr_assert_eq(system(path), 0);
    free(redis_server_do(
        l.server, (const char *[]){"CONFIG", "SET", "save", "3600 1", NULL}));
    ask(&l, "BGSAVE");
    for (int i = 0; i < 300 && !failed; i++) {
        char *status = redis_server_ask(l.server, "INFO persistence");

        failed = strstr(status, "rdb_last_bgsave_status:err") != NULL;
        free(status);
        loop_until(&l.loop, NULL, NULL, 10);
    }
    cr_assert(failed);
    loop_until(&l.loop, NULL, NULL, TROUBLE_MS);
    free(redis_server_do(l.server,
                         (const char *[]){"CONFIG", "SET", "save", "", NULL}));
    check(&l, "MISCONF");
}

static void *
run_for_ever(void *server)
{
    redisContext *c = redisConnect("127.0.0.1", redis_server_port(server));

    freeReplyObject(redisCommand(c, "EVAL %s 0", "while true do end"));
    redisFree(c);
    return NULL;
}

Test(redis_trouble, a_script_runs_for_ever, .timeout = 60)
{
    static struct load l;
    pthread_t thread;

    begin(&l);
    loop_until(&l.loop, NULL, NULL, 200);
    ask(&l, "CONFIG SET busy-reply-threshold 100");
    cr_assert_eq(pthread_create(&thread, NULL, run_for_ever, l.server), 0);
    loop_until(&l.loop, NULL, NULL, TROUBLE_MS);
    ask(&l, "SCRIPT KILL");
    pthread_join(thread, NULL);
    check(&l, "BUSY");
}

/* Loading is slowed down, to 0.4 ms a key. */
Test(redis_trouble, it_loads_for_long, .timeout = 60)
{
    static struct load l;

    begin(&l);
    loop_until(&l.loop, NULL, NULL, 200);
    free(redis_server_do(
        l.server, (const char *[]){
                      "EVAL", "for i = 1, 3000 do redis.call('SET', i, i) end",
                      "0", NULL}));
    redis_server_kill(l.server);
    redis_server_spawn(l.server);
    loop_until(&l.loop, NULL, NULL, TROUBLE_MS);
    redis_server_wait(l.server);
    check(&l, "LOADING");
}
