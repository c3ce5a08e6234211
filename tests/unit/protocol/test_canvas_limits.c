/* Small canvases that ask for much. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "protocol/signature.h"
#include "tests/support/data.h"

Test(canvas_limits, callbacks_without_number_are_refused, .timeout = 20)
{
    struct buf b;
    struct json_object *v;
    struct signature_context ctx = {.now_us = 1};
    struct signature_messages m;
    char *text;

    buf_init(&b, 64 << 20);
    buf_addf(&b, "{\"task\": \"c\", \"subtask_type\": \"chain\", \"kwargs\": "
                 "{\"tasks\": [{\"task\": \"t\"}]}, \"options\": "
                 "{\"link_error\": [");
    for (int i = 0; i < 20000; i++)
        buf_addf(&b, "{\"task\": \"t%d\"}, ", i);
    buf_addf(&b, "{\"task\": \"t\"}]}}");
    cr_assert_eq(buf_take(&b, &text, NULL), ST_OK);
    v = data_json(text);
    cr_expect_eq(signature_apply(v, &ctx, &m, NULL), ST_TOOBIG);
    json_object_put(v);
    free(text);
}

Test(canvas_limits, a_canvas_that_grows_beyond_all_bounds_is_refused)
{
    struct buf b;
    struct json_object *v;
    struct signature_context ctx = {.now_us = 1};
    struct signature_messages m;
    char *text;

    buf_init(&b, 64 << 20);
    buf_addf(&b, "{\"task\": \"g\", \"subtask_type\": \"group\", \"options\": "
                 "{\"chain\": [{\"task\": \"c\", \"args\": [\"");
    for (int i = 0; i < 100000; i++)
        buf_addf(&b, "0123456789");
    buf_addf(&b, "\"]}]}, \"kwargs\": {\"tasks\": [");
    for (int i = 0; i < 400; i++)
        buf_addf(&b, "{\"task\": \"t\"}, ");
    buf_addf(&b, "{\"task\": \"t\"}]}}");
    cr_assert_eq(buf_take(&b, &text, NULL), ST_OK);
    v = data_json(text);
    cr_expect_eq(signature_apply(v, &ctx, &m, NULL), ST_TOOBIG);
    json_object_put(v);
    free(text);
}
