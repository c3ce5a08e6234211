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
    {"queues", 'Q', "LIST", "worker_queues", true,
     "these queues (comma list); else all of task_queues"},
    {"exclude-queues", 'X', "LIST", "worker_exclude_queues", true,
     "not these queues (comma list)"},
    {.name = NULL},
};

struct purge {
    struct client k;
    const struct queue_def *queue;
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
    st = ops->depth(p->k.broker, slice_of(p->queue->name), on_depth, p);
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
        st = ops->cancel(p->k.broker, slice_of(p->queue->name), err);
    return st;
}

/* Celery asks, too. */
static bool
confirmed(const struct topology *t)
{
    char line[16];

    if (!isatty(STDIN_FILENO)) {
        cli_fail(EXIT_USAGE, "purge: not without -f: nobody to ask");
        return false;
    }
    printf("This removes all waiting messages from:");
    for (size_t i = 0; i < topology_count(t); i++)
        if (topology_at(t, i)->consumed)
            printf(" %s", topology_at(t, i)->name);
    printf("\nAre you sure (yes/no)? ");
    fflush(stdout);
    return fgets(line, sizeof(line), stdin) != NULL &&
           strcmp(line, "yes\n") == 0;
}

static int
purge_all(struct purge *p, const struct topology *t)
{
    int count = 0, rc = EXIT_OK;
    struct error err;

    for (size_t i = 0; i < topology_count(t) && rc == EXIT_OK; i++) {
        p->queue = topology_at(t, i);
        if (!p->queue->consumed || p->queue->broadcast)
            continue;
        count++;
        if (purge_queue(p, &err) != ST_OK)
            rc =
                cli_fail(EXIT_FAILED, "queue %s: %s", p->queue->name, err.text);
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
    struct topology *t = NULL;
    struct purge p = {0};
    struct error err;
    int rc = EXIT_OK;

    if (topology_new(&t, &c->config, &err) != ST_OK)
        return cli_fail(EXIT_USAGE, "%s", err.text);
    if (cli_flag(c, "force") == NULL && !confirmed(t))
        rc = EXIT_USAGE;
    p.k.delivered = on_delivered;
    p.k.arg = &p;
    if (rc == EXIT_OK &&
        client_open(&p.k, &c->config, CLIENT_BROKER, &err) != ST_OK)
        rc = cli_fail(EXIT_FAILED, "%s", err.text);
    if (rc == EXIT_OK)
        rc = purge_all(&p, t);
    client_close(&p.k);
    topology_free(t);
    return rc;
}
