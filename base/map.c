/* SPDX-License-Identifier: Apache-2.0 */
/* A hash map: open addressing, linear probing, tombstones.  Keys come from
 * peers, so the hash is SipHash-1-3 under a key of this process: nobody can
 * choose keys that all collide. */
#include "base/map.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"

/* Values of map_entry.hash that are no hash. */
enum {
    FREE = 0,
    DEAD = 1, /* deleted: a probe goes on over it */
    MIN_CAP = 16
};

struct map_entry {
    uint64_t hash;
    struct slice key;
    void *value;
};

static uint64_t seed[2];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
make_seed(void)
{
    id_random(seed, sizeof(seed));
}

static uint64_t
rotl(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

static void
sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] = rotl(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] = rotl(v[2], 32);
}

static uint64_t
hash_of(struct slice key)
{
    uint64_t v[4] = {seed[0] ^ 0x736f6d6570736575, seed[1] ^ 0x646f72616e646f6d,
                     seed[0] ^ 0x6c7967656e657261,
                     seed[1] ^ 0x7465646279746573};
    uint64_t word;
    size_t i = 0;

    for (; i + 8 <= key.len; i += 8) {
        memcpy(&word, key.ptr + i, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    word = (uint64_t)key.len << 56;
    for (int at = 0; i < key.len; i++, at += 8)
        word |= (uint64_t)(unsigned char)key.ptr[i] << at;
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    for (int n = 0; n < 3; n++)
        sip_round(v);
    word = v[0] ^ v[1] ^ v[2] ^ v[3];
    return word > DEAD ? word : word + 2;
}

/* The entry of key, or NULL. */
static struct map_entry *
lookup(const struct map *m, struct slice key, uint64_t hash)
{
    struct map_entry *e;

    if (m->cap == 0)
        return NULL;
    for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
        e = &m->entries[i];
        if (e->hash == FREE)
            return NULL;
        if (e->hash == hash && e->key.len == key.len &&
            (key.len == 0 || memcmp(e->key.ptr, key.ptr, key.len) == 0))
            return e;
    }
}

/* Puts a key that is not there into the first slot that it may take. */
static void
insert(struct map *m, const struct map_entry *new)
{
    size_t i = new->hash &(m->cap - 1);

    while (m->entries[i].hash > DEAD)
        i = (i + 1) & (m->cap - 1);
    if (m->entries[i].hash == FREE)
        m->used++;
    m->entries[i] = *new;
    m->count++;
}

/* Makes a table with room for one more and without tombstones; shrinks what
 * has become far too large. */
static enum status
rehash(struct map *m)
{
    struct map bigger = {.cap = MIN_CAP};

    while (bigger.cap * 3 < (m->count + 1) * 8)
        bigger.cap *= 2;
    bigger.entries = calloc(bigger.cap, sizeof(*bigger.entries));
    if (bigger.entries == NULL)
        return ST_NOMEM;
    for (size_t i = 0; i < m->cap; i++)
        if (m->entries[i].hash > DEAD)
            insert(&bigger, &m->entries[i]);
    free(m->entries);
    *m = bigger;
    return ST_OK;
}

void
map_init(struct map *m)
{
    pthread_once(&once, make_seed);
    *m = (struct map){0};
}

void
map_fini(struct map *m)
{
    free(m->entries);
    *m = (struct map){0};
}

enum status
map_put(struct map *m, struct slice key, void *value)
{
    struct map_entry new = {hash_of(key), key, value};
    struct map_entry *e = lookup(m, key, new.hash);
    enum status st;

    if (e != NULL) {
        *e = new; /* the old key may die with the old value */
        return ST_OK;
    }
    if ((m->used + 1) * 4 > m->cap * 3) {
        st = rehash(m);
        if (st != ST_OK)
            return st;
    }
    insert(m, &new);
    return ST_OK;
}

void *
map_find(const struct map *m, struct slice key)
{
    const struct map_entry *e;

    if (m->count == 0)
        return NULL;
    e = lookup(m, key, hash_of(key));
    return e != NULL ? e->value : NULL;
}

void *
map_del(struct map *m, struct slice key)
{
    struct map_entry *e = lookup(m, key, hash_of(key));
    void *value;
    size_t i;

    if (e == NULL)
        return NULL;
    value = e->value;
    *e = (struct map_entry){.hash = DEAD};
    m->count--;

    /* Tombstones at the end of a run of entries serve no probe. */
    i = (size_t)(e - m->entries);
    if (m->entries[(i + 1) & (m->cap - 1)].hash != FREE)
        return value;
    for (; m->entries[i].hash == DEAD; i = (i - 1) & (m->cap - 1)) {
        m->entries[i].hash = FREE;
        m->used--;
    }
    return value;
}

void *
map_next(const struct map *m, size_t *pos)
{
    while (*pos < m->cap) {
        const struct map_entry *e = &m->entries[(*pos)++];

        if (e->hash > DEAD)
            return e->value;
    }
    return NULL;
}
