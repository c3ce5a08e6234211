/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded memory of settled tags. */
#include "store/redis/recent.h"

#include <stdlib.h>

enum { RING = 64 * 1024, TABLE = 4 * RING };

struct recent_entry {
    uint64_t hash, time_us;
};

/* FNV-1a, mixed: tags are UUIDs, nobody gains by a collision. */
static uint64_t
hash_of(struct slice s)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (unsigned char)s.ptr[i]) * UINT64_C(0x100000001b3);
    return h ^ (h >> 29);
}

/* The slot that holds hash, or the free one where it would go. */
static uint32_t
slot_of(const struct recent *r, uint64_t hash)
{
    uint32_t i = (uint32_t)hash & (TABLE - 1);

    while (r->table[i] != 0 && r->ring[r->table[i] - 1].hash != hash)
        i = (i + 1) & (TABLE - 1);
    return i;
}

/* Removes a slot and closes the gap that it leaves in its run. */
static void
vacate(struct recent *r, uint32_t gap)
{
    uint32_t i = gap;

    r->table[gap] = 0;
    for (;;) {
        uint32_t home;

        i = (i + 1) & (TABLE - 1);
        if (r->table[i] == 0)
            return;
        home = (uint32_t)r->ring[r->table[i] - 1].hash & (TABLE - 1);
        if (((i - home) & (TABLE - 1)) >= ((i - gap) & (TABLE - 1))) {
            r->table[gap] = r->table[i];
            r->table[i] = 0;
            gap = i;
        }
    }
}

void
recent_fini(struct recent *r)
{
    free(r->ring);
    free(r->table);
    *r = (struct recent){0};
}

void
recent_add(struct recent *r, struct slice tag, uint64_t now_us)
{
    uint64_t hash = hash_of(tag);
    uint32_t place = (uint32_t)(r->added % RING), slot;

    if (r->ring == NULL) {
        r->ring = calloc(RING, sizeof *r->ring);
        r->table = calloc(TABLE, sizeof *r->table);
        if (r->ring == NULL || r->table == NULL) {
            recent_fini(r);
            return;
        }
    }
    slot = slot_of(r, hash);
    if (r->table[slot] != 0) {
        r->ring[r->table[slot] - 1].time_us = now_us;
        return;
    }
    if (r->added >= RING) {
        vacate(r, slot_of(r, r->ring[place].hash));
        slot = slot_of(r, hash);
    }
    r->ring[place] = (struct recent_entry){hash, now_us};
    r->table[slot] = place + 1;
    r->added++;
}

uint64_t
recent_find(const struct recent *r, struct slice tag)
{
    uint32_t slot;

    if (r->ring == NULL)
        return 0;
    slot = slot_of(r, hash_of(tag));
    return r->table[slot] == 0 ? 0 : r->ring[r->table[slot] - 1].time_us;
}
