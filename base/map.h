#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/buf.h"

/* A hash map from byte strings to pointers.  It owns neither: a key must live
 * as long as its entry (usually it is a member of the value). */
struct map_entry;
struct map {
    struct map_entry *entries;
    size_t count, cap, used; /* used: live entries and tombstones */
};

void map_init(struct map *m);
void map_fini(struct map *m);

/* Adds or replaces.  ST_NOMEM leaves the map as it was. */
enum status map_put(struct map *m, struct slice key, void *value);
void *map_find(const struct map *m, struct slice key); /* NULL when absent */
void *map_del(struct map *m, struct slice key);        /* the value, or NULL */

/* Walks all values: start with *pos = 0; NULL at the end.  The entry just
 * returned may be deleted, nothing may be added. */
void *map_next(const struct map *m, size_t *pos);

#endif
