/* SPDX-License-Identifier: Apache-2.0 */
/* Looks into the Redis of a broker under test. */
#include "tests/support/redis_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/redis_server.h"

/* Keeps one answer. */
static char *
keep(char *text)
{
    static char *last;

    free(last);
    last = text;
    return last;
}

char *
redis_rig_ask(struct rig *r, const char *command)
{
    return keep(redis_server_ask(r->server, command));
}

char *
redis_rig_do(struct rig *r, const char *const *words)
{
    return keep(redis_server_do(r->server, words));
}

long
redis_rig_number(struct rig *r, const char *command)
{
    return redis_server_number(r->server, command);
}

const char *
redis_rig_envelope(int n, const char *tag)
{
    static char text[1024];

    (void)snprintf(
        text, sizeof text,
        "{\"body\": \"[[%d], {}, {}]\", \"content-encoding\": \"utf-8\", "
        "\"content-type\": \"application/json\", \"headers\": {\"task\": "
        "\"t\", \"big\": 123456789012345678901234567890}, \"properties\": "
        "{\"delivery_mode\": 2, \"delivery_info\": {\"exchange\": \"\", "
        "\"routing_key\": \"q\"}, \"priority\": 0, \"body_encoding\": null, "
        "\"delivery_tag\": \"%s\"}}",
        n, tag);
    return text;
}

void
redis_rig_push(struct rig *r, const char *key, const char *text)
{
    DO(r, "LPUSH", key, text);
}

void
redis_rig_settle(struct rig *r, int i, enum verdict v)
{
    r->b->ops->settle(r->b, r->got[i].tag, v);
}

void
redis_rig_options(struct rig *r, const char *json)
{
    free(r->config.broker_transport_options);
    r->config.broker_transport_options = strdup(json);
}
