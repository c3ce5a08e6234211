/* SPDX-License-Identifier: Apache-2.0 */
/* The serializers, by name. */
#include "protocol/content.h"

#include "protocol/msgpack.h"

static const struct {
    const char *name, *mime, *charset;
} contents[] = {
    [CONTENT_JSON] = {"json", "application/json", "utf-8"},
    [CONTENT_MSGPACK] = {"msgpack", "application/x-msgpack", "binary"},
};

enum { CONTENTS = sizeof contents / sizeof *contents };

static bool
is_named(size_t i, struct slice name)
{
    return slice_is(name, contents[i].name) || slice_is(name, contents[i].mime);
}

enum status
content_find(struct slice name, enum content *out, struct error *err)
{
    for (size_t i = 0; i < CONTENTS; i++)
        if (is_named(i, name)) {
            *out = (enum content)i;
            return ST_OK;
        }
    return error_set(
        err, ST_INVALID, "no serializer %.*s: there are json and msgpack",
        (int)(name.len < 60 ? name.len : 60), name.ptr != NULL ? name.ptr : "");
}

const char *
content_mime(enum content c)
{
    return contents[c].mime;
}

const char *
content_charset(enum content c)
{
    return contents[c].charset;
}

enum content
content_guess(struct slice bytes)
{
    return bytes.len > 0 && (*bytes.ptr & 0x80) != 0 ? CONTENT_MSGPACK
                                                     : CONTENT_JSON;
}

bool
content_accepted(enum content c, const char *list)
{
    while (*list != '\0') {
        size_t n;

        list += strspn(list, " ,");
        n = strcspn(list, " ,");
        if (is_named(c, (struct slice){list, n}))
            return true;
        list += n;
    }
    return false;
}

enum status
content_encode(enum content c, struct json_object *v, struct buf *out,
               struct error *err)
{
    if (c == CONTENT_MSGPACK)
        return msgpack_encode(v, out, err);
    json_add(out, v);
    return out->failed ? error_set(err, ST_TOOBIG, "JSON is too large") : ST_OK;
}

enum status
content_decode(enum content c, struct slice bytes, struct json_object **out,
               struct error *err)
{
    if (c == CONTENT_MSGPACK)
        return msgpack_decode(bytes, out, err);
    return json_parse(bytes, JSON_DEPTH, out, err);
}
