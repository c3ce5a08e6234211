/* SPDX-License-Identifier: Apache-2.0 */
/* The end of the hub while the database is slow to answer its sweep. */
#include "api/hub.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <unistd.h>

#include "tests/support/pg_server.h"
#include "tests/support/redis_server.h"

enum { STEP_US = 10 * 1000, AFTER_SWEEP_US = 400 * 1000 };

static void
set(struct config *c, const char *name, const char *value)
{
    struct error err;

    cr_assert_eq(config_set(c, name, value, &err), ST_OK, "%s", err.text);
}

static void *
close_hub(void *arg)
{
    hub_close(arg, 3000);
    return NULL;
}

Test(hub, an_answer_to_its_sweep_while_it_closes_harms_nothing, .timeout = 60)
{
    struct redis_server *redis = redis_server_new(NULL);
    struct pg_server *pg = pg_server_new_migrated(false);
    struct hub_state state = {.database_up = false};
    struct config c;
    struct error err;
    struct hub *hub;
    pthread_t thread;

    pg_server_run(pg, "INSERT INTO tasks (id, task, name, queue, status, "
                      "created_at, updated_at) VALUES ('old', 't', 'n', 'q', "
                      "'PENDING', now() - interval '1 hour', "
                      "now() - interval '1 hour')");
    cr_assert_eq(config_init(&c, &err), ST_OK);
    set(&c, "broker_url", redis_server_url(redis));
    set(&c, "result_backend", redis_server_url(redis));
    set(&c, "database_url", pg_server_url(pg));
    cr_assert_eq(hub_open(&hub, &c, &err), ST_OK, "%s", err.text);
    for (int i = 0; i < 500 && !(state.database_up && state.result_up); i++) {
        usleep(STEP_US);
        cr_assert_eq(hub_state(hub, &state), ST_OK);
    }
    cr_assert(state.database_up && state.result_up);

    pg_server_freeze(pg, true);
    usleep(AFTER_SWEEP_US);
    cr_assert_eq(pthread_create(&thread, NULL, close_hub, hub), 0);
    usleep(AFTER_SWEEP_US);
    pg_server_freeze(pg, false);
    pthread_join(thread, NULL);

    config_fini(&c);
    pg_server_free(pg);
    redis_server_free(redis);
}
