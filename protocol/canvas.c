/* SPDX-License-Identifier: Apache-2.0 */
/* Applying signatures: the dispatch, and what the canvas_*.c files share. */
#include "protocol/canvas.h"

#include <stdlib.h>
#include <string.h>

enum status
canvas_nomem(struct canvas *c)
{
    return error_set(c->err, ST_NOMEM, "canvas: out of memory");
}

struct json_object *
canvas_options(struct json_object *sig)
{
    struct json_object *options = json_get(sig, "options");

    if (options != NULL)
        return options;
    options = json_object_new_object();
    return json_set(sig, "options", options) == ST_OK ? options : NULL;
}

enum status
canvas_share(struct json_object *obj, const char *key, struct json_object *v)
{
    return json_set(obj, key, json_object_get(v));
}

static enum status
extend(struct json_object *to, struct json_object *from)
{
    size_t n = json_object_is_type(from, json_type_array)
                   ? json_object_array_length(from)
                   : 0;
    enum status st = ST_OK;

    for (size_t i = 0; i < n && st == ST_OK; i++) {
        struct json_object *v = json_object_array_get_idx(from, i);

        st = v != NULL ? json_append(to, json_object_get(v))
                       : json_append_null(to);
    }
    return st;
}

struct json_object *
canvas_concat(struct json_object *a, struct json_object *b)
{
    struct json_object *out = json_object_new_array();

    if (out == NULL)
        return NULL;
    if (extend(out, a) == ST_OK && extend(out, b) == ST_OK)
        return out;
    json_object_put(out);
    return NULL;
}

static bool
is_among(const char *key, const char *const *names)
{
    for (; *names != NULL; names++)
        if (strcmp(key, *names) == 0)
            return true;
    return false;
}

struct json_object *
canvas_without(struct json_object *from, const char *const *without)
{
    struct json_object *out = json_object_new_object();
    struct json_object_iter it;

    if (out == NULL || from == NULL)
        return out;
    json_object_object_foreachC(from, it)
    {
        if (it.val == NULL || is_among(it.key, without))
            continue;
        if (canvas_share(out, it.key, it.val) != ST_OK) {
            json_object_put(out);
            return NULL;
        }
    }
    return out;
}

struct json_object *
canvas_tuple(struct slice id, struct json_object *children)
{
    struct json_object *outer = json_object_new_array();
    struct json_object *inner = json_object_new_array();
    enum status st = json_append(inner, json_new_str(id));

    if (st == ST_OK)
        st = json_append_null(inner);
    if (st == ST_OK) {
        st = json_append(outer, inner);
        inner = NULL;
    }
    if (st == ST_OK && children != NULL) {
        st = json_append(outer, children);
        children = NULL;
    } else if (st == ST_OK) {
        st = json_append_null(outer);
    }
    if (st == ST_OK)
        return outer;
    json_object_put(inner);
    json_object_put(children);
    json_object_put(outer);
    return NULL;
}

/* Stamps and the group of a signature are its own: what the sender says does
 * not replace them. */
static bool
is_kept(struct json_object *options, const char *key)
{
    struct json_object *names = json_get(options, "stamped_headers");

    if (json_get(options, key) == NULL)
        return false;
    if (strcmp(key, "group_id") == 0 || strcmp(key, "stamped_headers") == 0)
        return true;
    if (!json_object_is_type(names, json_type_array))
        return false;
    for (size_t i = 0; i < json_object_array_length(names); i++) {
        struct slice s = json_str(json_object_array_get_idx(names, i));

        if (s.ptr != NULL && strcmp(s.ptr, key) == 0)
            return true;
    }
    return false;
}

/* What is left of an outer chain comes, in the reversed list, before what the
 * signature has left of its own: the own runs first. */
static enum status
merge_chain(struct json_object *options, struct json_object *outer)
{
    return json_set(options, "chain",
                    canvas_concat(outer, json_get(options, "chain")));
}

enum status
canvas_merge(struct json_object *options, struct json_object *over)
{
    struct json_object_iter it;
    enum status st = ST_OK;

    if (over == NULL)
        return ST_OK;
    json_object_object_foreachC(over, it)
    {
        if (it.val == NULL || is_kept(options, it.key))
            continue;
        st = strcmp(it.key, "chain") == 0
                 ? merge_chain(options, it.val)
                 : canvas_share(options, it.key, it.val);
        if (st != ST_OK)
            break;
    }
    return st;
}

enum status
canvas_apply(struct canvas *c, struct json_object *sig,
             struct json_object *partial, struct json_object *over,
             struct canvas_result *out)
{
    struct json_object *options;
    enum status st = signature_check(sig, c->err);

    *out = (struct canvas_result){0};
    if (st != ST_OK)
        return st;
    options = canvas_options(sig);
    if (options == NULL || canvas_merge(options, over) != ST_OK)
        return canvas_nomem(c);
    switch (signature_type(sig)) {
    case SIG_TASK:
    case SIG_XMAP:
    case SIG_XSTARMAP:
        return canvas_send(c, sig, partial, out);
    case SIG_CHAIN:
        return canvas_apply_chain(c, sig, partial, out);
    case SIG_GROUP:
        return canvas_apply_group(c, sig, partial, out);
    case SIG_CHORD:
        return canvas_apply_chord(c, sig, partial, out);
    case SIG_CHUNKS:
        return canvas_apply_chunks(c, sig, out);
    }
    return ST_OK;
}

/* What the sender adds to every message: its overrides as options. */
static struct json_object *
overrides(const struct signature_context *ctx)
{
    struct json_object *over = json_object_new_object();
    enum status st = over != NULL ? ST_OK : ST_NOMEM;

    if (st == ST_OK && ctx->root_id.ptr != NULL)
        st = json_set(over, "root_id", json_new_str(ctx->root_id));
    if (st == ST_OK && ctx->parent_id.ptr != NULL)
        st = json_set(over, "parent_id", json_new_str(ctx->parent_id));
    if (st == ST_OK && ctx->chain != NULL)
        st = json_set(over, "chain", json_copy(ctx->chain));
    if (st == ST_OK)
        return over;
    json_object_put(over);
    return NULL;
}

enum status
signature_apply(struct json_object *sig, const struct signature_context *ctx,
                struct signature_messages *out, struct error *err)
{
    struct canvas c = {.ctx = ctx, .out = out, .err = err};
    struct canvas_result result = {0};
    struct json_object *copy = NULL, *over = NULL;
    enum status st;

    *out = (struct signature_messages){0};
    st = signature_check(sig, err);
    if (st != ST_OK)
        return st;
    copy = json_copy(sig);
    over = overrides(ctx);
    if (copy == NULL || over == NULL)
        st = canvas_nomem(&c);
    else
        st = canvas_apply(&c, copy, ctx->partial, over, &result);
    json_object_put(over);
    json_object_put(copy);
    if (st != ST_OK) {
        json_object_put(result.tuple);
        signature_messages_fini(out);
        return st;
    }
    out->children = result.tuple;
    memcpy(out->result_id, result.id, sizeof(out->result_id));
    return ST_OK;
}

void
signature_messages_fini(struct signature_messages *m)
{
    for (size_t i = 0; i < m->count; i++)
        message_free(m->items[i].msg);
    for (size_t i = 0; i < m->chord_count; i++) {
        json_object_put(m->chords[i].body);
        json_object_put(m->chords[i].results);
    }
    free(m->items);
    free(m->chords);
    json_object_put(m->children);
    *m = (struct signature_messages){0};
}
