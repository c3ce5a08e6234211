/* SPDX-License-Identifier: Apache-2.0 */
/* Freezing: every task gets its id before anything is sent, so that those that
 * wait for a result know whose; and the size of chords. */
#include <string.h>

#include "base/id.h"
#include "protocol/canvas.h"

static enum status
set_text(struct json_object *options, const char *key, struct slice s)
{
    return json_set(options, key, json_new_str(s));
}

/* The id option: what is there, else the given one, else a new one. */
static enum status
settle_id(struct json_object *options, struct slice id)
{
    char fresh[ID_LEN + 1];

    if (json_get_str(options, "task_id").len > 0)
        return ST_OK;
    if (id.len == 0) {
        id_new(fresh);
        id = (struct slice){fresh, ID_LEN};
    }
    return set_text(options, "task_id", id);
}

static enum status
freeze_task(struct canvas *c, struct json_object *sig,
            const struct canvas_place *p)
{
    struct json_object *o = canvas_options(sig);
    enum status st = settle_id(o, p->id);

    if (st == ST_OK && p->root_id.ptr != NULL)
        st = set_text(o, "root_id", p->root_id);
    if (st == ST_OK && c->ctx->reply_to.ptr != NULL &&
        json_get(o, "reply_to") == NULL)
        st = set_text(o, "reply_to", c->ctx->reply_to);
    if (st == ST_OK && p->group_id.ptr != NULL &&
        json_get(o, "group_id") == NULL)
        st = set_text(o, "group_id", p->group_id);
    if (st == ST_OK && p->chord != NULL)
        st = canvas_share(o, "chord", p->chord);
    if (st == ST_OK && p->group_index >= 0)
        st = json_set(o, "group_index", json_object_new_int64(p->group_index));
    return st == ST_OK ? ST_OK : canvas_nomem(c);
}

/* What a chain is frozen with is its last task's. */
static enum status
freeze_chain(struct canvas *c, struct json_object *sig,
             const struct canvas_place *p)
{
    struct json_object *tasks = json_get(json_get(sig, "kwargs"), "tasks");
    struct canvas_place inner = CANVAS_PLACE_INIT, last = *p;
    size_t n = json_object_array_length(tasks);
    enum status st = ST_OK;

    inner.root_id = p->root_id;
    if (last.id.len == 0)
        last.id = json_get_str(json_get(sig, "options"), "task_id");
    for (size_t i = 0; i < n && st == ST_OK; i++)
        st = canvas_freeze(c, json_object_array_get_idx(tasks, i),
                           i + 1 < n ? &inner : &last);
    return st;
}

/* A group inside another takes that one's id. */
static enum status
freeze_group(struct canvas *c, struct json_object *sig,
             const struct canvas_place *p)
{
    struct json_object *tasks = json_get(json_get(sig, "kwargs"), "tasks");
    struct canvas_place member = *p;
    enum status st = settle_id(canvas_options(sig), p->group_id);

    if (st != ST_OK)
        return canvas_nomem(c);
    member.id = (struct slice){0};
    for (size_t i = 0; i < json_object_array_length(tasks) && st == ST_OK;
         i++) {
        member.group_index = (int64_t)i;
        st = canvas_freeze(c, json_object_array_get_idx(tasks, i), &member);
    }
    return st;
}

/* A header is a list, a group, a chain (whose tasks then run in parallel, as in
 * Python), or one lone signature. */
static struct json_object *
take_header_tasks(struct json_object *header)
{
    struct json_object *list;

    if (json_object_is_type(header, json_type_array))
        return json_object_get(header);
    if (signature_type(header) == SIG_CHAIN)
        return json_object_get(json_get(json_get(header, "kwargs"), "tasks"));
    list = json_object_new_array();
    if (json_append(list, json_object_get(header)) == ST_OK)
        return list;
    json_object_put(list);
    return NULL;
}

enum status
canvas_make_header(struct canvas *c, struct json_object *chord)
{
    struct json_object *kwargs = json_get(chord, "kwargs");
    struct json_object *header = json_get(kwargs, "header");
    struct json_object *sig = NULL;
    enum status st;

    if (json_object_is_type(header, json_type_object)) {
        st = signature_check(header, c->err);
        if (st != ST_OK)
            return st;
        if (signature_type(header) == SIG_GROUP) {
            st = settle_id(canvas_options(header), (struct slice){0});
            return st == ST_OK ? ST_OK : canvas_nomem(c);
        }
    }
    sig = signature_new((struct slice){"celery.group", 12}, NULL, NULL, false);
    st = json_set(json_get(sig, "kwargs"), "tasks", take_header_tasks(header));
    if (st == ST_OK)
        st = set_text(sig, "subtask_type", (struct slice){"group", 5});
    if (st == ST_OK)
        st = settle_id(canvas_options(sig), (struct slice){0});
    if (st == ST_OK)
        st = canvas_share(kwargs, "header", sig);
    json_object_put(sig);
    return st == ST_OK ? ST_OK : canvas_nomem(c);
}

