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

static bool
is(struct slice s, const char *want)
{
    return s.len == strlen(want) && !memcmp(s.ptr, want, s.len);
}

static struct frame
first(const struct buf *b)
{
    struct slice in = {b->data, b->len};
    struct frame f;
    size_t used = 0;

    cr_assert_eq(frame_next(in, &f, &used, NULL), ST_OK);
    cr_assert_eq(used, b->len);
    return f;
}

Test(frame, of_a_task_holds_its_call_and_ends_its_texts_with_nul)
{
    struct frame_run in = {3,
                           9,
                           text("some-id"),
                           text("proj.add"),
                           text("[1, 2]"),
                           text("{\"a\": 1}")};
    struct frame_run out;
    struct frame f;
    struct buf b;

    buf_init(&b, 4096);
    frame_add_run(&b, 7, &in);
    f = first(&b);
    cr_expect_eq(f.type, FRAME_RUN);
    cr_expect_eq(f.job, 7);
    cr_assert_eq(frame_read_run(&f, &out, NULL), ST_OK);
    cr_expect_eq(out.retries, 3);
    cr_expect_eq(out.batch, 9);
    cr_expect_str_eq(out.id.ptr, "some-id");
    cr_expect_str_eq(out.name.ptr, "proj.add");
    cr_expect(is(out.id, "some-id"));
    cr_expect(is(out.name, "proj.add"));
    cr_expect(is(out.args, "[1, 2]"));
    cr_expect(is(out.kwargs, "{\"a\": 1}"));
    buf_fini(&b);
}

Test(frame, of_a_task_that_is_cut_or_lies_about_its_lengths_is_refused)
{
    struct frame_run in = {0, 0, text("id"), text("t"), text("[]"), text("{}")};
    struct frame_run out;
    struct error err;
    struct frame f, bad;
    uint32_t len = 5;
    struct buf b;

    buf_init(&b, 4096);
    frame_add_run(&b, 1, &in);
    f = first(&b);
    for (size_t n = 0; n < f.head.len; n++) {
        bad = f;
        bad.head.len = n;
        cr_expect_eq(frame_read_run(&bad, &out, &err), ST_PROTO, "%zu", n);
    }
    bad = f;
    bad.body.len = 1;
    cr_expect_eq(frame_read_run(&bad, &out, &err), ST_PROTO);
    memcpy(b.data + FRAME_HEAD + 8, &len, sizeof(len)); /* of the id */
    cr_expect_eq(frame_read_run(&f, &out, &err), ST_PROTO);
    buf_fini(&b);
}
