/* SPDX-License-Identifier: Apache-2.0 */
/* Starting, feeding and burying the processes of a pool. */
#include "worker/pool_process.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "worker/recall.h"

enum {
    AGAIN_FIRST_MS = 100,
    AGAIN_MAX_SHIFT = 6,
    BURY_MS = 1000,  /* wait for the rest of its output after its end */
    LEAVE_MS = 2000, /* for free executors to end by themselves */
    READ_SIZE = 64 * 1024,
    ARGV_MAX = 256
};

struct write_op {
    uv_write_t rq;
    char *bytes;
};

static void start_missing(uv_timer_t *uv);

/* ---- the end ---- */

static void
pool_gone(uv_handle_t *h)
{
    struct pool *p = h->data;
    void (*fn)(void *) = p->closed_fn;
    void *arg = p->closed_arg;

    free(p->executors);
    free(p);
    fn(arg);
}

static void
maybe_gone(struct pool *p)
{
    if (p->closed && !p->alive && !uv_is_closing((uv_handle_t *)&p->again))
        uv_close((uv_handle_t *)&p->again, pool_gone);
}

static void
handle_closed(uv_handle_t *h)
{
    struct executor *x = h->data;
    struct pool *p = x->pool;

    if (--x->handles)
        return;
    buf_fini(&x->in);
    recall_free(x->page);
    free(x);
    p->alive--;
    maybe_gone(p);
}

static void
start_soon(struct pool *p)
{
    unsigned shift =
        p->failures < AGAIN_MAX_SHIFT ? p->failures : AGAIN_MAX_SHIFT;

    if (p->closed)
        return;
    uv_timer_start(&p->again, start_missing,
                   p->failures ? (uint64_t)AGAIN_FIRST_MS << shift : 0, 0);
}

/* Both its exit and the end of its output are known, or waited for enough. */
static void
bury(struct executor *x)
{
    struct pool *p = x->pool;

    if (x->state == EXECUTOR_GONE)
        return;
    if (x->state == EXECUTOR_STARTING)
        p->failures++;
    x->state = EXECUTOR_GONE;
    p->executors[x->at] = NULL;
    executor_bury_jobs(x);
    uv_close((uv_handle_t *)&x->limit, handle_closed);
    uv_close((uv_handle_t *)&x->pipe, handle_closed);
    uv_close((uv_handle_t *)&x->process, handle_closed);
    start_soon(p);
}

static void
bury_timer(uv_timer_t *t)
{
    bury(t->data);
}

static void
exited(uv_process_t *proc, int64_t status, int signum)
{
    struct executor *x = proc->data;
    const char *name = signum ? sigabbrev_np(signum) : NULL;

    if (signum)
        snprintf(x->how, sizeof(x->how), "signal %d (SIG%s)", signum,
                 name ? name : "?");
    else
        snprintf(x->how, sizeof(x->how), "exitcode %d", (int)status);
    x->exited = true;
    if (x->state == EXECUTOR_READY)
        x->state = EXECUTOR_LEAVING; /* gets no job while it is waited for */
    if (x->eof)
        bury(x);
    else
        uv_timer_start(&x->limit, bury_timer, BURY_MS, 0);
}

void
executor_kill(struct executor *x, enum pool_death why, int signum)
{
    if (x->state == EXECUTOR_GONE || x->exited)
        return;
    x->death = why;
    if (signum == SIGKILL)
        x->state = x->state == EXECUTOR_STARTING ? x->state : EXECUTOR_LEAVING;
    uv_process_kill(&x->process, signum);
}

void
executor_broken(struct executor *x, const char *what)
{
    log_error("executor makes no sense", "pid=%d reason=%s", x->process.pid,
              what);
    executor_kill(x, POOL_CRASHED, SIGKILL);
}

static void
shut(uv_shutdown_t *rq, int status)
{
    (void)status;
    free(rq);
}

void
executor_retire(struct executor *x)
{
    uv_shutdown_t *rq = malloc(sizeof(*rq));

    x->state = EXECUTOR_LEAVING;
    if (!rq || uv_shutdown(rq, (uv_stream_t *)&x->pipe, shut) != 0) {
        free(rq);
        executor_kill(x, POOL_CRASHED, SIGKILL);
    }
}

/* ---- reading and writing ---- */

static void
alloc(uv_handle_t *h, size_t hint, uv_buf_t *out)
{
    static char piece[READ_SIZE]; /* consumed before the next read */

    (void)h;
    (void)hint;
    *out = uv_buf_init(piece, sizeof(piece));
}

