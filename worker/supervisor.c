/* SPDX-License-Identifier: Apache-2.0 */
/* `lovage worker`: starts nodes, restarts those that die or hang, passes
 * signals on.
 *
 * A node that dies is replaced at once; the new one is told who died (to adopt
 * its messages) and what ran in it (to tell it as lost), both from the page
 * that they share.  Only a node that dies again and again waits before it comes
 * back.  Nodes are in sessions of their own, so that a terminal's Ctrl-C comes
 * to the supervisor alone. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/log.h"
#include "worker/shm.h"
#include "worker/worker.h"

enum {
    RESTART_MS = 200,
    BACKOFF_BASE_MS = 500,
    BACKOFF_CAP_MS = 30 * 1000,
    STABLE_S = 10,   /* a life that long makes earlier deaths forgotten */
    HANG_S = 30,     /* a loop that does not turn for so long is ended */
    CHECK_MS = 1000, /* HANG_S counts them */
    NODES_MAX = 256,
    ARGV_MAX = 256,
    EXIT_CONFIG = 2 /* what a node returns that could never start */
};

static const uint64_t second_us = 1000000;

struct supervisor;

struct child {
    struct supervisor *s;
    uv_process_t process;
    uv_timer_t restart;
    struct shm_page *page;
    int fd;            /* of the page */
    bool handle;       /* process is an open handle */
    bool alive, again; /* again: it was asked to end, and to come back */
    uint64_t started_us;
    uint64_t beat_us; /* its last heartbeat that was seen */
    unsigned silent;  /* checks without another */
    struct backoff backoff;
    unsigned deaths; /* in a row */
};

struct supervisor {
    uv_loop_t loop;
    int argc;
    char **argv;
    struct child *children;
    size_t count, alive;
    uv_signal_t signals[4];
    uv_timer_t check;
    bool ending;
    unsigned requests;
    int exit_code;
};

static void start(struct child *c);

/* ---- the end ---- */

static void
close_all(struct supervisor *s)
{
    for (size_t i = 0; i < sizeof(s->signals) / sizeof(s->signals[0]); i++)
        uv_close((uv_handle_t *)&s->signals[i], NULL);
    uv_close((uv_handle_t *)&s->check, NULL);
    for (size_t i = 0; i < s->count; i++)
        uv_close((uv_handle_t *)&s->children[i].restart, NULL);
}

static void
tell_all(struct supervisor *s, int signum)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->children[i].alive)
            uv_process_kill(&s->children[i].process, signum);
}

static void
end(struct supervisor *s, int signum)
{
    s->ending = true;
    for (size_t i = 0; i < s->count; i++)
        uv_timer_stop(&s->children[i].restart);
    tell_all(s, signum);
    if (!s->alive && !uv_is_closing((uv_handle_t *)&s->check))
        close_all(s);
}

/* ---- a node ends ---- */

static void
restart_now(uv_timer_t *t)
{
    start(t->data);
}

static void
restart_later(struct child *c)
{
    uint64_t lived = clock_mono_us() - c->started_us;
    uint64_t wait_ms = RESTART_MS;

    if (lived > STABLE_S * second_us) {
        backoff_reset(&c->backoff);
        c->deaths = 0;
    }
    if (c->deaths++ > 0)
        wait_ms = backoff_next_ms(&c->backoff);
    uv_timer_start(&c->restart, restart_now, wait_ms, 0);
}

/* Nothing would be better the next time; the others are ended too. */
static void
give_up(struct supervisor *s, int code)
{
    s->exit_code = code;
    end(s, SIGTERM);
}

static void
node_ended(struct child *c, int code, int signum)
{
    struct supervisor *s = c->s;
    bool clean = code == 0 && signum == 0;

    if (!clean)
        log_error("node died", "node=%u code=%d signal=%d", c->page->index,
                  code, signum);
    shm_bury(c->page);
    if (s->ending) {
        if (!clean)
            s->exit_code = EXIT_FAILURE;
        if (!s->alive)
            close_all(s);
    } else if (!clean && code == EXIT_CONFIG) {
        give_up(s, EXIT_CONFIG);
    } else if (!clean || c->again) {
        c->again = false;
        restart_later(c);
    } else if (!s->alive) {
        /* Remote control has shut all of them down. */
        end(s, SIGTERM);
    }
}

static void
process_closed(uv_handle_t *h)
{
    struct child *c = h->data;

    c->handle = false;
}

static void
exited(uv_process_t *p, int64_t status, int signum)
{
    struct child *c = p->data;

    c->alive = false;
    c->s->alive--;
    uv_close((uv_handle_t *)p, process_closed);
    node_ended(c, (int)status, signum);
}

/* ---- a node starts ---- */

