/* SPDX-License-Identifier: Apache-2.0 */
/* Pickles: what is read must come back the same when it is written and read
 * once more. */
#include "protocol/pickle.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_object *v = NULL, *again = NULL;
    struct buf b, b2;

    if (pickle_decode((struct slice){(const char *)data, size}, &v, NULL) !=
        ST_OK)
        return 0;
    buf_init(&b, 1 << 20);
    buf_init(&b2, 1 << 20);
    pickle_encode(v, &b);
    if (!b.failed &&
        pickle_decode((struct slice){b.data, b.len}, &again, NULL) == ST_OK) {
        pickle_encode(again, &b2);
        assert(b2.failed ||
               (b.len == b2.len && memcmp(b.data, b2.data, b.len) == 0));
        json_object_put(again);
    }
    b.len = 0;
    (void)pickle_encode_group(v, &b, NULL);
    buf_fini(&b);
    buf_fini(&b2);
    json_object_put(v);
    return 0;
}
