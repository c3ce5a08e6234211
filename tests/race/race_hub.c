/* SPDX-License-Identifier: Apache-2.0 */
/* Many threads hand the hub calls of every kind while its servers are away:
 * calls are answered, given up at their deadline, cancelled because nobody
 * waits, and refused; then it is closed under them. */
#include "api/hub.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { THREADS = 16, ROUNDS = 12 };

static struct hub *hub;
static atomic_int failures;

static void
expect(bool good, const char *what, enum status st)
{
    if (good)
        return;
    fprintf(stderr, "%s: %s\n", what, status_text(st));
    atomic_fetch_add(&failures, 1);
}

static struct slice
text(const char *s)
{
    return (struct slice){s, strlen(s)};
}

static bool
gone_soon(void *arg)
{
    return --*(int *)arg < 0;
}

static void
submit(void)
{
    struct records_new n = {.id = text("11111111-2222-3333-4444-555555555555"),
                            .name = text("n"),
                            .task = text("t"),
                            .args = text("[]"),
                            .kwargs = text("{}"),
                            .queue = text("q")};
    struct message *m = message_new();
    struct records_made made;
    enum status st;

    n.message = text("{}");
    st = hub_submit(hub, &n, &m, &made);
    expect(st == ST_TIMEOUT || st == ST_BUSY, "submit", st);
    expect(m == NULL, "submit: ownership", st);
}

static void
look(void)
{
    struct records_filter f = {.limit = 5};
    struct hub_rows *rows = NULL;
    enum status st = hub_get(hub, (struct records_key){text("7"), 0}, &rows);

    expect(st == ST_TIMEOUT || st == ST_BUSY, "get", st);
    expect(rows == NULL, "get: rows", st);
    st = hub_list(hub, &f, &rows);
    expect(st == ST_TIMEOUT || st == ST_BUSY, "list", st);
}

static void
wait_in_vain(int patience)
{
    struct hub_outcome o = {.block = NULL};
    enum status st = hub_wait(hub, text("nobody"), clock_mono_us() + 40000,
                              gone_soon, &patience, &o);

    expect(st == ST_TIMEOUT || st == ST_LOST || st == ST_BUSY, "wait", st);
    expect(o.block == NULL, "wait: outcome", st);
}

static void *
run(void *arg)
{
    int seed = *(int *)arg;
    struct hub_state s;
    enum status st;

    for (int i = 0; i < ROUNDS; i++) {
        switch ((seed + i) % 4) {
        case 0:
            submit();
            break;
        case 1:
            look();
            break;
        case 2:
            wait_in_vain(i % 3);
            break;
        default:
            st = hub_state(hub, &s);
            expect(st == ST_OK, "state", st);
            expect(!s.database_up && !s.broker_up, "state: up", st);
        }
    }
    return NULL;
}

static void
set(struct config *c, const char *name, const char *value)
{
    struct error err;

    if (config_set(c, name, value, &err) != ST_OK) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
}

int
main(void)
{
    pthread_t threads[THREADS];
    int seeds[THREADS];
    struct config c;
    struct error err;

    log_init(LOG_CRITICAL, false, "race");
    if (config_init(&c, &err) != ST_OK)
        return 1;
    /* Port 1 of this host: refused at once. */
    set(&c, "broker_url", "redis://127.0.0.1:1/0");
    set(&c, "result_backend", "redis://127.0.0.1:1/0");
    set(&c, "database_url", "postgresql://x@127.0.0.1:1/x");
    set(&c, "database_timeout", "0.1");
    if (hub_open(&hub, &c, &err) != ST_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    for (int i = 0; i < THREADS; i++) {
        seeds[i] = i;
        pthread_create(&threads[i], NULL, run, &seeds[i]);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    hub_close(hub, 100);
    config_fini(&c);
    printf("%d failures\n", atomic_load(&failures));
    return atomic_load(&failures) != 0;
}
