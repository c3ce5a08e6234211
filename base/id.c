/* SPDX-License-Identifier: Apache-2.0 */
/* Random ids.  Each thread draws from a pool of kernel randomness, so that a
 * UUID costs a fraction of a system call.  A child of fork() must not hand out
 * its parent's bytes: a counter that every fork raises voids the pool. */
#include "base/id.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { POOL_BYTES = 1024 };

struct pool {
    unsigned char bytes[POOL_BYTES];
    size_t left;    /* unused bytes, at the end */
    unsigned forks; /* when it was filled */
};

static _Thread_local struct pool pool;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static unsigned forks; /* written only in a new child, which has one thread */

static void
count_fork(void)
{
    forks++;
}

static void
watch_forks(void)
{
    if (pthread_atfork(NULL, NULL, count_fork) != 0)
        abort();
}

/* Weak randomness would make ids collide silently: rather no process. */
static void
kernel_random(unsigned char *out, size_t n)
{
    ssize_t got;

    while (n > 0) {
        got = getrandom(out, n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            abort();
        out += got;
        n -= (size_t)got;
    }
}

void
id_random(void *out, size_t n)
{
    unsigned char *from;

    pthread_once(&once, watch_forks);
    if (n > POOL_BYTES / 4) {
        kernel_random(out, n);
        return;
    }
    if (pool.left < n || pool.forks != forks) {
        kernel_random(pool.bytes, POOL_BYTES);
        pool.left = POOL_BYTES;
        pool.forks = forks;
    }
    from = pool.bytes + POOL_BYTES - pool.left;
    memcpy(out, from, n);
    memset(from, 0, n); /* what was given out is known to nobody else */
    pool.left -= n;
}

void
id_new(char out[ID_LEN + 1])
{
    static const char hex[] = "0123456789abcdef";
    unsigned char r[16];
    char *p = out;

    id_random(r, sizeof(r));
    r[6] = (unsigned char)((r[6] & 0x0f) | 0x40); /* version 4 */
    r[8] = (unsigned char)((r[8] & 0x3f) | 0x80); /* RFC 9562's variant */
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *p++ = '-';
        *p++ = hex[r[i] >> 4];
        *p++ = hex[r[i] & 15];
    }
    *p = '\0';
}
