/* SPDX-License-Identifier: Apache-2.0 */
/* The pool with executors that misbehave: this program is also the executor
 * that the pool starts, and its third word says what it does. */
#include <criterion/criterion.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/loop.h"
#include "worker/pool_process.h"
#include "worker/recall.h"

enum { NODE_FD = 3, READ_SIZE = 4096, PATIENCE_MS = 15000 };

/* ---- the executor ---- */

static void
say(const struct frame *f)
{
    struct buf b;

    buf_init(&b, READ_SIZE);
    frame_add(&b, f);
    if (write(NODE_FD, b.data, b.len) != (ssize_t)b.len)
        _exit(1);
    buf_fini(&b);
}

/* A child of the task's that has the socket too, for five seconds. */
static bool
fork_child(void)
{
    if (fork() != 0)
        return false;
    alarm(5);
    return true;
}

static void
do_run(struct recall_page *page, const struct frame *f, const char *what)
{
    const struct frame end = {
        .type = FRAME_END, .job = f->job, .body = {"1", 1}};
    struct frame_run run;

    if (frame_read_run(f, &run, NULL) != ST_OK ||
        !recall_begin(page, run.batch, f->job))
        return;
    if (!strcmp(what, "forks") && fork_child())
        pause();
    if (!strcmp(what, "daemon")) {
        if (!fork_child())
            _exit(0);
        usleep(300 * 1000);
    }
    say(&end);
}

/* Never says that it is ready, the first time: mute_file is there then. */
static const char mute_file[] = "LOVAGE_TEST_MUTE";

static void
be_mute_once(void)
{
    const char *path = getenv(mute_file);

    if (path == NULL || access(path, F_OK) != 0)
        return;
    unlink(path);
    sleep(60);
}

static void
serve(const char *what)
{
    const struct frame ready = {.type = FRAME_READY};
    struct recall_page *page;
    struct buf in;
    char piece[READ_SIZE];
    ssize_t n;

    if (recall_attach(&page, NULL) != ST_OK)
        _exit(1);
    be_mute_once();
    buf_init(&in, 1 << 20);
    say(&ready);
    while ((n = read(NODE_FD, piece, sizeof(piece))) > 0) {
        struct frame f;
        size_t used = 0, len;

        buf_add(&in, (struct slice){piece, (size_t)n});
        while (frame_next((struct slice){in.data + used, in.len - used}, &f,
                          &len, NULL) == ST_OK) {
            if (f.type == FRAME_RUN)
                do_run(page, &f, what);
            used += len;
        }
        memmove(in.data, in.data + used, in.len - used);
        in.len -= used;
    }
    if (!strcmp(what, "lingers"))
        sleep(60);
    _exit(0);
}

__attribute__((constructor)) static void
be_an_executor(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "executor"))
        serve(argv[2]);
}

/* ---- the node ---- */

static uv_loop_t loop;
static struct pool *pool;
static struct config config;
static unsigned ended, died, returned, rooms;
static bool closed;

static void
on_started(void *arg, struct job *j, pid_t pid)
{
    (void)arg;
    (void)j;
    cr_assert_gt(pid, 1);
}

static void
on_ended(void *arg, struct job *j, struct outcome *o)
{
    (void)arg;
    (void)j;
    cr_expect_eq(o->kind, OUTCOME_RETURN);
    ended++;
}

static void
on_died(void *arg, struct job *j, enum pool_death why, const char *how)
{
    (void)arg;
    (void)j;
    (void)why;
    (void)how;
    died++;
}

static void
on_returned(void *arg, struct job *j)
{
    (void)arg;
    (void)j;
    returned++;
}

static void
on_room(void *arg)
{
    (void)arg;
    rooms++;
}

static void
on_closed(void *arg)
{
    (void)arg;
    closed = true;
}

static bool
is_free(void *arg)
{
    (void)arg;
    return pool_free(pool) > 0;
}

static bool
is_done(void *arg)
{
    unsigned *count = arg;

    return *count > 0;
}

static bool
is_closed(void *arg)
{
    (void)arg;
    return closed;
}

