/* A time; what is read and can be written is read the same. */
#include "protocol/iso8601.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const int64_t lo = -62135596800000000, hi = 253402300799999999;
    char out[ISO8601_MAX];
    struct error err;
    int64_t us, again;

    if (iso8601_parse((struct slice){(const char *)data, size}, &us, &err) !=
        ST_OK)
        return 0;
    iso8601_format(us, out);
    assert(iso8601_parse((struct slice){out, strlen(out)}, &again, NULL) ==
           ST_OK);
    /* An offset may lead out of the years that Python has. */
    assert(again == (us < lo ? lo : us > hi ? hi : us));
    return 0;
}
