/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { KEYS = 3000 };

static char keys[KEYS][16];

static struct slice
key(int i)
{
    int n = snprintf(keys[i], sizeof(keys[i]), "key-%d", i);

    return (struct slice){keys[i], (size_t)n};
}

static struct slice
slice(const char *s)
{
    return (struct slice){s, strlen(s)};
}

Test(map, what_was_put_is_found_and_what_was_not_is_not)
{
    struct map m;

    map_init(&m);
    cr_assert_null(map_find(&m, slice("a")));
    cr_assert_null(map_del(&m, slice("a")));
    for (int i = 0; i < KEYS; i++)
        cr_assert_eq(map_put(&m, key(i), keys[i]), ST_OK);
    cr_assert_eq(m.count, KEYS);
    for (int i = 0; i < KEYS; i++)
        cr_assert_eq(map_find(&m, key(i)), keys[i]);
    cr_assert_null(map_find(&m, slice("key-")));
    cr_assert_null(map_find(&m, slice("")));
    map_fini(&m);
    cr_assert_null(map_find(&m, slice("key-1")));
}

Test(map, a_key_is_bytes_with_nuls_and_may_be_empty)
{
    struct map m;
    int a, b, c;

    map_init(&m);
    cr_assert_eq(map_put(&m, (struct slice){"x\0a", 3}, &a), ST_OK);
    cr_assert_eq(map_put(&m, (struct slice){"x\0b", 3}, &b), ST_OK);
    cr_assert_eq(map_put(&m, (struct slice){NULL, 0}, &c), ST_OK);
    cr_assert_eq(map_find(&m, (struct slice){"x\0a", 3}), &a);
    cr_assert_eq(map_find(&m, (struct slice){"x\0b", 3}), &b);
    cr_assert_eq(map_find(&m, (struct slice){"x", 0}), &c);
    cr_assert_null(map_find(&m, slice("x")));
    map_fini(&m);
}

Test(map, putting_again_replaces_value_and_key)
{
    char old[] = "same", new[] = "same";
    struct map m;

    map_init(&m);
    cr_assert_eq(map_put(&m, slice(old), old), ST_OK);
    cr_assert_eq(map_put(&m, slice(new), new), ST_OK);
    old[0] = 'X'; /* the old key may die with the old value */
    cr_assert_eq(m.count, 1);
    cr_assert_eq(map_find(&m, slice("same")), new);
    map_fini(&m);
}

Test(map, a_deleted_key_is_gone_and_its_neighbours_are_not)
{
    struct map m;

    map_init(&m);
    for (int i = 0; i < KEYS; i++)
        cr_assert_eq(map_put(&m, key(i), keys[i]), ST_OK);
    for (int i = 0; i < KEYS; i += 2)
        cr_assert_eq(map_del(&m, key(i)), keys[i]);
    for (int i = 0; i < KEYS; i++)
        cr_assert_eq(map_find(&m, key(i)), i % 2 ? keys[i] : NULL);
    cr_assert_null(map_del(&m, key(0)));
    cr_assert_eq(m.count, KEYS / 2);
    map_fini(&m);
}

Test(map, coming_and_going_does_not_make_it_grow)
{
    struct map m;

    map_init(&m);
    for (int round = 0; round < 200; round++)
        for (int i = 0; i < KEYS; i++) {
            cr_assert_eq(map_put(&m, key(i), keys[i]), ST_OK);
            if (i >= 10)
                cr_assert_eq(map_del(&m, key(i - 10)), keys[i - 10]);
        }
    cr_assert_leq(m.cap, 64);
    map_fini(&m);
}

Test(map, a_walk_sees_each_value_once_and_may_delete_it)
{
    struct map m;
    size_t pos = 0;
    int seen = 0;
    char *v;

    map_init(&m);
    cr_assert_null(map_next(&m, &pos));
    for (int i = 0; i < KEYS; i++)
        cr_assert_eq(map_put(&m, key(i), keys[i]), ST_OK);
    pos = 0;
    while ((v = map_next(&m, &pos)) != NULL) {
        cr_assert_neq(v[0], '!');
        cr_assert_eq(map_del(&m, slice(v)), v);
        v[0] = '!';
        seen++;
    }
    cr_assert_eq(seen, KEYS);
    cr_assert_eq(m.count, 0);
    map_fini(&m);
}