static void
start(struct child *c)
{
    struct supervisor *s = c->s;
    char exe[] = "/proc/self/exe", sub[] = "node";
    char *argv[ARGV_MAX + 1];
    uv_stdio_container_t io[SHM_FD + 1] = {{.flags = UV_IGNORE}};
    uv_process_options_t o = {.file = exe,
                              .args = argv,
                              .exit_cb = exited,
                              .stdio = io,
                              .stdio_count = SHM_FD + 1,
                              .flags = UV_PROCESS_DETACHED};
    int n = s->argc < ARGV_MAX ? s->argc : ARGV_MAX, rc;

    if (c->handle) { /* the handle of the last one is not closed yet */
        uv_timer_start(&c->restart, restart_now, 1, 0);
        return;
    }
    for (int i = 0; i < n; i++)
        argv[i] = s->argv[i];
    argv[1] = sub;
    argv[n] = NULL;
    io[1].flags = io[2].flags = io[SHM_FD].flags = UV_INHERIT_FD;
    io[1].data.fd = STDOUT_FILENO;
    io[2].data.fd = STDERR_FILENO;
    io[SHM_FD].data.fd = c->fd;
    c->started_us = clock_mono_us();
    c->silent = 0;
    rc = uv_spawn(&s->loop, &c->process, &o);
    c->process.data = c;
    c->handle = true;
    if (rc == 0) {
        c->alive = true;
        s->alive++;
        return;
    }
    log_error("cannot start a node", "reason=%s", uv_strerror(rc));
    uv_close((uv_handle_t *)&c->process, process_closed);
    restart_later(c);
}

/* ---- watching ---- */

/* Counted in checks: when all of us were stopped (a frozen container), the time
 * since the last heartbeat says nothing. */
static void
check_one(struct child *c)
{
    uint64_t beat = atomic_load(&c->page->heartbeat_us);

    if (beat != c->beat_us)
        c->silent = 0;
    c->beat_us = beat;
    if (++c->silent <= HANG_S)
        return;
    log_critical("a node's loop hangs: it is killed", "node=%u pid=%d",
                 c->page->index, c->process.pid);
    uv_process_kill(&c->process, SIGKILL);
}

static void
check(uv_timer_t *t)
{
    struct supervisor *s = t->data;

    for (size_t i = 0; i < s->count; i++)
        if (s->children[i].alive)
            check_one(&s->children[i]);
}

static void
restart_all(struct supervisor *s)
{
    log_info("restarting all nodes", NULL);
    for (size_t i = 0; i < s->count; i++)
        s->children[i].again = s->children[i].alive;
    tell_all(s, SIGTERM);
}

static void
signalled(uv_signal_t *h, int signum)
{
    struct supervisor *s = h->data;

    if (signum == SIGHUP && !s->ending) {
        restart_all(s);
    } else if (signum == SIGQUIT) {
        end(s, SIGQUIT);
    } else if (signum != SIGHUP) { /* asked a second time: at once */
        end(s, s->requests++ ? SIGQUIT : SIGTERM);
    }
}

static void
catch_signals(struct supervisor *s)
{
    static const int wanted[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP};

    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        uv_signal_init(&s->loop, &s->signals[i]);
        s->signals[i].data = s;
        uv_signal_start(&s->signals[i], signalled, wanted[i]);
    }
}

static enum status
make_children(struct supervisor *s, struct error *err)
{
    for (size_t i = 0; i < s->count; i++) {
        struct child *c = &s->children[i];

        if (shm_create(&c->page, &c->fd, err) != ST_OK)
            return err->code;
        c->page->index = (uint32_t)i + 1;
        c->s = s;
        c->backoff.base_ms = BACKOFF_BASE_MS;
        c->backoff.cap_ms = BACKOFF_CAP_MS;
        uv_timer_init(&s->loop, &c->restart);
        c->restart.data = c;
    }
    return ST_OK;
}

int
worker_main(const struct config *config, int argc, char **argv)
{
    struct supervisor s = {.argc = argc, .argv = argv};
    struct error err;
    int64_t nodes = config->worker_nodes;

    s.count = nodes < 1 ? 1 : nodes > NODES_MAX ? NODES_MAX : (size_t)nodes;
    s.children = calloc(s.count, sizeof(*s.children));
    if (!s.children || uv_loop_init(&s.loop) != 0)
        return EXIT_FAILURE;
    if (make_children(&s, &err) != ST_OK) {
        log_critical("worker cannot start", "reason=%s", err.text);
        return EXIT_FAILURE;
    }
    catch_signals(&s);
    uv_timer_init(&s.loop, &s.check);
    s.check.data = &s;
    uv_timer_start(&s.check, check, CHECK_MS, CHECK_MS);
    for (size_t i = 0; i < s.count; i++)
        start(&s.children[i]);
    uv_run(&s.loop, UV_RUN_DEFAULT);
    uv_loop_close(&s.loop);
    for (size_t i = 0; i < s.count; i++)
        close(s.children[i].fd);
    free(s.children);
    return s.exit_code;
}
