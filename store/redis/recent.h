#ifndef STORE_REDIS_RECENT_H
#define STORE_REDIS_RECENT_H

#include "base/buf.h"

#include <stdint.h>

/* Remembers the last tags that were settled, with the time, as hashes: 64 Ki of
 * them, the oldest forgotten first.  Memory comes with the first one. */
struct recent {
    struct recent_entry *ring;
    uint32_t *table; /* open addressing: place in ring + 1, or 0 */
    uint64_t added;
};

void recent_fini(struct recent *r);
/* Without memory it remembers nothing, which is safe. */
void recent_add(struct recent *r, struct slice tag, uint64_t now_us);
/* The time, or 0. */
uint64_t recent_find(const struct recent *r, struct slice tag);

#endif
