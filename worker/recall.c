/* SPDX-License-Identifier: Apache-2.0 */
/* The page that a node shares with an executor. */
#include "worker/recall.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct recall_page *
map(int fd)
{
    void *p = mmap(NULL, sizeof(struct recall_page), PROT_READ | PROT_WRITE,
                   MAP_SHARED, fd, 0);

    return p == MAP_FAILED ? NULL : p;
}

static uint64_t
word(uint32_t begun, uint32_t closed)
{
    return (uint64_t)begun << 32 | closed;
}

enum status
recall_create(struct recall_page **out, int *fd, struct error *err)
{
    struct recall_page *page;
    int f = memfd_create("lovage-recall", MFD_CLOEXEC);

    if (f < 0 || ftruncate(f, sizeof(*page)) != 0 || !(page = map(f))) {
        int why = errno;

        if (f >= 0)
            close(f);
        return error_set(err, ST_NOMEM, "a page to share with an executor: %s",
                         strerror(why));
    }
    *out = page;
    *fd = f;
    return ST_OK;
}

enum status
recall_attach(struct recall_page **out, struct error *err)
{
    struct recall_page *page = map(RECALL_FD);

    if (!page)
        return error_set(err, ST_NOMEM, "the page of an executor: %s",
                         strerror(errno));
    close(RECALL_FD);
    *out = page;
    return ST_OK;
}

void
recall_free(struct recall_page *page)
{
    if (page)
        munmap(page, sizeof(*page));
}

bool
recall_begin(struct recall_page *page, uint32_t batch, uint32_t job)
{
    uint64_t w = atomic_load(&page->word);

    do
        if ((uint32_t)w == batch)
            return false;
    while (
        !atomic_compare_exchange_weak(&page->word, &w, word(job, (uint32_t)w)));
    return true;
}

uint32_t
recall_begun(const struct recall_page *page)
{
    return (uint32_t)(atomic_load(&page->word) >> 32);
}

bool
recall_is_closed(const struct recall_page *page, uint32_t batch)
{
    return (uint32_t)atomic_load(&page->word) == batch;
}

bool
recall_close(struct recall_page *page, uint32_t batch, uint32_t begun)
{
    uint64_t w = atomic_load(&page->word);

    return (uint32_t)(w >> 32) == begun &&
           atomic_compare_exchange_strong(&page->word, &w, word(begun, batch));
}
