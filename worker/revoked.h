#ifndef WORKER_REVOKED_H
#define WORKER_REVOKED_H

#include "base/list.h"
#include "base/map.h"

#include <stdint.h>

enum {
    REVOKED_MAX = 50000,    /* ids; Celery's CELERY_WORKER_REVOKES_MAX */
    REVOKED_SECONDS = 10800 /* Celery's CELERY_WORKER_REVOKE_EXPIRES */
};

/* The ids that are not to be run: the newest REVOKED_MAX of the last three
 * hours. */
struct revoked {
    struct map by_id;
    struct list order; /* oldest first */
};

void revoked_init(struct revoked *r);
void revoked_fini(struct revoked *r);
enum status revoked_add(struct revoked *r, struct slice id, uint64_t now_us);
bool revoked_has(const struct revoked *r, struct slice id, uint64_t now_us);
void revoked_expire(struct revoked *r, uint64_t now_us);
size_t revoked_count(const struct revoked *r);

/* Walks all, oldest first; at_us: when it was revoked, monotonic. */
void revoked_each(const struct revoked *r,
                  void (*fn)(void *arg, struct slice id, uint64_t at_us),
                  void *arg);

#endif
