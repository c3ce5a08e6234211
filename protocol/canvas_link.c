/* SPDX-License-Identifier: Apache-2.0 */
/* Where a callback or an errback of a canvas ends up. */
#include <string.h>

#include "protocol/canvas.h"

static bool
holds(struct json_object *list, struct json_object *v)
{
    for (size_t i = 0; i < json_object_array_length(list); i++)
        if (json_object_equal(json_object_array_get_idx(list, i), v))
            return true;
    return false;
}

/* Adds to the list option, which may be absent or a lone signature, unless it
 * is in there already. */
static enum status
append_option(struct canvas *c, struct json_object *sig, const char *option,
              struct json_object *callback)
{
    struct json_object *options = canvas_options(sig);
    struct json_object *old = json_get(options, option), *list;
    enum status st = ST_OK;

    c->links += 1;
    if (json_object_is_type(old, json_type_array)) {
        c->links += json_object_array_length(old);
        if (c->links > CANVAS_LINKS_MAX)
            return error_set(c->err, ST_TOOBIG, "canvas: too many callbacks");
        /* A copy: lists are shared between what a canvas gave them to. */
        list = canvas_concat(old, NULL);
    } else {
        list = json_object_new_array();
        if (old != NULL)
            st = json_append(list, json_object_get(old));
    }
    if (st == ST_OK && list != NULL && !holds(list, callback))
        st = json_append(list, json_object_get(callback));
    if (st != ST_OK) {
        json_object_put(list);
        return canvas_nomem(c);
    }
    return json_set(options, option, list) == ST_OK ? ST_OK : canvas_nomem(c);
}

/* The first member stands for the group, and must not be handed its result. */
static enum status
link_group(struct canvas *c, struct json_object *tasks,
           struct json_object *callback)
{
    struct json_object *copy;
    enum status st;

    if (json_object_array_length(tasks) == 0)
        return ST_OK;
    copy = json_copy(callback);
    st = json_set(copy, "immutable", json_object_new_boolean(1));
    if (st != ST_OK)
        st = canvas_nomem(c);
    else
        st = canvas_link(c, json_object_array_get_idx(tasks, 0), "link", copy);
    json_object_put(copy);
    return st;
}

enum status
canvas_link(struct canvas *c, struct json_object *sig, const char *option,
            struct json_object *callback)
{
    struct json_object *kwargs = json_get(sig, "kwargs"), *tasks;
    enum status st = signature_check(sig, c->err);

    if (st != ST_OK)
        return st;
    if (signature_type(sig) == SIG_CHORD)
        return canvas_link(c, json_get(kwargs, "body"), option, callback);
    if (signature_type(sig) != SIG_GROUP)
        return append_option(c, sig, option, callback);
    tasks = json_get(kwargs, "tasks");
    if (strcmp(option, "link") == 0)
        return link_group(c, tasks, callback);
    for (size_t i = 0; i < json_object_array_length(tasks) && st == ST_OK; i++)
        st = canvas_link(c, json_object_array_get_idx(tasks, i), option,
                         callback);
    return st;
}

enum status
canvas_link_all(struct canvas *c, struct json_object *sig, const char *option,
                struct json_object *callbacks)
{
    enum status st = ST_OK;

    if (callbacks == NULL)
        return ST_OK;
    if (!json_object_is_type(callbacks, json_type_array)) {
        st = signature_check(callbacks, c->err);
        return st == ST_OK ? canvas_link(c, sig, option, callbacks) : st;
    }
    for (size_t i = 0; i < json_object_array_length(callbacks) && st == ST_OK;
         i++) {
        struct json_object *callback = json_object_array_get_idx(callbacks, i);

        st = signature_check(callback, c->err);
        if (st == ST_OK)
            st = canvas_link(c, sig, option, callback);
    }
    return st;
}
