/* SPDX-License-Identifier: Apache-2.0 */
/* The set of revoked ids, bounded in number and in age. */
#include "worker/revoked.h"

#include <stdlib.h>
#include <string.h>

struct revoked_id {
    struct list link;
    uint64_t at_us;
    size_t len;
    char id[];
};

static const uint64_t lifetime_us = REVOKED_SECONDS * UINT64_C(1000000);

static struct slice
key_of(const struct revoked_id *e)
{
    struct slice s = {e->id, e->len};

    return s;
}

static void
drop(struct revoked *r, struct revoked_id *e)
{
    map_del(&r->by_id, key_of(e));
    list_del(&e->link);
    free(e);
}

static struct revoked_id *
oldest(const struct revoked *r)
{
    if (list_empty(&r->order))
        return NULL;
    return list_entry(r->order.next, struct revoked_id, link);
}

void
revoked_init(struct revoked *r)
{
    map_init(&r->by_id);
    list_init(&r->order);
}

void
revoked_fini(struct revoked *r)
{
    struct revoked_id *e;

    while ((e = oldest(r)))
        drop(r, e);
    map_fini(&r->by_id);
}

enum status
revoked_add(struct revoked *r, struct slice id, uint64_t now_us)
{
    struct revoked_id *e = map_find(&r->by_id, id);

    if (e) {
        list_del(&e->link);
    } else {
        e = malloc(sizeof(*e) + id.len);
        if (!e)
            return ST_NOMEM;
        memcpy(e->id, id.ptr, id.len);
        e->len = id.len;
        if (map_put(&r->by_id, key_of(e), e) != ST_OK) {
            free(e);
            return ST_NOMEM;
        }
    }
    e->at_us = now_us;
    list_add_tail(&r->order, &e->link);
    while (r->by_id.count > REVOKED_MAX)
        drop(r, oldest(r));
    return ST_OK;
}

bool
revoked_has(const struct revoked *r, struct slice id, uint64_t now_us)
{
    const struct revoked_id *e = map_find(&r->by_id, id);

    return e && now_us - e->at_us < lifetime_us;
}

void
revoked_expire(struct revoked *r, uint64_t now_us)
{
    struct revoked_id *e;

    while ((e = oldest(r)) && now_us - e->at_us >= lifetime_us)
        drop(r, e);
}

size_t
revoked_count(const struct revoked *r)
{
    return r->by_id.count;
}

void
revoked_each(const struct revoked *r,
             void (*fn)(void *arg, struct slice id, uint64_t at_us), void *arg)
{
    list_for_each (n, &r->order) {
        struct revoked_id *e = list_entry(n, struct revoked_id, link);

        fn(arg, key_of(e), e->at_us);
    }
}
