/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the transport options; names keys. */
#include "store/redis/layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

static const double dflt_visibility_s = 3600, dflt_mutex_s = 300;

static char *
option(struct json_object *o, const char *name, const char *dflt)
{
    struct slice s = json_get_str(o, name);

    return s.ptr == NULL ? strdup(dflt) : strndup(s.ptr, s.len);
}

static enum status
read_steps(struct redis_layout *l, struct json_object *o, struct error *err)
{
    static const int dflt[] = {0, 3, 6, 9};
    struct json_object *a = json_get(o, "priority_steps");

    if (a == NULL) {
        memcpy(l->steps, dflt, sizeof dflt);
        l->step_count = sizeof dflt / sizeof *dflt;
        return ST_OK;
    }
    if (!json_object_is_type(a, json_type_array) ||
        json_object_array_length(a) == 0 ||
        json_object_array_length(a) > LAYOUT_STEPS_MAX)
        return error_set(err, ST_INVALID,
                         "broker_transport_options: priority_steps is no list "
                         "of 1 to %d numbers",
                         LAYOUT_STEPS_MAX);
    l->step_count = json_object_array_length(a);
    for (size_t i = 0; i < l->step_count; i++) {
        struct json_object *v = json_object_array_get_idx(a, i);
        l->steps[i] = json_object_get_int(v);
        if (!json_object_is_type(v, json_type_int) ||
            (i > 0 && l->steps[i] <= l->steps[i - 1]))
            return error_set(err, ST_INVALID,
                             "broker_transport_options: priority_steps must "
                             "be ascending numbers");
    }
    return ST_OK;
}

static enum status
read_order(struct redis_layout *l, struct json_object *o, struct error *err)
{
    struct slice s = json_get_str(o, "queue_order_strategy");

    l->order = ORDER_ROUND_ROBIN;
    if (s.ptr == NULL || strcmp(s.ptr, "round_robin") == 0)
        return ST_OK;
    if (strcmp(s.ptr, "priority") == 0)
        l->order = ORDER_PRIORITY;
    else if (strcmp(s.ptr, "sorted") == 0)
        l->order = ORDER_SORTED;
    else
        return error_set(err, ST_INVALID,
                         "broker_transport_options: queue_order_strategy is "
                         "round_robin, priority or sorted, not %.60s",
                         s.ptr);
    return ST_OK;
}

static char *
option_key(const struct redis_layout *l, struct json_object *o,
           const char *name, const char *dflt)
{
    char *text = option(o, name, dflt), *key = NULL;

    if (text != NULL && l->prefix != NULL)
        key = redis_layout_key(l, text, (struct slice){0});
    free(text);
    return key;
}

/* kombu writes the database for "{db}", and an empty text is none. */
static char *
fanout_prefix(struct json_object *o, int db, const char *dflt)
{
    struct slice s = json_get_str(o, "fanout_prefix");
    char *text = NULL;
    struct buf out;

    if (s.len == 0)
        return strdup(s.ptr == NULL ? dflt : "");
    buf_init(&out, 4096);
    for (const char *p = s.ptr, *at; *p != '\0'; p = at) {
        at = strstr(p, "{db}");
        if (at == NULL)
            at = p + strlen(p);
        buf_add(&out, (struct slice){p, (size_t)(at - p)});
        if (*at != '\0') {
            buf_addf(&out, "%d", db);
            at += 4;
        }
    }
    if (buf_take(&out, &text, NULL) != ST_OK)
        text = NULL;
    buf_fini(&out);
    return text;
}

static enum status
read_names(struct redis_layout *l, struct json_object *o, int db,
           struct error *err)
{
    struct json_object *fanout = json_get(o, "fanout_prefix");
    char text[24];

