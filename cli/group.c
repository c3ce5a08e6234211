/* SPDX-License-Identifier: Apache-2.0 */
/* Saved groups on the command line. */
#include "cli/group.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "protocol/state.h"

enum { MEMBERS_MAX = 100000, LOOK_S = 5 };

struct member {
    struct group *group;
    struct slice id; /* in the tuple */
    struct result_watch *watch;
    char *line; /* owned: "STATUS VALUE"; NULL: not ended */
    bool success;
};

struct group {
    struct json_object *tuple; /* owned; NULL: none is saved */
    struct member *members;
    size_t count, open;
    bool done;
    enum status st;
};

static void
got_tuple(void *arg, enum status st, struct json_object *tuple)
{
    struct group *g = arg;

    g->tuple = json_object_get(tuple);
    g->st = st;
    g->done = true;
}

/* Counts the members that are no groups themselves; the second time it fills
 * them in. */
static enum status
collect(struct group *g, struct json_object *results, int depth)
{
    size_t n = json_object_array_length(results);

    for (size_t i = 0; i < n; i++) {
        struct json_object *t = json_object_array_get_idx(results, i);
        struct json_object *pair, *inner;
        struct slice id;

        if (!json_object_is_type(t, json_type_array) || depth > JSON_DEPTH ||
            g->count >= MEMBERS_MAX)
            return ST_PROTO;
        pair = json_object_array_get_idx(t, 0);
        inner = json_object_array_get_idx(t, 1);
        if (json_object_is_type(inner, json_type_array)) {
            if (collect(g, inner, depth + 1) != ST_OK)
                return ST_PROTO;
            continue;
        }
        id = json_object_is_type(pair, json_type_array)
                 ? json_str(json_object_array_get_idx(pair, 0))
                 : json_str(pair);
        if (id.ptr == NULL)
            return ST_PROTO;
        if (g->members != NULL)
            g->members[g->count] = (struct member){.group = g, .id = id};
        g->count++;
    }
    return ST_OK;
}

static enum status
read_members(struct group *g)
{
    struct json_object *results = json_object_array_get_idx(g->tuple, 1);
    enum status st = ST_PROTO;

    if (json_object_is_type(results, json_type_array))
        st = collect(g, results, 0);
    if (st != ST_OK)
        return st;
    g->members = calloc(g->count + 1, sizeof(*g->members));
    if (g->members == NULL)
        return ST_NOMEM;
    g->count = 0;
    return collect(g, results, 0);
}

static void
describe(struct member *m, const struct task_state *ts)
{
    struct buf b;

    buf_init(&b, 64 * 1024 * 1024);
    m->success = slice_is(ts->status, "SUCCESS");
    buf_add(&b, ts->status);
    buf_addf(&b, " ");
    if (m->success || !state_is_ready(ts->status))
        json_add(&b, ts->result);
    else if (ts->result != NULL)
        state_exception_repr(ts->result, &b);
    if (buf_take(&b, &m->line, NULL) != ST_OK)
        m->line = NULL;
    buf_fini(&b);
}

static void
one_less(struct group *g)
{
    if (--g->open == 0)
        g->done = true;
}

static void
on_end(void *arg, enum status st, const struct task_state *ts)
{
    struct member *m = arg;

    m->watch = NULL;
    if (st == ST_OK && ts != NULL)
        describe(m, ts);
    one_less(m->group);
}

static void
on_forgotten(void *arg, enum status st, const struct task_state *ts)
{
    (void)st;
    (void)ts;
    one_less(arg);
}

/* Waits for all; then what has not ended is asked for its state. */
static void
wait_members(struct client *k, struct group *g, double timeout)
{
    const struct result_ops *ops = k->result->ops;
    struct error err;

    g->open = g->count;
    g->done = g->count == 0;
    for (size_t i = 0; i < g->count; i++) {
        struct member *m = &g->members[i];

        m->watch = ops->watch(k->result, m->id, on_end, m);
        if (m->watch == NULL)
            one_less(g);
    }
    if (client_run(k, &g->done, timeout, &err) == ST_OK)
        return;
    g->open = 1; /* none is missed while they are asked */
    for (size_t i = 0; i < g->count; i++) {
        struct member *m = &g->members[i];

        if (m->watch == NULL)
            continue;
        ops->unwatch(k->result, m->watch);
        g->open++;
        ops->get(k->result, m->id, on_end, m);
    }
    one_less(g);
    (void)client_run(k, &g->done, LOOK_S, &err);
}

static int
print_members(const struct group *g)
{
    int rc = EXIT_OK;

    for (size_t i = 0; i < g->count; i++) {
        const struct member *m = &g->members[i];

        printf("%.*s %s\n", (int)m->id.len, m->id.ptr,
               m->line != NULL ? m->line : "PENDING");
        if (!m->success)
            rc = EXIT_FAILED;
    }
    return rc;
}

static void
forget_all(struct client *k, struct group *g, struct slice id)
{
    const struct result_ops *ops = k->result->ops;
    struct error err;

    g->open = g->count + 1;
    g->done = false;
    for (size_t i = 0; i < g->count; i++)
        ops->forget(k->result, g->members[i].id, on_forgotten, g);
    ops->group_forget(k->result, id, on_forgotten, g);
    (void)client_run(k, &g->done, LOOK_S, &err);
}

int
group_show(struct client *k, const char *id, double timeout, bool forget,
           bool *found)
{
    struct group g = {.done = false};
    struct error err;
    int rc = EXIT_FAILED;

    *found = false;
    if (!(result_can(k->result) & RESULT_SAVES_GROUPS))
        return EXIT_OK;
    k->result->ops->group_get(k->result, slice_of(id), got_tuple, &g);
    if (client_run(k, &g.done, timeout, &err) != ST_OK) {
        *found = true;
        return cli_fail(EXIT_FAILED, "%s", err.text);
    }
    if (g.st != ST_OK || g.tuple == NULL)
        return EXIT_OK;
    *found = true;
    if (read_members(&g) != ST_OK) {
        cli_fail(EXIT_FAILED, "the saved group %s makes no sense", id);
    } else {
        wait_members(k, &g, timeout);
        rc = print_members(&g);
        if (forget)
            forget_all(k, &g, slice_of(id));
    }
    for (size_t i = 0; g.members != NULL && i < g.count; i++)
        free(g.members[i].line);
    free(g.members);
    json_object_put(g.tuple);
    return rc;
}
