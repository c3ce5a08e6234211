/* SPDX-License-Identifier: Apache-2.0 */
/* Request heads: whatever comes in, and however it is cut, the guard gives one
 * verdict, and what it has taken passes the query's decoder. */
#include "api/guard.h"
#include "api/query.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static long
scan(const char *p, size_t n, size_t step)
{
    struct guard_refusal why = {0, NULL};
    size_t seen = 0;
    long end = 0;

    for (size_t at = step; end == 0; at += step) {
        end = guard_scan(p, at < n ? at : n, &seen, &why);
        if (at >= n)
            break;
    }
    return end;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_request rq;
    static struct query q;
    struct guard_refusal why = {0, NULL};
    const char *p = (const char *)data;
    size_t n = size < GUARD_HEAD_MAX ? size : GUARD_HEAD_MAX;
    long end = scan(p, n, n ? n : 1);

    if (scan(p, n, 1) != end)
        abort();
    if (end <= 0)
        return 0;
    if (guard_read((struct slice){p, (size_t)end}, 1 << 20, &rq, &why)) {
        if (rq.chunked && rq.content_length > 0)
            abort(); /* where the body ends would be said twice */
        (void)query_parse(&q, rq.query);
    } else if (why.status < 400 || why.status > 599) {
        abort();
    }
    return 0;
}