    (void)snprintf(text, sizeof text, "/%d.", db);
    l->prefix = option(o, "global_keyprefix", "");
    l->sep = option(o, "sep", "\x06\x16");
    l->unacked = option_key(l, o, "unacked_key", "unacked");
    l->unacked_index = option_key(l, o, "unacked_index_key", "unacked_index");
    l->unacked_mutex = option_key(l, o, "unacked_mutex_key", "unacked_mutex");
    if (json_object_is_type(fanout, json_type_boolean) &&
        !json_object_get_boolean(fanout))
        l->fanout_prefix = strdup("");
    else
        l->fanout_prefix = fanout_prefix(o, db, text);
    if (l->prefix == NULL || l->sep == NULL || l->unacked == NULL ||
        l->unacked_index == NULL || l->unacked_mutex == NULL ||
        l->fanout_prefix == NULL)
        return error_set(err, ST_NOMEM, "no memory for the key names");
    if (*l->sep == '\0')
        return error_set(err, ST_INVALID,
                         "broker_transport_options: sep is empty");
    return ST_OK;
}

static enum status
read_options(struct redis_layout *l, struct json_object *o, int db,
             struct error *err)
{
    enum status st = read_names(l, o, db, err);

    if (st == ST_OK)
        st = read_steps(l, o, err);
    if (st == ST_OK)
        st = read_order(l, o, err);
    if (st != ST_OK)
        return st;
    l->fanout_patterns = json_get_bool(o, "fanout_patterns", true);
    l->visibility_timeout =
        json_get_double(o, "visibility_timeout", dflt_visibility_s);
    l->mutex_expire = json_get_double(o, "unacked_mutex_expire", dflt_mutex_s);
    l->restore_limit = json_get_int(o, "unacked_restore_limit", 0);
    if (!(l->visibility_timeout > 0) || !(l->mutex_expire > 0) ||
        l->restore_limit < 0)
        return error_set(err, ST_INVALID,
                         "broker_transport_options: a timeout is not positive");
    return ST_OK;
}

enum status
redis_layout_init(struct redis_layout *l, const char *options, int db,
                  struct error *err)
{
    struct json_object *o = NULL;
    enum status st = ST_OK;

    *l = (struct redis_layout){0};
    if (options != NULL && *options != '\0')
        st = json_parse((struct slice){options, strlen(options)}, JSON_DEPTH,
                        &o, err);
    if (st == ST_OK && o != NULL && !json_object_is_type(o, json_type_object))
        st = error_set(err, ST_INVALID,
                       "broker_transport_options is no JSON object");
    if (st == ST_OK)
        st = read_options(l, o, db, err);
    json_object_put(o);
    if (st != ST_OK)
        redis_layout_fini(l);
    return st;
}

void
redis_layout_fini(struct redis_layout *l)
{
    free(l->prefix);
    free(l->sep);
    free(l->unacked);
    free(l->unacked_index);
    free(l->unacked_mutex);
    free(l->fanout_prefix);
    *l = (struct redis_layout){0};
}

void
redis_layout_suffix(const struct redis_layout *l, int priority, struct buf *out)
{
    int p = priority < 0 ? 0 : priority > 9 ? 9 : priority, step = l->steps[0];

    for (size_t i = 0; i < l->step_count; i++)
        if (l->steps[i] <= p)
            step = l->steps[i];
    if (step != 0)
        buf_addf(out, "%s%d", l->sep, step);
}

char *
redis_layout_key(const struct redis_layout *l, const char *text,
                 struct slice more)
{
    struct buf b;
    char *key = NULL;

    buf_init(&b, 64 * 1024);
    buf_addf(&b, "%s%s", l->prefix, text);
    buf_add(&b, more);
    return buf_take(&b, &key, NULL) == ST_OK ? key : NULL;
}

enum status
redis_result_prefix(const char *options, char **out, struct error *err)
{
    struct json_object *o = NULL;
    struct slice s;
    enum status st = ST_OK;

    if (*options != '\0')
        st = json_parse((struct slice){options, strlen(options)}, JSON_DEPTH,
                        &o, err);
    if (st != ST_OK)
        return st;
    s = json_get_str(o, "global_keyprefix");
    if (s.len == 0)
        *out = strdup("");
    else if (asprintf(out, "%.*s%s", (int)s.len, s.ptr,
                      strchr(":_-.", s.ptr[s.len - 1]) != NULL ? "" : "_") < 0)
        *out = NULL;
    json_object_put(o);
    return *out != NULL ? ST_OK
                        : error_set(err, ST_NOMEM, "no memory for a prefix");
}
