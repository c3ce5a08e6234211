/* SPDX-License-Identifier: Apache-2.0 */
/* `lovage api`: start, wait for a signal, drain. */
#include "api/api.h"

#include <signal.h>
#include <string.h>
#include <time.h>

#include "api/server.h"
#include "base/clock.h"
#include "base/log.h"
#include "store/pg/migrate.h"

enum {
    FLUSH_MS = 2000,
    HURRY_S = 1,    /* for answers that are ready to be written */
    NOTICE_MS = 200 /* so long /readyz says 503 before the listener closes */
};

static void
sleep_ms(long ms)
{
    struct timespec ts = {ms / 1000, ms % 1000 * 1000000};

    nanosleep(&ts, NULL);
}

/* A database that is away is waited for; one with another schema is not. */
static enum status
check_schema(const struct config *config, struct error *err)
{
    enum status st = migrate_check(config->database_url, err);

    if (st == ST_OK || st == ST_INVALID)
        return st;
    log_warning("schema not checked", "error=%s", err->text);
    return ST_OK;
}

static enum status
open_api(struct api *api, struct error *err)
{
    enum status st;

    if (api->config->database_url[0] == '\0')
        return error_set(err, ST_INVALID, "database_url is not set");
    st = topology_new(&api->topology, api->config, err);
    if (st == ST_OK)
        st = check_schema(api->config, err);
    if (st == ST_OK)
        st = llm_models_load(api->config, &api->models, err);
    if (st == ST_OK)
        st = hub_open(&api->hub, api->config, err);
    return st;
}

static void
wait_idle(struct api *api, double seconds)
{
    uint64_t end = clock_mono_us() + (uint64_t)(seconds * 1e6);

    while (atomic_load(&api->in_flight) > 0 && clock_mono_us() < end)
        sleep_ms(20);
}

/* New requests are refused from now on; those in flight get their time.  Who
 * only waits for a result by then is told where to look for it. */
static void
drain(struct api *api)
{
    atomic_store(&api->draining, true);
    sleep_ms(NOTICE_MS);
    wait_idle(api, api->config->api_shutdown_timeout);
    atomic_store(&api->hurry, true);
    wait_idle(api, HURRY_S);
    if (atomic_load(&api->in_flight) > 0)
        log_warning("requests cut off", "count=%d",
                    atomic_load(&api->in_flight));
}

static void
close_api(struct api *api)
{
    if (api->hub != NULL)
        hub_close(api->hub, FLUSH_MS);
    llm_models_free(api->models);
    topology_free(api->topology);
}

int
api_main(const struct config *config)
{
    struct api api = {.config = config};
    struct server *server = NULL;
    struct error err = {ST_OK, ""};
    enum status st;
    sigset_t signals;
    int got;

    /* Blocked before any thread starts, so that only sigwait() sees them. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    st = open_api(&api, &err);
    if (st == ST_OK)
        st = server_start(&server, &api, &err);
    if (st != ST_OK) {
        log_error("api not started", "error=%s", err.text);
        close_api(&api);
        return 1;
    }
    log_info("api ready", "host=%s port=%d", config->api_host,
             (int)config->api_port);
    sigwait(&signals, &got);
    log_info("api stopping", "signal=%d", got);
    drain(&api);
    server_stop(server);
    close_api(&api);
    log_info("api stopped", NULL);
    return 0;
}
