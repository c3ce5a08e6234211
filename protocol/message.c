/* SPDX-License-Identifier: Apache-2.0 */
/* A message, neutral of its transport: making and freeing one. */
#include "protocol/message.h"

#include <stdlib.h>
#include <string.h>

enum status
message_set(char **member, struct slice s)
{
    char *copy = NULL;

    if (s.ptr != NULL) {
        copy = malloc(s.len + 1);
        if (copy == NULL)
            return ST_NOMEM;
        memcpy(copy, s.ptr, s.len);
        copy[s.len] = '\0';
    }
    free(*member);
    *member = copy;
    return ST_OK;
}

struct message *
message_new(void)
{
    struct message *m = calloc(1, sizeof(*m));

    if (m != NULL)
        m->priority = -1;
    return m;
}

void
message_free(struct message *m)
{
    if (m == NULL)
        return;
    json_object_put(m->headers);
    free(m->content_type);
    free(m->content_encoding);
    free(m->body);
    free(m->correlation_id);
    free(m->reply_to);
    free(m->expiration);
    free(m->exchange);
    free(m->routing_key);
    free(m->delivery_tag);
    free(m->envelope);
    free(m);
}