static void
read_frames(struct executor *x)
{
    size_t used = 0;

    while (x->state != EXECUTOR_GONE) {
        struct slice rest = {x->in.data + used, x->in.len - used};
        struct frame f;
        struct error err;
        size_t len = 0;
        enum status st = frame_next(rest, &f, &len, &err);

        if (st == ST_AGAIN)
            break;
        if (st != ST_OK) {
            executor_broken(x, err.text);
            used = x->in.len;
            break;
        }
        executor_frame(x, &f);
        used += len;
    }
    if (used == x->in.len) {
        x->in.len = 0;
    } else if (used) {
        memmove(x->in.data, x->in.data + used, x->in.len - used);
        x->in.len -= used;
    }
}

static void
readable(uv_stream_t *s, ssize_t n, const uv_buf_t *piece)
{
    struct executor *x = s->data;
    struct slice bytes = {piece->base, n > 0 ? (size_t)n : 0};

    if (n < 0) {
        uv_read_stop(s);
        x->eof = true;
        if (x->exited)
            bury(x);
        else
            executor_kill(x, x->death, SIGKILL); /* it ends, or has ended */
        return;
    }
    if (!n)
        return;
    buf_add(&x->in, bytes);
    if (x->in.failed)
        executor_broken(x, "its frame is too large");
    else
        read_frames(x);
}

static void
written(uv_write_t *rq, int status)
{
    struct write_op *op = (struct write_op *)(void *)rq;

    (void)status; /* a broken socket shows when it is read, too */
    free(op->bytes);
    free(op);
}

/* What the socket does not take at once. */
static enum status
write_rest(struct executor *x, struct buf *bytes, size_t sent)
{
    struct write_op *op = calloc(1, sizeof(*op));
    size_t len = 0;
    enum status st = op ? buf_take(bytes, &op->bytes, &len) : ST_NOMEM;
    uv_buf_t b;

    if (st != ST_OK) {
        free(op);
        return st;
    }
    b = uv_buf_init(op->bytes + sent, (unsigned)(len - sent));
    if (uv_write(&op->rq, (uv_stream_t *)&x->pipe, &b, 1, written) == 0)
        return ST_OK;
    free(op->bytes);
    free(op);
    return ST_LOST;
}

enum status
executor_write(struct executor *x, struct buf *bytes)
{
    uv_buf_t b = uv_buf_init(bytes->data, (unsigned)bytes->len);
    int n;

    if (bytes->failed)
        return ST_NOMEM;
    n = uv_try_write((uv_stream_t *)&x->pipe, &b, 1);
    if (n == (int)bytes->len)
        return ST_OK;
    if ((n > 0 || n == UV_EAGAIN) &&
        write_rest(x, bytes, n > 0 ? (size_t)n : 0) == ST_OK)
        return ST_OK;
    executor_kill(x, POOL_CRASHED, SIGKILL);
    return n > 0 ? ST_OK : ST_LOST; /* it may have begun what it has */
}

static enum status
say_hello(struct executor *x)
{
    char text[64];
    struct frame f = {.type = FRAME_HELLO};
    struct buf b;
    enum status st;
    int n = snprintf(
        text, sizeof(text), "{\"parent\": %d, \"rss\": %s}", (int)getpid(),
        x->pool->config->worker_max_memory_per_child > 0 ? "true" : "false");

    f.head.ptr = text;
    f.head.len = (size_t)n;
    buf_init(&b, sizeof(text) + FRAME_HEAD);
    frame_add(&b, &f);
    st = executor_write(x, &b);
    buf_fini(&b);
    return st;
}

/* ---- starting ---- */

void
executor_ready(struct executor *x)
{
    if (x->state == EXECUTOR_STARTING && !x->exited) {
        x->state = EXECUTOR_READY;
        uv_timer_stop(&x->limit);
    }
    x->pool->failures = 0;
}

static void
start_failed(uv_timer_t *t)
{
    struct executor *x = t->data;

    log_error("an executor did not start in time", "pid=%d", x->process.pid);
    executor_kill(x, POOL_CRASHED, SIGKILL);
}

