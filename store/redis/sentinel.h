#ifndef STORE_REDIS_SENTINEL_H
#define STORE_REDIS_SENTINEL_H

#include "store/redis/address.h"

/* Asks sentinels where the master is: one after the other, the one that knew
 * it last time first. */
struct sentinel;

/* host is borrowed; NULL: nobody knows, why says what the last one said. */
typedef void sentinel_fn(void *arg, const char *host, int port,
                         const struct error *why);

/* a is borrowed until sentinel_close() has ended. */
enum status sentinel_open(struct sentinel **out, uv_loop_t *loop,
                          const struct redis_address *a, sentinel_fn *fn,
                          void *arg, struct error *err);
/* The answer comes once, through fn, from the loop; while one is on its way
 * nothing more is asked. */
void sentinel_ask(struct sentinel *s);
void sentinel_stop(struct sentinel *s); /* no answer is wanted any more */
/* No callback after this but closed(arg).  NULL is fine: nothing is called. */
void sentinel_close(struct sentinel *s, void (*closed)(void *arg), void *arg);

#endif
