/* SPDX-License-Identifier: Apache-2.0 */
/* The page that a node shares with its supervisor. */
#include "worker/shm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void *
map(int fd)
{
    int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
    void *p = mmap(NULL, sizeof(struct shm_page), PROT_READ | PROT_WRITE, flags,
                   fd, 0);

    return p == MAP_FAILED ? NULL : p;
}

enum status
shm_create(struct shm_page **out, int *fd, struct error *err)
{
    struct shm_page *page;
    int f = memfd_create("lovage-node", MFD_CLOEXEC);

    if (f < 0 || ftruncate(f, sizeof(*page)) != 0 || !(page = map(f))) {
        int why = errno;

        if (f >= 0)
            close(f);
        return error_set(err, ST_NOMEM, "a page to share with a node: %s",
                         strerror(why));
    }
    page->magic = SHM_MAGIC;
    page->supervisor = getpid();
    *out = page;
    *fd = f;
    return ST_OK;
}

enum status
shm_attach(struct shm_page **out, struct error *err)
{
    struct shm_page *page = NULL;
    struct stat s;

    if (fstat(SHM_FD, &s) == 0 && s.st_size == (off_t)sizeof(*page))
        page = map(SHM_FD);
    if (page && page->magic != SHM_MAGIC) {
        munmap(page, sizeof(*page));
        page = NULL;
    }
    if (!page)
        page = map(-1);
    if (!page)
        return error_set(err, ST_NOMEM, "no memory for the node's page");
    *out = page;
    return ST_OK;
}

void
shm_table_init(struct shm_table *t, struct shm_page *page)
{
    t->page = page;
    t->count = SHM_SLOTS;
    for (size_t i = 0; i < SHM_SLOTS; i++)
        t->free[i] = (uint16_t)(SHM_SLOTS - 1 - i);
}

int
shm_enter(struct shm_table *t, struct slice id, struct slice reply_to,
          enum shm_use use, unsigned deaths)
{
    struct shm_slot *s;
    uint16_t i;

    if (!t->count || id.len > TASK_ID_MAX)
        return -1;
    i = t->free[--t->count];
    s = &t->page->slots[i];
    memcpy(s->id, id.ptr, id.len);
    s->id[id.len] = '\0';
    if (reply_to.len > SHM_REPLY_MAX)
        reply_to.len = 0;
    if (reply_to.len > 0)
        memcpy(s->reply_to, reply_to.ptr, reply_to.len);
    s->reply_to[reply_to.len] = '\0';
    s->deaths = (uint16_t)deaths;
    atomic_signal_fence(memory_order_release);
    s->use = (uint8_t)use;
    return i;
}

void
shm_leave(struct shm_table *t, int slot)
{
    if (slot < 0)
        return;
    t->page->slots[slot].use = SHM_FREE;
    t->free[t->count++] = (uint16_t)slot;
}

static void
lose(struct shm_page *page, const struct shm_slot *s)
{
    if (page->lost_count >= SHM_SLOTS)
        return;
    page->lost[page->lost_count] = *s;
    page->lost[page->lost_count++].deaths++;
}

void
shm_bury(struct shm_page *page)
{
    for (size_t i = 0; i < SHM_SLOTS; i++) {
        if (page->slots[i].use != SHM_FREE)
            lose(page, &page->slots[i]);
        page->slots[i].use = SHM_FREE;
    }
    /* One that never was connected has taken nothing: what its predecessor
     * left is still to be adopted. */
    if (atomic_load(&page->ready) || !page->dead[0])
        memcpy(page->dead, page->instance, sizeof(page->dead));
    page->instance[0] = '\0';
    atomic_store(&page->ready, 0);
    atomic_store(&page->heartbeat_us, 0);
}
