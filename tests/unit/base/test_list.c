/* SPDX-License-Identifier: Apache-2.0 */
#include "base/list.h"

#include <criterion/criterion.h>

struct item {
    int n;
    struct list link;
};

static struct item items[4];

static void
fill(struct list *l)
{
    list_init(l);
    for (int i = 0; i < 4; i++) {
        items[i].n = i;
        list_add_tail(l, &items[i].link);
    }
}

Test(list, elements_come_in_the_order_they_were_added)
{
    struct list l;
    int at = 0;

    fill(&l);
    list_for_each (n, &l) {
        cr_assert_eq(list_entry(n, struct item, link)->n, at);
        at++;
    }
    cr_assert_eq(at, 4);
}

Test(list, the_head_can_be_jumped_to)
{
    struct list l;
    struct item first = {.n = 9};

    fill(&l);
    list_add_head(&l, &first.link);
    cr_assert_eq(list_entry(list_pop(&l), struct item, link)->n, 9);
    cr_assert_eq(list_entry(list_pop(&l), struct item, link)->n, 0);
}

Test(list, an_element_may_go_while_walking_and_twice)
{
    struct list l;
    int left = 0;

    fill(&l);
    list_for_each_safe (n, &l) {
        if (list_entry(n, struct item, link)->n % 2 == 0) {
            list_del(n);
            list_del(n);
        }
    }
    list_for_each (n, &l) {
        left++;
    }
    cr_assert_eq(left, 2);
    list_del(&items[1].link);
    list_del(&items[3].link);
    cr_assert(list_empty(&l));
    cr_assert_null(list_pop(&l));
}
