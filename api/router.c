/* SPDX-License-Identifier: Apache-2.0 */
/* From a path to its route. */
#include "api/router.h"

#include <string.h>

enum { SEGMENTS_MAX = 8, SEGMENT_MAX = 256 };

struct path {
    char segments[SEGMENTS_MAX][SEGMENT_MAX];
    size_t count;
    bool slash; /* ends with one */
    bool empty; /* "//" somewhere */
    bool deep;  /* more segments than any route has */
};

/* Decodes one segment; false: none that we take. */
static bool
add_segment(struct path *p, struct slice text)
{
    char *out = p->segments[p->count];
    long n = query_decode(text, false, out, SEGMENT_MAX);

    if (n < 0 || strcmp(out, ".") == 0 || strcmp(out, "..") == 0)
        return false;
    p->count++;
    return true;
}

static bool
split(struct slice path, struct path *p)
{
    const char *at = path.ptr + 1, *end = path.ptr + path.len;

    *p = (struct path){.slash = path.len > 1 && end[-1] == '/'};
    while (at < end) {
        const char *stop = memchr(at, '/', (size_t)(end - at));

        if (stop == NULL)
            stop = end;
        if (stop == at)
            p->empty = true;
        else if (p->count == SEGMENTS_MAX)
            p->deep = true;
        else if (!add_segment(p, (struct slice){at, (size_t)(stop - at)}))
            return false;
        at = stop + 1;
    }
    return true;
}

/* Whether the segments are those of the pattern. */
static bool
matches(const char *pattern, const struct path *p, const char **id)
{
    const char *at = pattern;

    *id = "";
    for (size_t i = 0; i < p->count; i++) {
        size_t n = strcspn(++at, "/");

        if (at[0] == '{')
            *id = p->segments[i];
        else if (strlen(p->segments[i]) != n ||
                 memcmp(p->segments[i], at, n) != 0)
            return false;
        at += n;
        if (*at == '\0')
            return i + 1 == p->count;
    }
    return false;
}

enum route_verdict
router_find(const struct route *routes, struct slice path,
            const struct route **out, char id[PATH_ID_MAX + 1])
{
    struct path p;
    const char *found;

    id[0] = '\0';
    if (!split(path, &p))
        return ROUTE_BAD;
    if (p.empty || p.deep)
        return ROUTE_MISSING;
    for (const struct route *r = routes; r->pattern != NULL; r++) {
        if (!matches(r->pattern, &p, &found))
            continue;
        if (strlen(found) > PATH_ID_MAX)
            return ROUTE_MISSING;
        memcpy(id, found, strlen(found) + 1);
        *out = r;
        return p.slash ? ROUTE_SLASH : ROUTE_FOUND;
    }
    return ROUTE_MISSING;
}

void
router_allow(const struct route *r, struct buf *out)
{
    static const char *const names[ROUTE_METHODS] = {"GET", "HEAD", "POST",
                                                     "PUT", "DELETE"};

    for (size_t i = 0; i < ROUTE_METHODS; i++)
        if (r->handlers[i == HTTP_HEAD ? HTTP_GET : i] != NULL)
            buf_addf(out, "%s%s", out->len > 0 ? ", " : "", names[i]);
}
