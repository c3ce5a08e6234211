/* The body of a remote control request. */
#include "protocol/control.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct slice node = {"w1@lab", 6};
    struct message *m = message_new(), *reply = NULL;
    struct control_request r;
    struct error err;

    if (m == NULL)
        return 0;
    m->body_len = size;
    if (message_set(&m->content_type, (struct slice){"application/json", 16}) ==
            ST_OK &&
        message_set(&m->body, (struct slice){(const char *)data, size}) ==
            ST_OK &&
        control_decode(m, node, &r, &err) == ST_OK) {
        assert(r.method.len > 0);
        if (r.ticket.ptr != NULL &&
            control_reply(&r, node, r.arguments, 1, &reply, &err) == ST_OK)
            message_free(reply);
        control_fini(&r);
    }
    message_free(m);
    return 0;
}
