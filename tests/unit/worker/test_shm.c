/* SPDX-License-Identifier: Apache-2.0 */
/* The page that a node shares with its supervisor. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "worker/shm.h"

static struct shm_page page;
static struct shm_table table;

static int
enter(const char *id, enum shm_use use)
{
    struct slice s = {id, strlen(id)};

    return shm_enter(&table, s, (struct slice){"client", 6}, use, 1);
}

Test(shm, what_a_dead_node_ran_is_listed_with_one_more_death)
{
    shm_table_init(&table, &page);
    int done = enter("done", SHM_EARLY);
    enter("runs", SHM_LATE);
    shm_leave(&table, done);
    snprintf(page.instance, sizeof(page.instance), "w@lab/1");
    shm_bury(&page);
    cr_assert_eq(page.lost_count, 1);
    cr_assert_str_eq(page.lost[0].id, "runs");
    cr_assert_str_eq(page.lost[0].reply_to, "client");
    cr_assert_eq(page.lost[0].use, SHM_LATE);
    cr_assert_eq(page.lost[0].deaths, 2);
    cr_assert_str_eq(page.dead, "w@lab/1");
}

Test(shm, one_that_never_was_connected_leaves_its_predecessor_to_be_adopted)
{
    snprintf(page.instance, sizeof(page.instance), "first");
    atomic_store(&page.ready, 1);
    shm_bury(&page);
    snprintf(page.instance, sizeof(page.instance), "second");
    shm_bury(&page);
    cr_assert_str_eq(page.dead, "first");
}

Test(shm, more_tasks_than_slots_are_not_told)
{
    shm_table_init(&table, &page);
    for (int i = 0; i < SHM_SLOTS; i++)
        cr_assert_geq(enter("x", SHM_LATE), 0);
    cr_assert_eq(enter("x", SHM_LATE), -1);
    shm_leave(&table, -1);
    shm_leave(&table, 17);
    cr_assert_eq(enter("y", SHM_LATE), 17);
}
