/* SPDX-License-Identifier: Apache-2.0 */
/* Groups, and chords, which are groups whose members know a body. */
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "protocol/canvas.h"

/* Members on their way out. */
struct sending {
    struct canvas *c;
    char gid[TASK_ID_MAX + 1];
    struct json_object *members;  /* owned: flat */
    struct json_object *over;     /* owned: options for every member */
    struct json_object *partial;  /* borrowed or NULL */
    struct json_object *chord;    /* borrowed: the body; NULL: none */
    struct json_object *children; /* owned: result tuples */
    int64_t size;                 /* completions that the chord waits for */
    size_t last;                  /* first message of the last member */
    bool nested;                  /* a member's result is a group's */
};

static void
sending_fini(struct sending *s)
{
    json_object_put(s->members);
    json_object_put(s->over);
    json_object_put(s->children);
}

static struct json_object *
tasks_of(struct json_object *sig)
{
    return json_get(json_get(sig, "kwargs"), "tasks");
}

/* The group's id: the option task_id, or a new one. */
static enum status
set_gid(struct sending *s, struct json_object *options)
{
    struct slice id = json_get_str(options, "task_id");

    if (id.len > TASK_ID_MAX)
        return error_set(s->c->err, ST_INVALID, "canvas: an id of %zu bytes",
                         id.len);
    if (id.len == 0)
        id_new(s->gid);
    else
        memcpy(s->gid, id.ptr, id.len);
    return ST_OK;
}

/* Groups among the members are unrolled, in order. */
static enum status
flatten(struct canvas *c, struct json_object *group, struct json_object *out)
{
    struct json_object *tasks = tasks_of(group);
    enum status st;

    st = canvas_link_all(c, group, "link", signature_option(group, "link"));
    if (st == ST_OK)
        st = canvas_link_all(c, group, "link_error",
                             signature_option(group, "link_error"));
    for (size_t i = 0; i < json_object_array_length(tasks) && st == ST_OK;
         i++) {
        struct json_object *t = json_object_array_get_idx(tasks, i);

        st = signature_check(t, c->err);
        if (st != ST_OK)
            break;
        if (signature_type(t) == SIG_GROUP)
            st = flatten(c, t, out);
        else if (json_append(out, json_object_get(t)) != ST_OK)
            st = canvas_nomem(c);
    }
    return st;
}

static enum status
send_member(struct sending *s, struct json_object *sig, size_t i)
{
    struct canvas_place place = CANVAS_PLACE_INIT;
    struct canvas_result result = {0};
    struct json_object *tuple;
    struct slice id;
    enum status st;

    place.root_id = json_get_str(s->over, "root_id");
    place.group_id = slice_of(s->gid);
    place.chord = s->chord;
    place.group_index = (int64_t)i;
    st = canvas_freeze(s->c, sig, &place);
    if (st != ST_OK)
        return st;
    s->size += canvas_chord_size(sig);
    s->last = s->c->out->count;
    st = json_set(s->over, "group_index", json_object_new_int64((int64_t)i));
    if (st != ST_OK)
        return canvas_nomem(s->c);
    st = canvas_apply(s->c, sig, s->partial, s->over, &result);
    json_object_put(result.tuple);
    id = canvas_final_id(sig);
    if (st != ST_OK || id.ptr == NULL)
        return st;
    tuple = canvas_final_tuple(sig);
    if (tuple != NULL && json_object_array_get_idx(tuple, 1) != NULL)
        s->nested = true;
    return json_append(s->children, tuple) == ST_OK ? ST_OK
                                                    : canvas_nomem(s->c);
}

static enum status
send_members(struct sending *s)
{
    size_t n = json_object_array_length(s->members);
    enum status st = ST_OK;

    s->children = json_object_new_array();
    if (s->children == NULL)
        return canvas_nomem(s->c);
    for (size_t i = 0; i < n && st == ST_OK; i++)
        st = send_member(s, json_object_array_get_idx(s->members, i), i);
    return st;
}

/* The tuple of the group, whose children are given away. */
static enum status
finish(struct sending *s, struct canvas_result *out)
{
    out->tuple = canvas_tuple(slice_of(s->gid), s->children);
    s->children = NULL;
    return out->tuple != NULL ? ST_OK : canvas_nomem(s->c);
}

