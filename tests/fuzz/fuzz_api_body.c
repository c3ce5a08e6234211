/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies: what the scan lets pass, the parser takes too, and it holds nothing
 * that PostgreSQL cannot store. */
#include "api/body_scan.h"
#include "base/json.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = {(const char *)data, size};
    struct json_object *v = NULL;
    struct body_error err;

    if (size == 0 || body_scan(text, &err) != BODY_GOOD)
        return 0;
    if (json_parse(text, BODY_DEPTH, &v, NULL) != ST_OK || json_has_nul(v))
        abort();
    json_object_put(v);
    return 0;
}
