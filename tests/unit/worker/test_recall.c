/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs that wait in an executor and are taken back. */
#include <criterion/criterion.h>

#include <pthread.h>
#include <unistd.h>

#include "worker/recall.h"

static struct recall_page *
new_page(void)
{
    struct recall_page *page = NULL;
    int fd = -1;

    cr_assert_eq(recall_create(&page, &fd, NULL), ST_OK);
    close(fd);
    return page;
}

Test(recall, the_node_sees_in_its_page_what_the_executor_begins)
{
    struct recall_page *node = NULL, *executor = NULL;
    int fd = -1;

    cr_assert_eq(recall_create(&node, &fd, NULL), ST_OK);
    cr_assert_eq(dup2(fd, RECALL_FD), RECALL_FD);
    cr_assert_eq(recall_attach(&executor, NULL), ST_OK);
    cr_expect(recall_begin(executor, 5, 6));
    cr_expect_eq(recall_begun(node), 6);
    recall_free(executor);
    recall_free(node);
    if (fd != RECALL_FD)
        close(fd);
}

Test(recall, of_a_closed_one_no_more_begins_but_of_the_next)
{
    struct recall_page *page = new_page();

    cr_expect(recall_begin(page, 1, 1));
    cr_expect(recall_close(page, 1, 1));
    cr_expect_not(recall_begin(page, 1, 2));
    cr_expect_eq(recall_begun(page), 1);
    cr_expect(recall_begin(page, 4, 4));
    cr_expect_eq(recall_begun(page), 4);
    recall_free(page);
}

Test(recall, is_not_closed_when_the_executor_has_gone_on)
{
    struct recall_page *page = new_page();

    cr_expect_not(recall_close(page, 1, 1)); /* nothing has begun yet */
    cr_expect(recall_begin(page, 1, 1));
    cr_expect(recall_begin(page, 1, 2));
    cr_expect_not(recall_close(page, 1, 1));
    cr_expect(recall_begin(page, 1, 3));
    recall_free(page);
}

enum { ROUNDS = 2000, JOBS = 8 };

struct race {
    struct recall_page *page;
    _Atomic uint32_t batch;
    uint32_t ran[JOBS * ROUNDS + 1];
};

static void *
execute(void *arg)
{
    struct race *r = arg;

    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint32_t batch = i * JOBS + 1;

        while (atomic_load(&r->batch) != batch)
            ;
        for (uint32_t j = batch; j < batch + JOBS; j++)
            if (recall_begin(r->page, batch, j))
                r->ran[j]++;
        atomic_store(&r->batch, 0);
    }
    return NULL;
}

/* Each job is run by the executor or taken back, never both, never neither. */
Test(recall, what_is_taken_back_does_not_run, .timeout = 30)
{
    static struct race r;
    pthread_t thread;

    r.page = new_page();
    cr_assert_eq(pthread_create(&thread, NULL, execute, &r), 0);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint32_t batch = i * JOBS + 1, begun, from = batch + JOBS;

        atomic_store(&r.batch, batch);
        while (atomic_load(&r.batch)) {
            begun = recall_begun(r.page);
            if (begun >= batch && from == batch + JOBS &&
                recall_close(r.page, batch, begun))
                from = begun + 1;
        }
        for (uint32_t j = batch; j < batch + JOBS; j++)
            cr_assert_eq(r.ran[j], j < from, "job %u of %u", j, batch);
    }
    pthread_join(thread, NULL);
    recall_free(r.page);
}
