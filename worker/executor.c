/* SPDX-License-Identifier: Apache-2.0 */
/* An executor: the process that runs blocking tasks, one at a time.
 *
 * It is started by a node with a socket pair as fd 3, loads the plugins for
 * itself, and lives until the pair is closed or the node dies.  Each outcome
 * is written before the next task begins, so that the node knows from what it
 * has read which task a crash belongs to. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/log.h"
#include "protocol/task.h"
#include "worker/builtin.h"
#include "worker/frame.h"
#include "worker/recall.h"
#include "worker/task.h"
#include "worker/worker.h"

enum { NODE_FD = 3, READ_SIZE = 64 * 1024, EXIT_PLUGIN = 2 };

struct executor_state {
    struct buf in;
    size_t used;              /* bytes of in that are dealt with */
    uint32_t job;             /* the one that runs */
    char id[TASK_ID_MAX + 1]; /* its id: in moves while it runs */
    struct recall_page *page;
    bool want_rss; /* the node asks for it: max_memory_per_child */
};

/* Set by SIGUSR1: the soft time limit of what runs has passed. */
static volatile sig_atomic_t soft_passed;

static void
soft_signal(int signum)
{
    (void)signum;
    soft_passed = 1;
}

/* ---- the wire ---- */

static bool
write_all(const char *p, size_t n)
{
    while (n) {
        ssize_t w = write(NODE_FD, p, n);

        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            return false;
        p += w;
        n -= (size_t)w;
    }
    return true;
}

static bool
write_frame(const struct frame *f)
{
    struct buf b;
    bool ok;

    buf_init(&b, FRAME_BUF_MAX);
    frame_add(&b, f);
    ok = !b.failed && write_all(b.data, b.len);
    buf_fini(&b);
    return ok;
}

/* Reads more.  False: the node has closed, or is gone. */
static bool
read_more(struct executor_state *x)
{
    char piece[READ_SIZE];
    struct slice s = {piece, 0};
    ssize_t n;

    do
        n = read(NODE_FD, piece, sizeof(piece));
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return false;
    if (x->used) {
        memmove(x->in.data, x->in.data + x->used, x->in.len - x->used);
        x->in.len -= x->used;
        x->used = 0;
    }
    s.len = (size_t)n;
    buf_add(&x->in, s);
    return !x->in.failed;
}

/* The frame that begins at bytes beyond used, waited for; *len: its length. */
static bool
frame_at(struct executor_state *x, size_t at, struct frame *f, size_t *len)
{
    for (;;) {
        struct slice rest = {x->in.data, x->in.len - x->used - at};
        enum status st = ST_AGAIN;

        if (rest.len) {
            rest.ptr += x->used + at;
            st = frame_next(rest, f, len, NULL);
        }
        if (st == ST_OK)
            return true;
        if (st != ST_AGAIN || !read_more(x))
            return false;
    }
}

static bool
next_frame(struct executor_state *x, struct frame *f)
{
    size_t len;

    if (!frame_at(x, 0, f, &len))
        return false;
    x->used += len;
    return true;
}

/* Takes the first FIELDS out of what comes; tasks that wait may be before it.
 */
static struct json_object *
take_fields(struct executor_state *x)
{
    struct json_object *o = NULL;
    struct frame f = {.type = FRAME_READY};
    size_t at = 0, len = 0;
    char *p;

    while (frame_at(x, at, &f, &len) && f.type != FRAME_FIELDS)
        at += len;
    if (f.type != FRAME_FIELDS)
        return NULL;
    if (json_parse(f.body, JSON_DEPTH, &o, NULL) != ST_OK)
        log_debug("no fields of the request", "id=%s", x->id);
    p = x->in.data + x->used + at;
    memmove(p, p + len, x->in.len - x->used - at - len);
    x->in.len -= len;
    return o;
}

/* ---- what a task may do here ---- */

static struct json_object *
host_fields(lovage_task *t)
{
    struct executor_state *x = t->host_arg;
    struct frame f = {.type = FRAME_ASK, .job = x->job};

    return write_frame(&f) ? take_fields(x) : NULL;
}

static enum status
host_message(lovage_task *t, enum frame_type type, struct json_object *head,
             struct json_object *body)
{
    struct executor_state *x = t->host_arg;
    struct frame f = {.type = type, .job = x->job};
    struct buf h, b;
    enum status st = ST_LOST;

    buf_init(&h, FRAME_TEXT_MAX);
    buf_init(&b, FRAME_TEXT_MAX);
    if (head)
        json_add(&h, head);
    json_add(&b, body);
    f.head.ptr = h.data;
    f.head.len = h.len;
    f.body.ptr = b.data;
    f.body.len = b.len;
    if (h.failed || b.failed)
        st = ST_TOOBIG;
    else if (write_frame(&f))
        st = ST_OK;
    buf_fini(&h);
    buf_fini(&b);
    return st;
}

static enum status
host_state(lovage_task *t, const char *state, struct json_object *meta)
{
    struct json_object *head = json_object_new_object();
    struct slice name = {state, strlen(state)};
    enum status st =
        head ? json_set(head, "state", json_new_str(name)) : ST_NOMEM;

    if (st == ST_OK)
        st = host_message(t, FRAME_STATE, head, meta);
    json_object_put(head);
    return st;
}

static enum status
host_send(lovage_task *t, struct json_object *sig)
{
    return host_message(t, FRAME_SEND, NULL, sig);
}

static bool
host_soft_limit(lovage_task *t)
{
    (void)t;
    return soft_passed != 0;
}

