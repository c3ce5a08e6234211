/* SPDX-License-Identifier: Apache-2.0 */
/* The task of the fault tests: it writes down when it starts and when it is
 * done, in a file that survives whatever is killed meanwhile. */
#define _POSIX_C_SOURCE 200809L

#include <lovage/task.h>

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* One line, appended in one write: "S 17" or "D 17". */
static int
note(const char *path, char what, int64_t n)
{
    char line[32];
    int len = snprintf(line, sizeof(line), "%c %lld\n", what, (long long)n);
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    ssize_t put;

    if (fd < 0)
        return -1;
    put = write(fd, line, (size_t)len);
    close(fd);
    return put == len ? 0 : -1;
}

/* faults.work(n, ms, path) */
static lovage_status
work(lovage_task *t)
{
    int64_t n, ms;
    const char *path;

    if (lovage_arg_int(t, 0, "n", &n) != LOVAGE_OK ||
        lovage_arg_int(t, 1, "ms", &ms) != LOVAGE_OK ||
        lovage_arg_string(t, 2, "path", &path) != LOVAGE_OK)
        return LOVAGE_FAILED;
    if (note(path, 'S', n) != 0)
        return lovage_raisef(t, "OSError", "cannot write the ledger");
    if (ms > 0 && !lovage_sleep(t, (double)ms / 1000.0))
        return lovage_raise_soft_limit(t);
    if (note(path, 'D', n) != 0)
        return lovage_raisef(t, "OSError", "cannot write the ledger");
    return lovage_return(t, lovage_int(n));
}

LOVAGE_PLUGIN int
lovage_plugin_init(lovage_registry *r)
{
    static const char *const names[] = {"n", "ms", "path"};
    const lovage_task_def def = {.size = sizeof(def),
                                 .name = "faults.work",
                                 .run = work,
                                 .params = 3,
                                 .param_names = names,
                                 .required = 3};

    return lovage_register(r, &def);
}
