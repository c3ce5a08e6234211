/* SPDX-License-Identifier: Apache-2.0
 *
 * The broker and the result backend on a loop of their own, for commands that
 * ask one thing and end.  Unlike a worker, a command gives up: when a service
 * is not there within CLIENT_PATIENCE seconds, it says so. */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include "base/id.h"
#include "store/broker.h"
#include "store/result.h"

enum { CLIENT_PATIENCE = 5 };

struct client {
    uv_loop_t loop;
    uv_timer_t tick;
    struct broker *broker; /* NULL: not asked for */
    struct result *result;
    struct error why;    /* the last reason why the broker was lost */
    uint64_t down_us;    /* since when a service has been away; 0: all there */
    unsigned closing;    /* services that have not closed yet */
    bool ready, gave_up; /* of the broker */
    bool published;
    enum status published_st;

    /* Set by a command that consumes, before client_open(). */
    void (*delivered)(void *arg, const struct delivery *d);
    void *arg;
    struct topology *topology;
};

enum { CLIENT_BROKER = 1, CLIENT_RESULT = 2 };

/* what: the services, or'ed.  If a broker is asked for, all are connected when
 * this returns.  k is zeroed by the caller; client_close() also after a
 * failure. */
enum status client_open(struct client *k, const struct config *config,
                        unsigned what, struct error *err);

/* Turns the loop until *done.  timeout_s 0: for ever.  ST_TIMEOUT: the time is
 * over; ST_LOST: a service stays away. */
enum status client_run(struct client *k, const bool *done, double timeout_s,
                       struct error *err);

/* Publishes and waits until the broker has it. */
enum status client_publish(struct client *k, const struct message *m,
                           struct error *err);
void client_close(struct client *k);

#endif
