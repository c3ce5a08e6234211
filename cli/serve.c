/* SPDX-License-Identifier: Apache-2.0
 *
 * The commands that run a part of the system: api, worker and what it starts,
 * and migrate. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/api.h"
#include "store/pg/migrate.h"
#include "worker/worker.h"

/* `celery worker`'s flags.  Those without an effect here are accepted, so that
 * a command line can be taken over as it is; the help says so. */
const struct cli_flag worker_flags[] = {
    {"queues", 'Q', "LIST", "worker_queues", true,
     "consume these queues (comma list); else all of task_queues"},
    {"exclude-queues", 'X', "LIST", "worker_exclude_queues", true,
     "do not consume these queues (comma list)"},
    {"concurrency", 'c', "N", "worker_concurrency", false,
     "executor processes for blocking tasks; 0: one a core"},
    {"hostname", 'n', "NAME", "worker_hostname", false,
     "node name, with %h host, %n name, %d domain, %i node number"},
    {"loglevel", 'l', "LEVEL", "log_level", false,
     "debug, info, warning, error or critical"},
    {"include", 'I', "LIST", "worker_include", true,
     "load tasks from these plugins (.so, comma list)"},
    {"broker", 'b', "URL", "broker_url", false, "the message broker"},
    {"result-backend", 0, "URL", "result_backend", false,
     "where results are stored"},
    {"prefetch-multiplier", 0, "N", "worker_prefetch_multiplier", false,
     "messages taken in advance, for each executor; 0: no limit"},
    {"max-tasks-per-child", 0, "N", "worker_max_tasks_per_child", false,
     "replace an executor after so many tasks"},
    {"max-memory-per-child", 0, "KIB", "worker_max_memory_per_child", false,
     "replace an executor that has grown to so many KiB"},
    {"time-limit", 0, "SECONDS", "task_time_limit", false,
     "kill a task that runs longer"},
    {"soft-time-limit", 0, "SECONDS", "task_soft_time_limit", false,
     "tell a task that runs longer to end"},
    {"nodes", 0, "N", "worker_nodes", false,
     "node processes, each a Celery node of its own"},
    {"pidfile", 0, "FILE", NULL, false,
     "hold the process id; a worker whose process lives is not started twice"},
    {"task-events", 'E', NULL, NULL, false,
     "accepted, without effect: events are not sent yet"},
    {"optimization", 'O', "NAME", NULL, false,
     "accepted, without effect: always fair, a task waits for no executor "
     "while another is free"},
    {"pool", 'P', "NAME", NULL, false,
     "accepted, without effect: blocking tasks run in processes, all others "
     "on the node's loop"},
    {"without-gossip", 0, NULL, NULL, false,
     "accepted, without effect: there is no gossip"},
    {"without-mingle", 0, NULL, NULL, false,
     "accepted, without effect: there is no mingling"},
    {"without-heartbeat", 0, NULL, NULL, false,
     "accepted, without effect: no event heartbeats are sent yet"},
    {"heartbeat-interval", 0, "SECONDS", NULL, false,
     "accepted, without effect: as above"},
    {.name = NULL},
};

const struct cli_flag migrate_flags[] = {
    {"check", 0, NULL, NULL, false,
     "only say whether the schema is this program's: exit code 0 or 1"},
    {.name = NULL},
};

/* The number in the file, for the message; 0: none. */
static long
pidfile_owner(int fd)
{
    char text[32] = "";

    if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
        return 0;
    return strtol(text, NULL, 10);
}

/* False: whoever had the file has removed it meanwhile. */
static bool
is_there(const char *path, int fd)
{
    struct stat file, ours;

    return stat(path, &file) == 0 && fstat(fd, &ours) == 0 &&
           file.st_ino == ours.st_ino && file.st_dev == ours.st_dev;
}

/* Who holds the lock lives; a number alone may be that of another process by
 * now.  *out stays open for as long as we live. */
static int
pidfile_take(const char *path, int *out)
{
    int fd;

    for (;;) {
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0)
            return cli_fail(EXIT_FAILED, "--pidfile %s: %s", path,
                            strerror(errno));
        if (flock(fd, LOCK_EX | LOCK_NB) != 0)
            break;
        if (is_there(path, fd)) {
            *out = fd;
            return EXIT_OK;
        }
        close(fd);
    }
    cli_fail(EXIT_FAILED, "--pidfile %s: process %ld lives", path,
             pidfile_owner(fd));
    close(fd);
    return EXIT_FAILED;
}

static int
pidfile_write(const char *path, int *out)
{
    int rc = pidfile_take(path, out);

    if (rc != EXIT_OK)
        return rc;
    if (ftruncate(*out, 0) != 0 || dprintf(*out, "%ld\n", (long)getpid()) <= 0)
        return cli_fail(EXIT_FAILED, "--pidfile %s: cannot write", path);
    return EXIT_OK;
}

int
cmd_api(struct cli *c)
{
    return api_main(&c->config);
}

int
cmd_worker(struct cli *c)
{
    const char *pidfile = cli_flag(c, "pidfile");
    int rc = EXIT_OK, lock = -1;

    if (pidfile != NULL)
        rc = pidfile_write(pidfile, &lock);
    if (rc != EXIT_OK)
        return rc;
    rc = worker_main(&c->config, c->argc, c->argv);
    if (pidfile != NULL) {
        unlink(pidfile);
        close(lock);
    }
    return rc;
}

int
cmd_node(struct cli *c)
{
    return node_main(&c->config, c->argc, c->argv);
}

int
cmd_executor(struct cli *c)
{
    return executor_main(&c->config);
}

int
cmd_migrate(struct cli *c)
{
    const char *url = c->config.database_url;
    struct error err;
    int applied = 0;

    if (*url == '\0')
        return cli_fail(EXIT_USAGE, "migrate: database_url is not set "
                                    "(LOVAGE_DATABASE_URL)");
    if (cli_flag(c, "check") != NULL) {
        if (migrate_check(url, &err) != ST_OK)
            return cli_fail(EXIT_FAILED, "%s", err.text);
        printf("the schema is this program's\n");
        return EXIT_OK;
    }
    if (migrate_run(url, &applied, &err) != ST_OK)
        return cli_fail(EXIT_FAILED, "%s", err.text);
    if (applied == 0)
        printf("the schema is up to date\n");
    else
        printf("%d migration%s applied\n", applied, applied == 1 ? "" : "s");
    return EXIT_OK;
}
