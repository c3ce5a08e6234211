/* SPDX-License-Identifier: Apache-2.0 */
/* Frames between a node and its executors. */
#include <criterion/criterion.h>

#include <string.h>

#include "worker/frame.h"

static struct slice
text(const char *s)
{
    struct slice r = {s, strlen(s)};

    return r;
}

static void
add_two(struct buf *b)
{
    struct frame f = {FRAME_RUN, 7, text("{\"id\": 1}"), text("[[], {}]")};
    struct frame g = {.type = FRAME_READY};

    buf_init(b, 4096);
    frame_add(b, &f);
    frame_add(b, &g);
    cr_assert_not(b->failed);
}

Test(frame, comes_out_as_it_went_in)
{
    struct frame f;
    struct buf b;
    size_t used = 0;

    add_two(&b);
    struct slice in = {b.data, b.len};
    cr_assert_eq(frame_next(in, &f, &used, NULL), ST_OK);
    cr_assert_eq(f.type, FRAME_RUN);
    cr_assert_eq(f.job, 7);
    cr_assert_eq(f.head.len, 9);
    cr_assert_eq(memcmp(f.head.ptr, "{\"id\": 1}", 9), 0);
    cr_assert_eq(f.body.len, 8);
    cr_assert_eq(memcmp(f.body.ptr, "[[], {}]", 8), 0);
    in.ptr += used;
    in.len -= used;
    cr_assert_eq(frame_next(in, &f, &used, NULL), ST_OK);
    cr_assert_eq(f.type, FRAME_READY);
    cr_assert_eq(f.head.len + f.body.len, 0);
    cr_assert_eq(in.len, used);
    buf_fini(&b);
}

Test(frame, cut_anywhere_waits_for_more)
{
    size_t used = 0, first = FRAME_HEAD + 9 + 8;
    struct frame f;
    struct buf b;

    add_two(&b);
    for (size_t n = 0; n < first; n++) {
        struct slice in = {b.data, n};

        cr_assert_eq(frame_next(in, &f, &used, NULL), ST_AGAIN);
    }
    buf_fini(&b);
}

Test(frame, of_an_unknown_type_or_an_absurd_length_is_refused)
{
    uint32_t type[] = {99, 0, 0, 0}, head[] = {FRAME_END, 0, UINT32_MAX, 0};
    uint32_t body[] = {FRAME_END, 0, 0, FRAME_TEXT_MAX + 1};
    struct slice a = {(char *)type, sizeof(type)};
    struct slice b = {(char *)head, sizeof(head)};
    struct slice c = {(char *)body, sizeof(body)};
    struct error err;
    struct frame f;
    size_t used;

    cr_assert_eq(frame_next(a, &f, &used, &err), ST_PROTO);
    cr_assert_eq(frame_next(b, &f, &used, &err), ST_PROTO);
    cr_assert_eq(frame_next(c, &f, &used, &err), ST_PROTO);
}
