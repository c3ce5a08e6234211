/* SPDX-License-Identifier: Apache-2.0 */
/* The payload of a header frame: read as a message, copied for the back of its
 * queue, written again. */
#include "store/amqp/content.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct message *
decode(struct slice head)
{
    char *body = calloc(1, 1);
    struct message *m = NULL;
    struct error err;
    enum status st = amq_content_decode(head, &body, 0, &m, &err);

    assert(body == NULL);
    assert((st == ST_OK) == (m != NULL));
    return m;
}

static struct slice
view(const struct buf *b)
{
    return (struct slice){b->data, b->len};
}

/* A copy of a message is one, says that it comes again, and keeps its id. */
static void
copy(struct slice head, const struct message *m)
{
    struct message *again;
    struct error err;
    struct buf b;

    buf_init(&b, AMQ_FRAME_MAX);
    if (amq_content_copy(head, &b, &err) == ST_OK && m != NULL) {
        again = decode(view(&b));
        assert(again != NULL && again->redelivered);
        assert((m->correlation_id == NULL) == (again->correlation_id == NULL));
        message_free(again);
    }
    buf_fini(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice head = {(const char *)data, size};
    struct message *m = decode(head), *again;
    struct error err;
    struct buf b;

    copy(head, m);
    if (m == NULL)
        return 0;
    buf_init(&b, AMQ_FRAME_MAX);
    if (amq_content_encode(m, &b, &err) == ST_OK) {
        again = decode(view(&b));
        assert(again != NULL);
        assert(again->priority == m->priority);
        message_free(again);
    }
    buf_fini(&b);
    message_free(m);
    return 0;
}
