/* The first byte picks the algorithm; the rest is unpacked, and packed. */
#include "protocol/compress.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LIMIT = 1 << 18 };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"zlib", "bzip2", "zstd", "lzma",
                                        "nosuch"};
    struct slice name, in;
    struct buf packed, out;
    struct error err;

    if (size == 0)
        return 0;
    name.ptr = names[data[0] % 5];
    name.len = strlen(name.ptr);
    in = (struct slice){(const char *)data + 1, size - 1};
    buf_init(&out, LIMIT);
    if (compress_unpack(name, in, &out, &err) == ST_OK)
        assert(out.len <= LIMIT);
    buf_fini(&out);
    buf_init(&out, LIMIT);
    buf_init(&packed, LIMIT);
    if (compress_pack(name, in, &packed, &err) == ST_OK) {
        assert(compress_unpack(name, (struct slice){packed.data, packed.len},
                               &out, &err) == ST_OK);
        assert(out.len == in.len &&
               (in.len == 0 || memcmp(out.data, in.ptr, in.len) == 0));
    }
    buf_fini(&packed);
    buf_fini(&out);
    return 0;
}
