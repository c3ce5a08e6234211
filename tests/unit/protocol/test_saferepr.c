#include "protocol/saferepr.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "tests/support/data.h"

static void
check(struct json_object *v, struct json_object *expected, bool tuple)
{
    json_object_object_foreach(expected, max, want)
    {
        struct buf b;
        char *got;

        buf_init(&b, 1 << 20);
        if (tuple)
            saferepr_add_tuple(&b, v, strtoul(max, NULL, 10));
        else
            saferepr_add(&b, v, strtoul(max, NULL, 10));
        cr_assert_eq(buf_take(&b, &got, NULL), ST_OK);
        cr_expect_str_eq(got, json_object_get_string(want), "%.60s at %s",
                         json_object_to_json_string(v), max);
        free(got);
    }
}

Test(saferepr, prints_and_cuts_exactly_as_celery)
{
    struct json_object *cases = data_load("saferepr.json");
    size_t n = json_object_array_length(cases);

    cr_assert_geq(n, 60);
    for (size_t i = 0; i < n; i++) {
        struct json_object *c = json_object_array_get_idx(cases, i);
        struct json_object *v =
            data_json(json_object_get_string(json_get(c, "json")));

        check(v, json_get(c, "repr"), false);
        if (json_get(c, "tuple") != NULL)
            check(v, json_get(c, "tuple"), true);
        json_object_put(v);
    }
    json_object_put(cases);
}
