/* SPDX-License-Identifier: Apache-2.0
 *
 * `lovage purge`: takes and acknowledges what waits in queues.  Taken like a
 * worker takes them, so that it works on every broker alike. */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/client.h"

enum { PREFETCH = 1000 };

const struct cli_flag purge_flags[] = {
    {"force", 'f', NULL, NULL, false, "do not ask"},
    {"queues", 'Q', "LIST", "task_queues", true,
     "these queues (comma list); else the default queue"},
    {.name = NULL},
};

struct purge {
    struct client k;
    struct slice queue;
    int64_t waiting; /* as last told by the broker */
    bool told;
    enum status st;
    int64_t removed;
};

static void
on_delivered(void *arg, const struct delivery *d)
{
    struct purge *p = arg;

    message_free(d->msg);
    p->k.broker->ops->settle(p->k.broker, d->tag, VERDICT_ACK);
    p->removed++;
}

static void
on_depth(void *arg, enum status st, int64_t n)
{
    struct purge *p = arg;

    p->told = true;
    p->st = st;
    p->waiting = n;
}

static enum status
ask_depth(struct purge *p, struct error *err)
{
    const struct broker_ops *ops = p->k.broker->ops;
    enum status st;

    p->told = false;
    st = ops->depth(p->k.broker, p->queue, on_depth, p);
    if (st != ST_OK)
        return error_set(err, st, "%s", status_text(st));
    st = client_run(&p->k, &p->told, CLIENT_PATIENCE, err);
    if (st == ST_OK && p->st != ST_OK)
        st = error_set(err, p->st, "%s", status_text(p->st));
    return st;
}

/* Until the broker says twice that nothing waits, and nothing came in between:
 * what it has handed out may still be on its way. */
static enum status
purge_queue(struct purge *p, struct error *err)
{
    const struct broker_ops *ops = p->k.broker->ops;
    enum status st = ask_depth(p, err);
    int64_t before;

    if (st != ST_OK || p->waiting == 0)
        return st;
    ops->prefetch(p->k.broker, PREFETCH);
    st = ops->consume(p->k.broker, p->queue, err);
    do {
        before = p->removed;
        if (st == ST_OK)
            st = ask_depth(p, err);
        if (st == ST_OK && p->waiting == 0)
            st = ask_depth(p, err);
    } while (st == ST_OK && (p->waiting > 0 || p->removed != before));
    if (st == ST_OK)
        st = ops->cancel(p->k.broker, p->queue, err);
    return st;
}

/* Celery asks, too. */
static bool
confirmed(const char *queues)
{
    char line[16];

    if (!isatty(STDIN_FILENO)) {
        cli_fail(EXIT_USAGE, "purge: not without -f: nobody to ask");
        return false;
    }
    printf(
        "This removes all waiting messages from: %s\nAre you sure (yes/no)? ",
        queues);
    fflush(stdout);
    return fgets(line, sizeof(line), stdin) != NULL &&
           strcmp(line, "yes\n") == 0;
}

static int
purge_all(struct purge *p, const char *queues)
{
    int count = 0, rc = EXIT_OK;
    struct error err;

    while (*queues != '\0' && rc == EXIT_OK) {
        size_t len = strcspn(queues, ",");

        p->queue = (struct slice){queues, len};
        if (len > 0) {
            count++;
            if (purge_queue(p, &err) != ST_OK)
                rc = cli_fail(EXIT_FAILED, "queue %.*s: %s", (int)len, queues,
                              err.text);
        }
        queues += len + (queues[len] == ',');
    }
    if (rc != EXIT_OK)
        return rc;
    if (p->removed > 0)
        printf("Purged %lld message%s from %d known task queue%s.\n",
               (long long)p->removed, p->removed == 1 ? "" : "s", count,
               count == 1 ? "" : "s");
    else
        printf("No messages purged from %d queue%s\n", count,
               count == 1 ? "" : "s");
    return EXIT_OK;
}

int
cmd_purge(struct cli *c)
{
    const char *queues = c->config.task_queues;
    struct purge p = {0};
    struct error err;
    int rc;

    if (*queues == '\0')
        queues = c->config.task_default_queue;
    if (cli_flag(c, "force") == NULL && !confirmed(queues))
        return EXIT_USAGE;
    p.k.delivered = on_delivered;
    p.k.arg = &p;
    if (client_open(&p.k, &c->config, CLIENT_BROKER, &err) != ST_OK)
        rc = cli_fail(EXIT_FAILED, "%s", err.text);
    else
        rc = purge_all(&p, queues);
    client_close(&p.k);
    return rc;
}
