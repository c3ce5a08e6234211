#ifndef API_HANDLERS_H
#define API_HANDLERS_H

#include "api/exchange.h"

/* One function a method and path; the table is in dispatch.c.  A handler reads
 * the exchange and fills its response. */
handler_fn tasks_create, tasks_list, tasks_get, tasks_update, tasks_delete;
handler_fn llm_ask, llm_list_models;
handler_fn health_alive, health_ready, health_metrics;

/* Makes the gauges of /metrics; once, before the first request. */
void health_init(void);

#endif
