/* SPDX-License-Identifier: Apache-2.0 */
/* The names of nodes. */
#include "worker/nodename.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

static void
add_escape(struct buf *b, char c, const char *host, uint32_t index)
{
    const char *dot = strchr(host, '.');
    int len = (int)(dot ? (size_t)(dot - host) : strlen(host));

    switch (c) {
    case 'h':
        buf_addf(b, "%s", host);
        break;
    case 'n':
        buf_addf(b, "%.*s", len, host);
        break;
    case 'd':
        buf_addf(b, "%s", dot ? dot + 1 : "");
        break;
    case 'i':
    case 'I':
        buf_addf(b, "%u", index);
        break;
    case '%':
        buf_addf(b, "%%");
        break;
    default:
        buf_addf(b, "%%%c", c);
    }
}

enum status
nodename_format(const char *pattern, const char *host, uint32_t index,
                char *out, size_t size, struct error *err)
{
    const char *p = pattern[0] ? pattern : "celery@%h";
    bool numbered = strstr(p, "%i") || strstr(p, "%I") || index <= 1;
    bool at = strchr(p, '@') != NULL;
    struct buf b;

    buf_init(&b, size - 1);
    for (; *p; p++) {
        struct slice one = {p, 1};

        if (*p == '@' && !numbered)
            buf_addf(&b, "-%u", index);
        if (*p == '%' && p[1])
            add_escape(&b, *++p, host, index);
        else
            buf_add(&b, one);
    }
    if (!at && !numbered)
        buf_addf(&b, "-%u", index);
    if (!at)
        buf_addf(&b, "@%s", host);
    if (b.failed) {
        buf_fini(&b);
        return error_set(err, ST_TOOBIG, "worker_hostname %s: too long",
                         pattern);
    }
    memcpy(out, b.data, b.len);
    out[b.len] = '\0';
    buf_fini(&b);
    return ST_OK;
}
