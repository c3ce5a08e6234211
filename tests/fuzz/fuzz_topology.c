/* SPDX-License-Identifier: Apache-2.0 */
/* task_queues and task_routes: the text up to the first newline, and the
 * rest. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/topology.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = strndup((const char *)data, size), *routes;
    struct topology *t = NULL;
    struct config c;
    struct error err;

    if (text == NULL || config_init(&c, &err) != ST_OK)
        abort();
    routes = strchr(text, '\n');
    if (routes != NULL)
        *routes++ = '\0';
    if (config_set(&c, "task_queues", text, &err) == ST_OK &&
        config_set(&c, "task_routes", routes == NULL ? "" : routes, &err) ==
            ST_OK &&
        topology_new(&t, &c, &err) == ST_OK) {
        struct task_route r = TASK_ROUTE_INIT;

        assert(topology_count(t) > 0);
        if (topology_route(t, slice_of("a.task"), &r, &err) == ST_OK)
            assert(r.exchange.len > 0 || r.routing_key.len > 0);
    }
    topology_free(t);
    config_fini(&c);
    free(text);
    return 0;
}
