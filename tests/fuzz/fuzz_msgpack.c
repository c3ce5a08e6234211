/* msgpack; what is read must be written so that it is read the same. */
#include "protocol/msgpack.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_object *v = NULL, *again = NULL;
    struct error err;
    struct buf b, b2;

    if (msgpack_decode((struct slice){(const char *)data, size}, &v, &err) !=
        ST_OK)
        return 0;
    buf_init(&b, 1 << 24);
    buf_init(&b2, 1 << 24);
    assert(msgpack_encode(v, &b, &err) == ST_OK);
    assert(msgpack_decode((struct slice){b.data, b.len}, &again, &err) ==
           ST_OK);
    assert(msgpack_encode(again, &b2, &err) == ST_OK);
    assert(b.len == b2.len && memcmp(b.data, b2.data, b.len) == 0);
    buf_fini(&b);
    buf_fini(&b2);
    json_object_put(v);
    json_object_put(again);
    return 0;
}