enum status
canvas_apply_group(struct canvas *c, struct json_object *sig,
                   struct json_object *partial, struct canvas_result *out)
{
    static const char *const own[] = {"task_id", "link", "link_error", NULL};
    struct json_object *options = canvas_options(sig);
    struct sending s = {.c = c, .partial = partial};
    enum status st = set_gid(&s, options);

    if (st != ST_OK)
        return st;
    s.members = json_object_new_array();
    s.over = canvas_without(options, own);
    s.chord = json_get(options, "chord");
    st = s.members != NULL
             ? json_set(s.over, "group_id", json_new_str(slice_of(s.gid)))
             : ST_NOMEM;
    if (st != ST_OK)
        st = canvas_nomem(c);
    if (st == ST_OK)
        st = flatten(c, sig, s.members);
    if (st == ST_OK)
        st = send_members(&s);
    if (st == ST_OK)
        st = finish(&s, out);
    if (st == ST_OK)
        memcpy(out->id, s.gid, sizeof(s.gid));
    sending_fini(&s);
    return st;
}

/* Kept sorted: a chord within the last member is complete before this one. */
static enum status
add_chord(struct sending *s)
{
    struct signature_messages *o = s->c->out;
    struct signature_chord chord = {.size = s->size, .last = s->last}, *chords;
    size_t i = o->chord_count;

    if (i == s->c->chord_cap) {
        size_t cap = i ? i * 2 : 2;

        chords = realloc(o->chords, cap * sizeof(*chords));
        if (chords == NULL)
            return canvas_nomem(s->c);
        o->chords = chords;
        s->c->chord_cap = cap;
    }
    chord.nested = s->nested;
    chord.body = json_object_get(s->chord);
    chord.results =
        canvas_tuple(slice_of(s->gid), json_object_get(s->children));
    if (chord.results == NULL) {
        json_object_put(chord.body);
        return canvas_nomem(s->c);
    }
    if (chord.last >= o->count)
        chord.last = o->count - 1; /* the last member is an empty chain */
    memcpy(chord.group, s->gid, sizeof(chord.group));
    for (; i > 0 && o->chords[i - 1].last > chord.last; i--)
        o->chords[i] = o->chords[i - 1];
    o->chords[i] = chord;
    o->chord_count++;
    return ST_OK;
}

/* Of a chord's options, the body gets all that concern the outside: its group,
 * its own chord, the rest of its chain. */
static enum status
prepare_body(struct canvas *c, struct json_object *options,
             struct json_object *body)
{
    static const char *const own[] = {"task_id", "link", "link_error", NULL};
    struct canvas_place place = CANVAS_PLACE_INIT;
    struct json_object *over, *body_options;
    enum status st = signature_check(body, c->err);

    if (st != ST_OK)
        return st;
    over = canvas_without(options, own);
    body_options = canvas_options(body);
    if (over == NULL || body_options == NULL ||
        canvas_merge(body_options, over) != ST_OK)
        st = canvas_nomem(c);
    json_object_put(over);
    if (st != ST_OK)
        return st;
    place.id = json_get_str(options, "task_id");
    place.root_id = json_get_str(body_options, "root_id");
    st = canvas_freeze(c, body, &place);
    if (st == ST_OK)
        st = canvas_link_all(c, body, "link", json_get(options, "link"));
    if (st == ST_OK)
        st = canvas_link_all(c, body, "link_error",
                             json_get(options, "link_error"));
    return st;
}

/* And the members get the rest, with the header's own. */
static enum status
prepare_header(struct sending *s, struct json_object *sig)
{
    static const char *const not_members[] = {
        "task_id",    "chain",    "chord",       "link",
        "link_error", "group_id", "group_index", NULL};
    struct json_object *header, *over;
    enum status st = canvas_make_header(s->c, sig);

    if (st != ST_OK)
        return st;
    header = json_get(json_get(sig, "kwargs"), "header");
    st = set_gid(s, json_get(header, "options"));
    if (st != ST_OK)
        return st;
    s->members = json_object_new_array();
    s->over = canvas_without(json_get(header, "options"), not_members);
    over = canvas_without(canvas_options(sig), not_members);
    if (s->members == NULL || s->over == NULL || over == NULL ||
        canvas_merge(s->over, over) != ST_OK ||
        canvas_share(s->over, "chord", s->chord) != ST_OK ||
        json_set(s->over, "group_id", json_new_str(slice_of(s->gid))) != ST_OK)
        st = canvas_nomem(s->c);
    json_object_put(over);
    return st == ST_OK ? flatten(s->c, header, s->members) : st;
}