static const struct task_host executor_host = {
    .fields = host_fields,
    .state = host_state,
    .send = host_send,
    .soft_limit = host_soft_limit,
};

/* ---- running ---- */

static int64_t
rss_kib(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");

    if (!f)
        return 0;
    if (fscanf(f, "%*s %ld", &pages) != 1)
        pages = 0;
    fclose(f);
    return (int64_t)pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static bool
report(struct executor_state *x, const struct outcome *o)
{
    struct json_object *head = NULL;
    struct frame f = {.type = FRAME_END, .job = x->job};
    bool bare = o->kind == OUTCOME_RETURN && !x->want_rss;
    struct buf h, b;
    bool ok = false;

    buf_init(&h, FRAME_TEXT_MAX);
    buf_init(&b, FRAME_TEXT_MAX);
    if (!bare)
        head = json_object_new_object();
    if ((!bare && !head) || outcome_encode(o, head, &b) != ST_OK)
        goto out;
    if (x->want_rss &&
        json_set(head, "rss", json_object_new_int64(rss_kib())) != ST_OK)
        goto out;
    if (head)
        json_add(&h, head);
    f.head.ptr = h.data;
    f.head.len = h.len;
    f.body.ptr = b.data;
    f.body.len = b.len;
    ok = !h.failed && write_frame(&f);
out:
    buf_fini(&h);
    buf_fini(&b);
    json_object_put(head);
    return ok;
}

/* An outcome that does not fit into a frame is told as an error. */
static bool
report_or_explain(struct executor_state *x, struct outcome *o)
{
    if (report(x, o))
        return true;
    outcome_raise(o, "EncodeError", "kombu.exceptions",
                  "the outcome is too large to be reported");
    return report(x, o);
}

/* False: it makes no sense, or the node is gone. */
static bool
run_one(struct executor_state *x, const struct frame *f,
        const struct frame_run *run)
{
    struct json_object *args = NULL, *kwargs = NULL;
    struct lovage_task_def missing = {.name = "", .params = -1};
    const struct lovage_task_def *def;
    lovage_task t;
    bool ok = false;

    if (run->id.len > TASK_ID_MAX ||
        json_parse(run->args, JSON_DEPTH, &args, NULL) != ST_OK ||
        json_parse(run->kwargs, JSON_DEPTH, &kwargs, NULL) != ST_OK)
        goto out;
    x->job = f->job;
    memcpy(x->id, run->id.ptr, run->id.len + 1);
    def = registry_find(run->name);
    task_init(&t, def ? def : &missing, &executor_host, x);
    t.args = args;
    t.kwargs = kwargs;
    t.id = x->id;
    t.retries = run->retries;
    soft_passed = 0;
    if (def)
        task_run(&t);
    else
        outcome_raise(&t.out, "NotRegistered", "celery.exceptions",
                      "the executor has other plugins than its node");
    ok = report_or_explain(x, &t.out);
    task_clear(&t);
out:
    json_object_put(args);
    json_object_put(kwargs);
    return ok;
}

static void
serve(struct executor_state *x)
{
    struct frame f = {.type = FRAME_READY};
    struct frame_run run;

    if (!write_frame(&f))
        return;
    while (next_frame(x, &f)) {
        if (f.type != FRAME_RUN)
            continue;
        if (frame_read_run(&f, &run, NULL) != ST_OK)
            return;
        if (recall_begin(x->page, run.batch, f.job) && !run_one(x, &f, &run))
            return;
    }
}

/* The service manager's signals are for the supervisor, which passes them on;
 * a terminal's Ctrl-C reaches everything.  None of them ends an executor. */
static void
set_signals(void)
{
    struct sigaction sa = {.sa_handler = soft_signal};

    sigemptyset(&sa.sa_mask);
    sigaction(SIGUSR1, &sa, NULL); /* no SA_RESTART: it must interrupt */
    sa.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGHUP, &sa, NULL);
    sigaction(SIGQUIT, &sa, NULL);
}

/* The node may have died before PR_SET_PDEATHSIG was in force. */
static bool
greet(struct executor_state *x)
{
    struct json_object *hello = NULL;
    struct frame f;
    int64_t parent = 0;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    fcntl(NODE_FD, F_SETFD, FD_CLOEXEC);
    if (!next_frame(x, &f) || f.type != FRAME_HELLO ||
        json_parse(f.head, JSON_DEPTH, &hello, NULL) != ST_OK)
        return false;
    parent = json_get_int(hello, "parent", 0);
    x->want_rss = json_get_bool(hello, "rss", false);
    json_object_put(hello);
    return getppid() == (pid_t)parent;
}

int
executor_main(const struct config *config)
{
    struct executor_state x = {.used = 0};
    struct error err;
    int code = EXIT_SUCCESS;

    /* Sockets of libcurl are open at an exec: what the node talks to is nothing
     * for task code, and would stay open for as long as this process lives. */
    close_range(RECALL_FD + 1, UINT_MAX, 0);
    set_signals();
    buf_init(&x.in, FRAME_BUF_MAX);
    if (!greet(&x)) {
        code = EXIT_FAILURE;
    } else if (recall_attach(&x.page, &err) != ST_OK) {
        log_error("executor cannot start", "reason=%s", err.text);
        code = EXIT_FAILURE;
    } else if (builtin_register(registry_get(), &err) != ST_OK ||
               registry_load_all(config->worker_include, &err) != ST_OK) {
        log_error("executor cannot start", "reason=%s", err.text);
        code = EXIT_PLUGIN;
    } else {
        serve(&x);
    }
    recall_free(x.page);
    buf_fini(&x.in);
    return code;
}
