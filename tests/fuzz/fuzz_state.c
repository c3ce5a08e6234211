/* A result document; what is read must be written the same twice. */
#include "protocol/state.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_object *doc = NULL, *doc2 = NULL;
    struct task_state s, s2;
    struct error err;
    struct buf b, b2;

    if (state_decode((struct slice){(const char *)data, size}, &doc, &s,
                     &err) != ST_OK)
        return 0;
    buf_init(&b, 1 << 20);
    buf_init(&b2, 1 << 20);
    state_encode(&s, &b);
    if (!b.failed && state_decode((struct slice){b.data, b.len}, &doc2, &s2,
                                  &err) == ST_OK) {
        state_encode(&s2, &b2);
        assert(b.len == b2.len && memcmp(b.data, b2.data, b.len) == 0);
        json_object_put(doc2);
    }
    b.len = 0;
    state_exception_repr(s.result, &b);
    buf_fini(&b);
    buf_fini(&b2);
    json_object_put(doc);
    return 0;
}
