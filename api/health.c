/* SPDX-License-Identifier: Apache-2.0 */
/* /healthz, /readyz and /metrics. */
#include "api/handlers.h"
#include "base/metrics.h"

void
health_alive(struct exchange *x)
{
    buf_addf(&x->rs.body, "{\"status\":\"ok\"}");
}

static const char *
up(bool is_up)
{
    return is_up ? "up" : "down";
}

/* Ready is who can commit: a broker that is away refuses nothing, since the
 * outbox keeps what is for it. */
void
health_ready(struct exchange *x)
{
    struct hub_state s = {.outbox_depth = -1};
    bool turns = hub_state(x->api->hub, &s) == ST_OK;
    bool draining = atomic_load(&x->api->draining);
    bool ready = turns && s.database_up && !draining;

    x->rs.status = ready ? 200 : 503;
    if (!ready)
        response_header(&x->rs, "Retry-After", "1");
    buf_addf(&x->rs.body,
             "{\"status\":\"%s\",\"database\":\"%s\",\"broker\":\"%s\","
             "\"result_backend\":\"%s\"}",
             ready      ? "ready"
             : draining ? "draining"
                        : "unavailable",
             up(s.database_up), up(s.broker_up), up(s.result_up));
}

static struct metric *calls, *outbox, *relay, *in_flight, *service_up;

void
health_init(void)
{
    calls = metric_new(METRIC_GAUGE, "api_hub_calls",
                       "Requests that wait for the hub.", NULL);
    outbox = metric_new(METRIC_GAUGE, "outbox_depth",
                        "Messages committed, due and not published.", NULL);
    relay = metric_new(METRIC_GAUGE, "relay_backlog",
                       "Messages sent and not confirmed.", NULL);
    in_flight = metric_new(METRIC_GAUGE, "api_requests_in_flight",
                           "Requests being answered.", NULL);
    service_up = metric_new(METRIC_GAUGE, "service_up", "1: connected, 0: not.",
                            "service");
}

static void
set_gauges(struct exchange *x)
{
    struct hub_state s = {.outbox_depth = -1};

    metric_set(in_flight, NULL, atomic_load(&x->api->in_flight));
    if (hub_state(x->api->hub, &s) != ST_OK)
        return;
    metric_set(calls, NULL, (double)s.calls);
    if (s.outbox_depth >= 0)
        metric_set(outbox, NULL, (double)s.outbox_depth);
    metric_set(relay, NULL, (double)s.relay_backlog);
    metric_set(service_up, "database", s.database_up);
    metric_set(service_up, "broker", s.broker_up);
    metric_set(service_up, "result_backend", s.result_up);
}

void
health_metrics(struct exchange *x)
{
    set_gauges(x);
    x->rs.content_type = "text/plain; version=0.0.4; charset=utf-8";
    metrics_write(&x->rs.body);
}
