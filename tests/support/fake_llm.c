/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/fake_llm.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void
run(int in, int out, const char *key)
{
    dup2(in, 0);
    dup2(out, 1);
    for (int fd = 3; fd < 256; fd++)
        close(fd);
    if (key != NULL)
        execl("/usr/bin/python3", "python3", "tests/support/fake_llm.py",
              "--key", key, (char *)NULL);
    else
        execl("/usr/bin/python3", "python3", "tests/support/fake_llm.py",
              (char *)NULL);
    _exit(127);
}

void
fake_llm_start(struct fake_llm *f, const char *key)
{
    int in[2], out[2];
    char line[32] = "";
    size_t n = 0;

    cr_assert_eq(pipe(in), 0);
    cr_assert_eq(pipe(out), 0);
    f->pid = fork();
    cr_assert_geq(f->pid, 0);
    if (f->pid == 0) {
        close(in[1]);
        close(out[0]);
        run(in[0], out[1], key);
    }
    close(in[0]);
    close(out[1]);
    f->in = in[1];
    while (n < sizeof(line) - 1 && read(out[0], line + n, 1) == 1 &&
           line[n] != '\n')
        n++;
    close(out[0]);
    line[n] = '\0';
    cr_assert_gt(strtol(line, NULL, 10), 0, "fake_llm.py did not start");
    snprintf(f->base, sizeof(f->base), "http://127.0.0.1:%ld",
             strtol(line, NULL, 10));
}

void
fake_llm_stop(struct fake_llm *f)
{
    close(f->in);
    kill(f->pid, SIGKILL);
    waitpid(f->pid, NULL, 0);
}
