/* SPDX-License-Identifier: Apache-2.0 */
/* Reads and searches the setting task_routes (Celery's MapRoute). */
#include "protocol/routes.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/glob.h"
#include "protocol/queue_def.h"
#include "protocol/task.h"

static enum status
bad(struct error *err, struct slice key, const char *what, const char *why)
{
    return error_set(err, ST_INVALID, "task_routes: \"%.*s\": %s%s",
                     (int)(key.len < 80 ? key.len : 80),
                     key.ptr == NULL ? "" : key.ptr, what, why);
}

/* ---- where to ---- */

static enum status
check_number(struct slice key, const char *name, struct json_object *v,
             int64_t min, int64_t max, struct error *err)
{
    int64_t n = json_object_get_int64(v);

    if (!json_object_is_type(v, json_type_int) || n < min || n > max)
        return error_set(err, ST_INVALID,
                         "task_routes: \"%.*s\": %s is not a number from %d to "
                         "%d",
                         (int)(key.len < 80 ? key.len : 80), key.ptr, name,
                         (int)min, (int)max);
    return ST_OK;
}

static bool
is_text_option(const char *name)
{
    static const char *const names[] = {"queue", "exchange", "exchange_type",
                                        "routing_key"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static enum status
check_to(struct slice key, struct json_object *to, struct error *err)
{
    struct json_object_iter it;
    struct slice s = json_str(to);
    enum status st = ST_OK;

    if (s.ptr != NULL)
        return s.len > 0 && s.len <= QUEUE_NAME_MAX
                   ? ST_OK
                   : bad(err, key, "",
                         "the name of a queue has 1 to 255 "
                         "bytes");
    if (!json_object_is_type(to, json_type_object))
        return bad(err, key, "",
                   "is neither the name of a queue nor a JSON "
                   "object");
    json_object_object_foreachC(to, it)
    {
        s = json_str(it.val);
        if (it.val == NULL)
            continue;
        if (is_text_option(it.key)) {
            if (s.ptr == NULL || s.len > QUEUE_NAME_MAX)
                st = bad(err, key, it.key, " is not a text of up to 255 bytes");
        } else if (strcmp(it.key, "priority") == 0) {
            st = check_number(key, it.key, it.val, 0, 255, err);
        } else if (strcmp(it.key, "delivery_mode") == 0) {
            st = check_number(key, it.key, it.val, 1, 2, err);
        } else {
            st = bad(err, key, it.key, " is no option of a route here");
        }
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

/* ---- which tasks ---- */

static enum status
compile(struct route_item *item, struct error *err)
{
    struct buf text;
    char why[80];
    int rc;

    buf_init(&text, (size_t)64 * 1024);
    buf_addf(&text, "^(%s)", item->text.ptr); /* Python's match: at the start */
    if (text.failed) {
        buf_fini(&text);
        return error_set(err, ST_TOOBIG, "task_routes: too long a regex");
    }
    rc = regcomp(&item->regex, text.data, REG_EXTENDED | REG_NOSUB);
    buf_fini(&text);
    if (rc == 0) {
        item->match = ROUTE_REGEX;
        return ST_OK;
    }
    (void)regerror(rc, NULL, why, sizeof why);
    return bad(err, item->text, "is no regular expression: ", why);
}

/* key: the name or glob, or {"regex": text}. */
static enum status
add(struct routes *r, struct json_object *key, struct slice name,
    struct json_object *to, struct error *err)
{
    struct slice regex = json_get_str(key, "regex");
    struct route_item *item, *items;

    if (r->count == ROUTES_MAX)
        return error_set(err, ST_TOOBIG, "task_routes: more than %d entries",
                         ROUTES_MAX);
    items = realloc(r->items, (r->count + 1) * sizeof *items);
    if (items == NULL)
        return error_set(err, ST_NOMEM, "task_routes: out of memory");
    r->items = items;
    item = &items[r->count];
    *item = (struct route_item){.map = r->maps, .text = name, .to = to};
    if (regex.ptr != NULL) {
        item->text = regex;
        if (compile(item, err) != ST_OK)
            return err->code;
    } else if (name.ptr == NULL) {
        return error_set(err, ST_INVALID,
                         "task_routes: an entry names its tasks neither by a "
                         "text nor by {\"regex\": text}");
    } else if (memchr(name.ptr, '*', name.len) != NULL) {
        item->match = ROUTE_GLOB;
    }
    r->count++;
    return check_to(item->text, to, err);
}

static enum status
add_object(struct routes *r, struct json_object *map, struct error *err)
{
    struct json_object_iter it;
    enum status st = ST_OK;

    json_object_object_foreachC(map, it)
    {
        st = add(r, NULL, slice_of(it.key), it.val, err);
        if (st != ST_OK)
            break;
    }
    return st;
}

static bool
is_key(struct json_object *v)
{
    return json_object_is_type(v, json_type_string) ||
           json_get(v, "regex") != NULL;
}

static bool
is_pair(struct json_object *v)
{
    return json_object_is_type(v, json_type_array) &&
           json_object_array_length(v) == 2 &&
           is_key(json_object_array_get_idx(v, 0));
}

static enum status
add_pairs(struct routes *r, struct json_object *list, struct error *err)
{
    size_t n = json_object_array_length(list);
    enum status st = ST_OK;

    for (size_t i = 0; i < n && st == ST_OK; i++) {
        struct json_object *pair = json_object_array_get_idx(list, i);
        struct json_object *key = json_object_array_get_idx(pair, 0);

        if (!is_pair(pair))
            return error_set(err, ST_INVALID,
                             "task_routes: element %zu is no pair of tasks and "
                             "route",
                             i);
        st =
            add(r, key, json_str(key), json_object_array_get_idx(pair, 1), err);
    }
    return st;
}

/* Pairs that stand in the list itself are one map. */
static enum status
add_list(struct routes *r, struct json_object *list, struct error *err)
{
    size_t n = json_object_array_length(list);
    enum status st = ST_OK;

    if (n > 0 && is_pair(json_object_array_get_idx(list, 0)))
        return add_pairs(r, list, err);
    for (size_t i = 0; i < n && st == ST_OK; i++, r->maps++) {
        struct json_object *map = json_object_array_get_idx(list, i);

        if (json_object_is_type(map, json_type_object))
            st = add_object(r, map, err);
        else if (json_object_is_type(map, json_type_array))
            st = add_pairs(r, map, err);
        else
            st = error_set(err, ST_INVALID,
                           "task_routes: element %zu is neither a JSON object "
                           "nor a list of pairs (a router written in Python "
                           "cannot be called here)",
                           i);
    }
    return st;
}

/* ---- exported ---- */

enum status
routes_init(struct routes *r, const char *text, struct error *err)
{
    struct error why;
    enum status st;

    *r = (struct routes){0};
    if (*text == '\0')
        return ST_OK;
    st = json_parse(slice_of(text), JSON_DEPTH, &r->doc, &why);
    if (st != ST_OK)
        return error_set(err, st == ST_PROTO ? ST_INVALID : st,
                         "task_routes: %s", why.text);
    if (json_object_is_type(r->doc, json_type_object))
        st = add_object(r, r->doc, err);
    else if (json_object_is_type(r->doc, json_type_array))
        st = add_list(r, r->doc, err);
    else
        st = error_set(err, ST_INVALID,
                       "task_routes: is neither a JSON object nor an array");
    if (st != ST_OK)
        routes_fini(r);
    return st;
}

void
routes_fini(struct routes *r)
{
    for (size_t i = 0; i < r->count; i++)
        if (r->items[i].match == ROUTE_REGEX)
            regfree(&r->items[i].regex);
    free(r->items);
    json_object_put(r->doc);
    *r = (struct routes){0};
}

static bool
matches(const struct route_item *item, struct slice task, const char *name)
{
    switch (item->match) {
    case ROUTE_GLOB:
        return glob_match(item->text, task);
    case ROUTE_REGEX:
        return regexec(&item->regex, name, 0, NULL, 0) == 0;
    case ROUTE_NAME:
        break;
    }
    return false;
}

/* Of one map, which begins at items[at]; *end: where the next begins. */
static struct json_object *
find_in_map(const struct routes *r, size_t at, size_t *end, struct slice task,
            const char *name)
{
    size_t i = at;
    struct json_object *found = NULL;

    for (; i < r->count && r->items[i].map == r->items[at].map; i++) {
        const struct route_item *item = &r->items[i];

        if (item->match == ROUTE_NAME && item->text.len == task.len &&
            memcmp(item->text.ptr, task.ptr, task.len) == 0)
            found = item->to; /* as in a dict, the last of equal names */
    }
    *end = i;
    for (i = at; i < *end && found == NULL; i++)
        if (matches(&r->items[i], task, name))
            found = r->items[i].to;
    return found;
}

struct json_object *
routes_find(const struct routes *r, struct slice task)
{
    char name[TASK_NAME_MAX + 1];
    struct json_object *found = NULL;

    if (task.len > TASK_NAME_MAX || task.ptr == NULL)
        return NULL;
    memcpy(name, task.ptr, task.len);
    name[task.len] = '\0';
    for (size_t i = 0, end; i < r->count && found == NULL; i = end)
        found = find_in_map(r, i, &end, task, name);
    return found;
}
