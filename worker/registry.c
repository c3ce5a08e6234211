/* SPDX-License-Identifier: Apache-2.0 */
/* The registry of tasks, and the loading of plugins. */
#include "worker/registry.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "protocol/task.h"

enum { TASKS_MAX = 10000, PATH_LEN = 4096 };

struct lovage_registry {
    struct map by_name;
    struct task_entry **sorted;
    size_t count, cap;
};

static struct lovage_registry the_registry;

struct lovage_registry *
registry_get(void)
{
    if (!the_registry.cap) {
        map_init(&the_registry.by_name);
        the_registry.cap = 16;
        the_registry.sorted = calloc(16, sizeof(struct task_entry *));
        if (!the_registry.sorted)
            the_registry.cap = 0;
    }
    return &the_registry;
}

const struct lovage_task_def *
registry_find(struct slice name)
{
    struct task_entry *e = map_find(&registry_get()->by_name, name);

    return e ? &e->def : NULL;
}

const struct lovage_task_def *
registry_at(size_t i)
{
    return i < the_registry.count ? &the_registry.sorted[i]->def : NULL;
}

struct task_entry *
registry_entry(const struct lovage_task_def *def)
{
    /* def is the first member of an entry, and entries are never const. */
    return (struct task_entry *)(uintptr_t)def;
}

static bool
room_for_one(struct lovage_registry *r)
{
    struct task_entry **more;

    if (r->count < r->cap)
        return true;
    more = reallocarray(r->sorted, r->cap * 2, sizeof(*more));
    if (!more)
        return false;
    r->sorted = more;
    r->cap *= 2;
    return true;
}

static void
insert_sorted(struct lovage_registry *r, struct task_entry *e)
{
    size_t i = r->count++;

    while (i && strcmp(r->sorted[i - 1]->def.name, e->def.name) > 0) {
        r->sorted[i] = r->sorted[i - 1];
        i--;
    }
    r->sorted[i] = e;
}

static bool
is_named(const struct lovage_task_def *d)
{
    for (int i = 0; i < d->params; i++)
        if (!d->param_names[i])
            return false;
    return true;
}

/* NULL: the definition is good; otherwise what is wrong with it. */
static const char *
fault_of(const struct lovage_registry *r, const struct lovage_task_def *d)
{
    if (!d->name || !d->name[0] || strlen(d->name) > TASK_NAME_MAX)
        return "its name must have 1 to 255 bytes";
    if (!d->run)
        return "it has no function";
    if (d->kind != LOVAGE_BLOCKING && d->kind != LOVAGE_INLINE &&
        d->kind != LOVAGE_ASYNC)
        return "its kind is unknown";
    if (d->params < -1 || d->required < 0 ||
        (d->params >= 0 && d->required > d->params))
        return "more parameters are required than there are";
    if (d->param_names && !is_named(d))
        return "it has fewer names than parameters";
    if (map_find(&r->by_name, slice_of(d->name)))
        return "the name is taken";
    if (r->count >= TASKS_MAX)
        return "there are too many tasks";
    return NULL;
}

int
lovage_register(lovage_registry *r, const lovage_task_def *def)
{
    struct task_entry *e = calloc(1, sizeof(*e));
    const char *fault;
    size_t size = def->size;

    if (!e || !r->cap)
        goto fail;
    /* A plugin that was built against an older header has fewer members. */
    if (size > sizeof(e->def))
        size = sizeof(e->def);
    memcpy(&e->def, def, size);
    fault = fault_of(r, &e->def);
    if (fault) {
        log_error("task refused", "task=%s reason=%s",
                  e->def.name ? e->def.name : "", fault);
        goto fail;
    }
    e->soft_s = e->def.soft_time_limit;
    e->hard_s = e->def.time_limit;
    if (!room_for_one(r) ||
        map_put(&r->by_name, slice_of(e->def.name), e) != ST_OK)
        goto fail;
    insert_sorted(r, e);
    return 0;
fail:
    free(e);
    return -1;
}

enum status
registry_load(const char *path, struct error *err)
{
    int (*init)(lovage_registry *) = NULL;
    void *lib, *sym;

    /* Never closed: its functions and strings are in use until the end. */
    lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!lib)
        return error_set(err, ST_NOTFOUND, "plugin %s: %s", path, dlerror());
    sym = dlsym(lib, "lovage_plugin_init");
    if (!sym)
        return error_set(err, ST_INVALID,
                         "plugin %s: it exports no lovage_plugin_init", path);
    memcpy(&init, &sym, sizeof(init));
    if (init(registry_get()) != 0)
        return error_set(err, ST_INVALID,
                         "plugin %s: lovage_plugin_init failed", path);
    return ST_OK;
}

static enum status
load_one(struct slice s, struct error *err)
{
    char path[PATH_LEN];
    /* dlopen looks into the system's folders for a name without a slash. */
    const char *dir = memchr(s.ptr, '/', s.len) ? "" : "./";
    int n = snprintf(path, sizeof(path), "%s%.*s", dir, (int)s.len, s.ptr);

    if (n < 0 || (size_t)n >= sizeof(path))
        return error_set(err, ST_TOOBIG, "a plugin's path is too long");
    return registry_load(path, err);
}

enum status
registry_load_all(const char *paths, struct error *err)
{
    const char *p = paths;
    enum status st = ST_OK;

    while (st == ST_OK && *p) {
        struct slice s;

        p += strspn(p, ", ");
        s.ptr = p;
        s.len = strcspn(p, ", ");
        p += s.len;
        if (s.len)
            st = load_one(s, err);
    }
    return st;
}