static int
spawn(struct executor *x, int fd, int page_fd)
{
    struct pool *p = x->pool;
    char exe[] = "/proc/self/exe", sub[] = "executor";
    char *argv[ARGV_MAX + 1];
    uv_stdio_container_t io[5] = {{.flags = UV_IGNORE}};
    uv_process_options_t o = {
        .file = exe, .args = argv, .exit_cb = exited, .stdio = io};
    int n = p->argc < ARGV_MAX ? p->argc : ARGV_MAX;

    for (int i = 0; i < n; i++)
        argv[i] = p->argv[i];
    argv[1] = sub;
    argv[n] = NULL;
    io[1].flags = io[2].flags = io[3].flags = io[4].flags = UV_INHERIT_FD;
    io[1].data.fd = STDERR_FILENO;
    io[2].data.fd = STDERR_FILENO;
    io[3].data.fd = fd;
    io[RECALL_FD].data.fd = page_fd;
    o.stdio_count = 5;
    return uv_spawn(p->loop, &x->process, &o);
}

static struct executor *
executor_new(struct pool *p, size_t at)
{
    struct executor *x = calloc(1, sizeof(*x));

    if (!x)
        return NULL;
    x->pool = p;
    x->at = at;
    list_init(&x->jobs);
    buf_init(&x->in, FRAME_BUF_MAX);
    uv_timer_init(p->loop, &x->limit);
    uv_pipe_init(p->loop, &x->pipe, 0);
    x->limit.data = x->pipe.data = x->process.data = x;
    x->handles = 2;
    p->alive++;
    return x;
}

/* ST_LOST: no process, the executor is on its way to be freed. */
static enum status
start(struct executor *x)
{
    int fds[2] = {-1, -1}, page_fd = -1, rc = -1;
    struct error err = {.text = "socket"};

    if (recall_create(&x->page, &page_fd, &err) == ST_OK &&
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0 &&
        uv_pipe_open(&x->pipe, fds[0]) == 0) {
        rc = spawn(x, fds[1], page_fd);
        x->handles++; /* uv_spawn has made the handle even when it fails */
    } else if (fds[0] >= 0) {
        close(fds[0]);
    }
    if (fds[1] >= 0)
        close(fds[1]);
    if (page_fd >= 0)
        close(page_fd);
    if (rc == 0 && say_hello(x) == ST_OK &&
        uv_read_start((uv_stream_t *)&x->pipe, alloc, readable) == 0) {
        double ms = x->pool->config->worker_proc_alive_timeout * 1000;

        if (ms > 0)
            uv_timer_start(&x->limit, start_failed, (uint64_t)ms, 0);
        return ST_OK;
    }
    log_error("cannot start an executor", "reason=%s",
              rc < -1 ? uv_strerror(rc) : err.text);
    if (rc == 0)
        uv_process_kill(&x->process, SIGKILL);
    if (x->handles == 3)
        uv_close((uv_handle_t *)&x->process, handle_closed);
    uv_close((uv_handle_t *)&x->pipe, handle_closed);
    uv_close((uv_handle_t *)&x->limit, handle_closed);
    return ST_LOST;
}

static void
start_missing(uv_timer_t *uv)
{
    struct pool *p = uv->data;

    for (size_t i = 0; i < p->size; i++) {
        struct executor *x;

        if (p->executors[i])
            continue;
        x = executor_new(p, i);
        if (!x || start(x) != ST_OK) {
            p->failures++;
            start_soon(p);
            return;
        }
        p->executors[i] = x;
    }
}

enum status
pool_open(struct pool **out, const struct pool_opts *o,
          const struct pool_events *ev, void *arg, struct error *err)
{
    struct pool *p = calloc(1, sizeof(*p));

    if (p)
        p->executors = calloc(o->size, sizeof(struct executor *));
    if (!p || !p->executors) {
        free(p);
        return error_set(err, ST_NOMEM, "no memory for executors");
    }
    p->loop = o->loop;
    p->config = o->config;
    p->size = o->size;
    p->argc = o->argc;
    p->argv = o->argv;
    p->ev = ev;
    p->arg = arg;
    uv_timer_init(o->loop, &p->again);
    p->again.data = p;
    if (!o->idle)
        start_soon(p);
    *out = p;
    return ST_OK;
}

/* A plugin may hang at its end, or in its beginning. */
static void
kill_rest(uv_timer_t *uv)
{
    pool_kill(uv->data);
}

void
pool_close(struct pool *p, void (*closed)(void *arg), void *arg)
{
    p->closed = true;
    p->closed_fn = closed;
    p->closed_arg = arg;
    uv_timer_start(&p->again, kill_rest, LEAVE_MS, 0);
    for (size_t i = 0; i < p->size; i++) {
        struct executor *x = p->executors[i];

        if (!x || x->state == EXECUTOR_LEAVING)
            continue;
        if (list_empty(&x->jobs))
            executor_retire(x);
        else
            executor_kill(x, POOL_TERMINATED, SIGKILL);
    }
    maybe_gone(p);
}
