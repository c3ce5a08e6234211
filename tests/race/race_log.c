/* SPDX-License-Identifier: Apache-2.0 */
/* Lines from several threads come out whole while the level changes. */
#include "base/log.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THREADS = 4, LINES = 300 };

static void *
work(void *arg)
{
    for (int i = 0; i < LINES; i++) {
        log_warning("race", "thread=%d line=%d text=%s", *(int *)arg, i,
                    "some words");
        log_set_level(i % 2 ? LOG_INFO : LOG_WARNING);
    }
    return NULL;
}

/* Every line begins with a time and ends as it was written. */
static int
check(FILE *f)
{
    char line[5000];
    int n = 0;

    rewind(f);
    while (fgets(line, sizeof(line), f) != NULL) {
        if (line[0] != '2' ||
            strstr(line, "WARNING race: race thread=") == NULL ||
            strstr(line, " text=\"some words\"\n") == NULL)
            return 0;
        n++;
    }
    return n;
}

int
main(void)
{
    static int ids[THREADS];
    pthread_t t[THREADS];
    FILE *f = tmpfile();

    if (f == NULL || fcntl(fileno(f), F_SETFL, O_APPEND) != 0)
        return 1;
    dup2(fileno(f), STDERR_FILENO);
    log_init(LOG_INFO, false, "race");
    for (int i = 0; i < THREADS; i++) {
        ids[i] = i;
        pthread_create(&t[i], NULL, work, &ids[i]);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    if (check(f) == THREADS * LINES)
        return 0;
    puts("race_log: lines are missing or torn");
    return 1;
}