/* Python puts the body into the options of every header task here already, and
 * again when it sends them; once is enough. */
static enum status
freeze_chord(struct canvas *c, struct json_object *sig,
             const struct canvas_place *p)
{
    struct json_object *kwargs = json_get(sig, "kwargs");
    struct canvas_place member = CANVAS_PLACE_INIT, body = *p;
    struct json_object *tasks;
    enum status st;

    member.root_id = p->root_id;
    if (body.id.len == 0)
        body.id = json_get_str(json_get(sig, "options"), "task_id");
    st = canvas_freeze(c, json_get(kwargs, "body"), &body);
    if (st == ST_OK)
        st = canvas_make_header(c, sig);
    if (st != ST_OK)
        return st;
    tasks = canvas_header_tasks(sig);
    for (size_t i = 0; i < json_object_array_length(tasks) && st == ST_OK;
         i++) {
        member.group_index = (int64_t)i;
        st = canvas_freeze(c, json_object_array_get_idx(tasks, i), &member);
    }
    if (st != ST_OK)
        return st;
    st = canvas_share(canvas_options(sig), "task_id",
                      signature_option(json_get(kwargs, "header"), "task_id"));
    return st == ST_OK ? ST_OK : canvas_nomem(c);
}

enum status
canvas_freeze(struct canvas *c, struct json_object *sig,
              const struct canvas_place *place)
{
    enum status st = signature_check(sig, c->err);

    if (st != ST_OK)
        return st;
    switch (signature_type(sig)) {
    case SIG_CHAIN:
        return freeze_chain(c, sig, place);
    case SIG_GROUP:
        return freeze_group(c, sig, place);
    case SIG_CHORD:
        return freeze_chord(c, sig, place);
    case SIG_TASK:
    case SIG_XMAP:
    case SIG_XSTARMAP:
    case SIG_CHUNKS:
        break;
    }
    return freeze_task(c, sig, place);
}

struct slice
canvas_final_id(struct json_object *sig)
{
    struct json_object *kwargs = json_get(sig, "kwargs");
    struct json_object *tasks = json_get(kwargs, "tasks");
    struct slice id = {0};

    switch (signature_type(sig)) {
    case SIG_CHORD:
        return canvas_final_id(json_get(kwargs, "body"));
    case SIG_CHAIN:
        for (size_t i = json_object_array_length(tasks); i-- > 0;) {
            id = canvas_final_id(json_object_array_get_idx(tasks, i));
            if (id.ptr != NULL)
                break;
        }
        return id;
    default:
        return json_str(signature_option(sig, "task_id"));
    }
}

static struct json_object *
group_tuple(struct json_object *group)
{
    struct json_object *tasks = json_get(json_get(group, "kwargs"), "tasks");
    struct json_object *children = json_object_new_array();
    enum status st = children != NULL ? ST_OK : ST_NOMEM;

    for (size_t i = 0; i < json_object_array_length(tasks) && st == ST_OK;
         i++) {
        struct json_object *t = json_object_array_get_idx(tasks, i);

        if (canvas_final_id(t).ptr != NULL)
            st = json_append(children, canvas_final_tuple(t));
    }
    if (st == ST_OK)
        return canvas_tuple(json_str(signature_option(group, "task_id")),
                            children);
    json_object_put(children);
    return NULL;
}

struct json_object *
canvas_final_tuple(struct json_object *sig)
{
    struct json_object *kwargs = json_get(sig, "kwargs");
    struct json_object *tasks = json_get(kwargs, "tasks");

    switch (signature_type(sig)) {
    case SIG_CHORD:
        return canvas_final_tuple(json_get(kwargs, "body"));
    case SIG_GROUP:
        return group_tuple(sig);
    case SIG_CHAIN:
        for (size_t i = json_object_array_length(tasks); i-- > 0;) {
            struct json_object *t = json_object_array_get_idx(tasks, i);

            if (canvas_final_id(t).ptr != NULL)
                return canvas_final_tuple(t);
        }
        return NULL;
    default:
        return canvas_tuple(canvas_final_id(sig), NULL);
    }
}

struct json_object *
canvas_header_tasks(struct json_object *chord)
{
    struct json_object *header = json_get(json_get(chord, "kwargs"), "header");

    return json_get(json_get(header, "kwargs"), "tasks");
}

int64_t
canvas_chord_size(struct json_object *sig)
{
    struct json_object *tasks = json_get(json_get(sig, "kwargs"), "tasks");
    int64_t size = 0;

    switch (signature_type(sig)) {
    case SIG_GROUP:
        for (size_t i = 0; i < json_object_array_length(tasks); i++)
            size += canvas_chord_size(json_object_array_get_idx(tasks, i));
        return size;
    case SIG_CHAIN:
        for (size_t i = json_object_array_length(tasks); i-- > 0 && size == 0;)
            size = canvas_chord_size(json_object_array_get_idx(tasks, i));
        return size;
    case SIG_CHORD:
        return canvas_chord_size(json_get(json_get(sig, "kwargs"), "body"));
    default:
        return 1;
    }
}