static void
open_one(const char *what)
{
    static const struct pool_events events = {
        .started = on_started,
        .ended = on_ended,
        .died = on_died,
        .returned = on_returned,
        .room = on_room,
    };
    static char name[] = "test", word[] = "word";
    static char *argv[] = {name, word, NULL, NULL};
    const struct pool_opts o = {
        .loop = &loop, .config = &config, .size = 1, .argc = 3, .argv = argv};

    argv[2] = strdup(what);
    cr_assert_not_null(argv[2]);
    uv_loop_init(&loop);
    cr_assert_eq(pool_open(&pool, &o, &events, NULL, NULL), ST_OK);
    cr_assert(loop_until(&loop, is_free, NULL, PATIENCE_MS));
}

static void
run_one(struct job *j)
{
    const struct pool_call call = {
        .job = j,
        .run = {.id = {"an-id", 5},
                .name = {"a.task", 6},
                .args = {"[]", 2},
                .kwargs = {"{}", 2}},
    };

    memset(j, 0, sizeof(*j));
    list_init(&j->link);
    cr_assert_eq(pool_run(pool, &call, 1), ST_OK);
}

static pid_t
the_executor(void)
{
    pid_t pid = 0;

    cr_assert_eq(pool_pids(pool, &pid, 1), 1);
    return pid;
}

static void
close_all(int ms)
{
    pool_close(pool, on_closed, NULL);
    cr_expect(loop_until(&loop, is_closed, NULL, ms));
}

Test(pool, runs_a_job)
{
    struct job j;

    open_one("works");
    run_one(&j);
    cr_expect(loop_until(&loop, is_done, &ended, PATIENCE_MS));
    close_all(PATIENCE_MS);
    loop_end(&loop);
}

Test(pool, an_executor_that_does_not_start_is_replaced)
{
    char path[] = "/tmp/lovage-mute-XXXXXX";
    struct job j;
    int fd = mkstemp(path);

    cr_assert_geq(fd, 0);
    close(fd);
    setenv(mute_file, path, 1);
    config.worker_proc_alive_timeout = 0.3;
    open_one("works");
    cr_expect_neq(access(path, F_OK), 0);
    run_one(&j);
    cr_expect(loop_until(&loop, is_done, &ended, PATIENCE_MS));
    close_all(PATIENCE_MS);
    loop_end(&loop);
}

Test(pool, numbers_of_jobs_may_begin_anew)
{
    struct job j;

    open_one("works");
    pool->job_number = UINT32_MAX;
    run_one(&j);
    cr_expect(loop_until(&loop, is_done, &ended, PATIENCE_MS / 3));
    close_all(PATIENCE_MS);
}

Test(pool, an_idle_executor_that_has_ended_gets_no_job)
{
    struct job first, second;

    open_one("forks");
    run_one(&first);
    cr_assert(loop_until(&loop, is_done, &ended, PATIENCE_MS));
    ended = 0;
    /* What the task has forked keeps the socket open. */
    kill(the_executor(), SIGKILL);
    loop_until(&loop, NULL, NULL, 200);
    cr_assert(loop_until(&loop, is_free, NULL, PATIENCE_MS));
    run_one(&second);
    loop_until(&loop, is_done, &ended, PATIENCE_MS);
    cr_expect_eq(died, 0);
    cr_expect_eq(ended, 1);
    close_all(PATIENCE_MS);
}

Test(pool, an_executor_whose_process_is_another_by_now_is_replaced)
{
    struct job j;
    pid_t before;

    open_one("daemon");
    before = the_executor();
    run_one(&j);
    cr_assert(loop_until(&loop, is_done, &ended, PATIENCE_MS));
    cr_assert(loop_until(&loop, is_free, NULL, PATIENCE_MS));
    cr_expect_neq(the_executor(), before);
    close_all(PATIENCE_MS);
}

Test(pool, an_executor_that_does_not_end_is_killed_at_the_end)
{
    open_one("lingers");
    close_all(5000);
    loop_end(&loop);
}
