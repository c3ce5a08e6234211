/* SPDX-License-Identifier: Apache-2.0 */
/* The tasks of the fault tests: they write down when they start and when they
 * are done, in a file that survives whatever is killed meanwhile. */
#define _POSIX_C_SOURCE 200809L

#include <lovage/task.h>

#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

struct job {
    int64_t n, ms;
    const char *path;
};

/* One line, appended in one write: "S 17 81234567" or "D 17 81284567", with the
 * microseconds of the monotonic clock, which is the same for all processes. */
static int
note(const struct job *j, char what)
{
    struct timespec now;
    char line[64];
    int fd = open(j->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    ssize_t put;
    int len;

    if (fd < 0)
        return -1;
    clock_gettime(CLOCK_MONOTONIC, &now);
    len = snprintf(line, sizeof(line), "%c %lld %lld\n", what, (long long)j->n,
                   (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    put = write(fd, line, (size_t)len);
    close(fd);
    return put == len ? 0 : -1;
}

static int
read_args(lovage_task *t, struct job *j)
{
    return lovage_arg_int(t, 0, "n", &j->n) == LOVAGE_OK &&
           lovage_arg_int(t, 1, "ms", &j->ms) == LOVAGE_OK &&
           lovage_arg_string(t, 2, "path", &j->path) == LOVAGE_OK;
}

static lovage_status
unwritten(lovage_task *t)
{
    return lovage_raisef(t, "OSError", "cannot write the ledger");
}

/* faults.work(n, ms, path) */
static lovage_status
work(lovage_task *t)
{
    struct job j;

    if (!read_args(t, &j))
        return LOVAGE_FAILED;
    if (note(&j, 'S') != 0)
        return unwritten(t);
    if (j.ms > 0 && !lovage_sleep(t, (double)j.ms / 1000.0))
        return lovage_raise_soft_limit(t);
    if (note(&j, 'D') != 0)
        return unwritten(t);
    return lovage_return(t, lovage_int(j.n));
}

static void
waited(lovage_task *t, void *arg)
{
    struct job j;

    (void)arg;
    if (!read_args(t, &j))
        lovage_finish(t, LOVAGE_FAILED);
    else if (note(&j, 'D') != 0)
        lovage_finish(t, unwritten(t));
    else
        lovage_finish(t, lovage_return(t, lovage_int(j.n)));
}

/* faults.wait(n, ms, path): the same on the node's loop. */
static lovage_status
wait_a_while(lovage_task *t)
{
    struct job j;

    if (!read_args(t, &j))
        return LOVAGE_FAILED;
    if (note(&j, 'S') != 0)
        return unwritten(t);
    if (lovage_timer(t, (double)j.ms / 1000.0, waited, NULL) != LOVAGE_OK)
        return LOVAGE_FAILED;
    return LOVAGE_PENDING;
}

LOVAGE_PLUGIN int
lovage_plugin_init(lovage_registry *r)
{
    static const char *const names[] = {"n", "ms", "path"};
    lovage_task_def def = {.size = sizeof(def),
                           .name = "faults.work",
                           .run = work,
                           .params = 3,
                           .param_names = names,
                           .required = 3};

    if (lovage_register(r, &def) != 0)
        return -1;
    def.name = "faults.wait";
    def.run = wait_a_while;
    def.kind = LOVAGE_ASYNC;
    return lovage_register(r, &def);
}
