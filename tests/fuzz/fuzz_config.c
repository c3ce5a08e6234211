/* SPDX-License-Identifier: Apache-2.0 */
/* A line of the settings file, and the checks on what it set. */
#include "base/config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), *rest = text, *line;
    struct config c;
    struct error err;
    struct buf b;

    memcpy(text, data, size);
    text[size] = '\0';
    if (config_init(&c, &err) != ST_OK)
        abort();
    while ((line = strsep(&rest, "\n")) != NULL)
        (void)!config_load_line(&c, line, &err);
    (void)!config_check(&c, &err);
    buf_init(&b, 1 << 24);
    config_write_values(&c, &b);
    if (b.failed)
        abort();
    buf_fini(&b);
    config_fini(&c);
    free(text);
    return 0;
}
