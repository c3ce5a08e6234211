/* SPDX-License-Identifier: Apache-2.0 */
/* URLs: no crash, and a password is in the redacted text only if it is
 * elsewhere in the URL too. */
#include "base/url.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), shown[64], secret[2000];
    struct error err;
    struct url u;

    memcpy(text, data, size);
    text[size] = '\0';
    url_redacted(text, shown, sizeof(shown));
    if (strlen(shown) >= sizeof(shown))
        abort();
    if (url_parse(text, &u, &err) == ST_OK) {
        if (u.port < 0 || u.port > 65535)
            abort();
        free(url_query(&u, "a"));
        free(url_query(&u, ""));
        url_fini(&u);
    }
    free(text);

    /* The input as a password: every byte that ends the authority encoded. */
    if (size > 0 && size < 1000) {
        size_t n = 0;

        memcpy(secret, "redis://u:SECRET", 16);
        n = 16;
        for (size_t i = 0; i < size; i++)
            if (data[i] != '\0' && strchr("/?#", data[i]) == NULL)
                secret[n++] = (char)data[i];
        memcpy(secret + n, "@h/0", 5);
        url_redacted(secret, shown, sizeof(shown));
        if (strstr(shown, "SECRET") != NULL)
            abort();
    }
    return 0;
}
