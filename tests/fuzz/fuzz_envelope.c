/* Bytes of a Redis list element, and what is done to them on the way back. */
#include "protocol/envelope.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct slice
view(const struct buf *b)
{
    return (struct slice){b->data, b->len};
}

/* A marked envelope is one, and says that it is. */
static void
mark(struct slice json)
{
    struct message *m = NULL;
    struct buf b;

    buf_init(&b, 1 << 20);
    if (envelope_mark_redelivered(json, &b, NULL) == ST_OK && !b.failed &&
        envelope_decode(json, &m, NULL) == ST_OK) {
        message_free(m);
        assert(envelope_decode(view(&b), &m, NULL) == ST_OK);
        assert(m->redelivered);
        message_free(m);
    }
    buf_fini(&b);
}

static void
unacked(struct slice json)
{
    char *exchange = NULL, *key = NULL;
    struct slice inner = {0};
    struct buf b;

    if (envelope_unacked_decode(json, &inner, &exchange, &key, NULL) == ST_OK) {
        assert(inner.ptr >= json.ptr &&
               inner.ptr + inner.len <= json.ptr + json.len);
        buf_init(&b, 1 << 20);
        envelope_unacked_encode(inner,
                                (struct slice){exchange, strlen(exchange)},
                                (struct slice){key, strlen(key)}, &b);
        buf_fini(&b);
    }
    free(exchange);
    free(key);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice json = {(const char *)data, size};
    struct message *m = NULL, *again = NULL;
    struct error err;
    struct buf b;

    mark(json);
    unacked(json);
    if (envelope_decode(json, &m, &err) != ST_OK)
        return 0;
    buf_init(&b, 4 << 20);
    envelope_encode(m, &b);
    if (!b.failed) {
        assert(envelope_decode(view(&b), &again, NULL) == ST_OK);
        assert(again->body_len == m->body_len);
        assert(memcmp(again->body, m->body, m->body_len) == 0);
        message_free(again);
    }
    buf_fini(&b);
    message_free(m);
    return 0;
}