/* Without members there is no one to start the body: it starts at once. */
static enum status
apply_body(struct canvas *c, struct json_object *body)
{
    struct json_object *none = json_object_new_array();
    struct canvas_result result = {0};
    enum status st;

    if (json_append(none, json_object_new_array()) != ST_OK)
        st = canvas_nomem(c);
    else
        st = canvas_apply(c, body, none, NULL, &result);
    json_object_put(result.tuple);
    json_object_put(none);
    return st;
}

enum status
canvas_apply_chord(struct canvas *c, struct json_object *sig,
                   struct json_object *partial, struct canvas_result *out)
{
    struct json_object *body = json_get(json_get(sig, "kwargs"), "body");
    struct json_object *args = canvas_concat(
        signature_immutable(sig) ? NULL : partial, json_get(sig, "args"));
    struct sending s = {.c = c, .chord = body, .partial = args};
    struct slice id;
    enum status st = args != NULL ? prepare_body(c, canvas_options(sig), body)
                                  : canvas_nomem(c);

    if (st == ST_OK)
        st = prepare_header(&s, sig);
    if (st == ST_OK)
        st = send_members(&s);
    if (st == ST_OK)
        st = s.size > 0 ? add_chord(&s) : apply_body(c, body);
    if (st == ST_OK)
        st = finish(&s, out);
    if (st == ST_OK) {
        id = canvas_final_id(body);
        if (id.len > TASK_ID_MAX)
            st = error_set(c->err, ST_INVALID, "canvas: an id of %zu bytes",
                           id.len);
        else if (id.len > 0)
            memcpy(out->id, id.ptr, id.len);
    }
    sending_fini(&s);
    json_object_put(args);
    return st;
}

/* The starmap of elements [at, at + n) of it. */
static struct json_object *
chunk(struct json_object *task, struct json_object *it, size_t at, size_t n)
{
    struct json_object *part = json_object_new_array();
    struct json_object *sig =
        signature_new(slice_of("celery.starmap"), NULL, NULL, true);
    struct json_object *kwargs = json_get(sig, "kwargs");
    enum status st = canvas_share(kwargs, "task", task);

    for (size_t i = at;
         i < at + n && i < json_object_array_length(it) && st == ST_OK; i++) {
        struct json_object *v = json_object_array_get_idx(it, i);

        st = v != NULL ? json_append(part, json_object_get(v))
                       : json_append_null(part);
    }
    if (st == ST_OK) {
        st = json_set(kwargs, "it", part);
        part = NULL;
    }
    if (st == ST_OK)
        st = json_set(sig, "subtask_type", json_new_str(slice_of("xstarmap")));
    if (st == ST_OK)
        return sig;
    json_object_put(part);
    json_object_put(sig);
    return NULL;
}

/* A group of starmaps, each of n elements. */
enum status
canvas_apply_chunks(struct canvas *c, struct json_object *sig,
                    struct canvas_result *out)
{
    struct json_object *kwargs = json_get(sig, "kwargs");
    struct json_object *it = json_get(kwargs, "it");
    size_t n = (size_t)json_get_int(kwargs, "n", 1);
    size_t length = json_object_array_length(it);
    struct json_object *tasks = json_object_new_array();
    struct json_object *group =
        signature_new(slice_of("celery.group"), NULL, NULL, false);
    enum status st = ST_OK;

    for (size_t at = 0; at < length && st == ST_OK;
         at += n < length - at ? n : length - at)
        st = json_append(tasks, chunk(json_get(kwargs, "task"), it, at,
                                      n < length - at ? n : length - at));
    if (st == ST_OK) {
        st = json_set(json_get(group, "kwargs"), "tasks", tasks);
        tasks = NULL;
    }
    if (st == ST_OK)
        st = json_set(group, "subtask_type", json_new_str(slice_of("group")));
    if (st == ST_OK)
        st = canvas_share(group, "options", canvas_options(sig));
    if (st != ST_OK)
        st = canvas_nomem(c);
    else
        st = canvas_apply_group(c, group, NULL, out);
    json_object_put(tasks);
    json_object_put(group);
    return st;
}
