/* SPDX-License-Identifier: Apache-2.0 */
/* AMQP frames, and messages in them. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "store/amqp/content.h"

static struct error err;
static struct buf out;

static void
begin(void)
{
    buf_init(&out, 1 << 20);
}

static void
end(void)
{
    buf_fini(&out);
}

TestSuite(frame, .init = begin, .fini = end);

Test(frame, what_is_added_is_cut_off_again_at_any_split)
{
    amqp_basic_ack_t ack = {.delivery_tag = 7, .multiple = 1};
    struct amq_frame f;

    amq_frame_method(&out, 3, AMQP_BASIC_ACK_METHOD, &ack);
    amq_frame_heartbeat(&out);
    for (size_t n = 0; n <= out.len; n++) {
        struct slice in = {out.data, n};
        size_t method = 8 + 4 + 9;

        cr_assert_eq(amq_frame_cut(&in, 4096, &f, &err),
                     n < method ? ST_AGAIN : ST_OK);
        if (n < method)
            continue;
        cr_assert_eq(f.type, AMQ_FRAME_METHOD);
        cr_assert_eq(f.channel, 3);
        cr_assert_eq(amq_get32(f.payload.ptr), AMQP_BASIC_ACK_METHOD);
        cr_assert_eq(amq_get64(f.payload.ptr + 4), 7);
        cr_assert_eq(in.len, n - method);
    }
}

Test(frame, what_is_no_frame_is_refused)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *says;
    } rows[] = {
        {"AMQP\0\0\x9\x1", 8, "no AMQP"},
        {"\1\0\0\0\0\x10\1", 7, "4097 bytes"},
        {"\1\0\0\0\0\0\1xy", 9, "without its end"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct slice in = {rows[i].bytes, rows[i].len};
        struct amq_frame f;

        cr_expect_eq(amq_frame_cut(&in, 4096, &f, &err), ST_PROTO);
        cr_expect_not_null(strstr(err.text, rows[i].says), "%s", err.text);
    }
}

Test(frame, a_body_is_cut_into_frames)
{
    char body[1000];
    struct slice in;
    struct amq_frame f;
    size_t got = 0;
    int frames = 0;

    memset(body, 'b', sizeof body);
    amq_frame_content(&out, 1, (struct slice){"head", 4},
                      (struct slice){body, sizeof body}, 308);
    in = (struct slice){out.data, out.len};
    cr_assert_eq(amq_frame_cut(&in, 308, &f, &err), ST_OK);
    cr_assert_eq(f.type, AMQ_FRAME_HEADER);
    while (amq_frame_cut(&in, 308, &f, &err) == ST_OK) {
        cr_assert_eq(f.type, AMQ_FRAME_BODY);
        got += f.payload.len;
        frames++;
    }
    cr_assert_eq(got, sizeof body);
    cr_assert_eq(frames, 4);
    out.len = 0;
    amq_frame_content(&out, 1, (struct slice){"head", 4}, (struct slice){0},
                      308);
    cr_assert_eq(out.len, 12, "an empty body has no frame");
}

static struct message *
sample(void)
{
    struct message *m = message_new();

    m->headers = json_object_new_object();
    json_object_object_add(m->headers, "task", json_object_new_string("t"));
    m->content_type = strdup("application/json");
    m->correlation_id = strdup("id");
    m->reply_to = strdup("");
    m->expiration = strdup("60000");
    m->priority = 5;
    m->delivery_mode = 2;
    m->body_len = 3;
    return m;
}

Test(frame, a_message_comes_back_as_it_was)
{
    struct message *m = sample(), *n = NULL;
    char *body = strdup("abc");

    cr_assert_eq(amq_content_encode(m, &out, &err), ST_OK);
    cr_assert_eq(amq_get64(out.data + 4), 3);
    cr_assert_eq(amq_content_decode((struct slice){out.data, out.len}, &body, 3,
                                    &n, &err),
                 ST_OK);
    cr_assert_null(body);
    cr_expect_str_eq(n->content_type, "application/json");
    cr_expect_null(n->content_encoding);
    cr_expect_str_eq(n->correlation_id, "id");
    cr_expect_str_eq(n->reply_to, "");
    cr_expect_str_eq(n->expiration, "60000");
    cr_expect_eq(n->priority, 5);
    cr_expect_eq(n->delivery_mode, 2);
    cr_expect(!n->redelivered);
    cr_expect_str_eq(n->body, "abc");
    cr_expect_eq(json_get_str(n->headers, "task").len, 1);
    message_free(m);
    message_free(n);
}

Test(frame, a_copy_is_marked_redelivered_and_has_no_past)
{
    struct message *m = sample(), *n = NULL;
    char *body = strdup("abc");
    amqp_table_entry_t entries[2] = {{.key = amqp_cstring_bytes("x-death")},
                                     {.key = amqp_cstring_bytes("id")}};
    amqp_basic_properties_t p = {._flags = AMQP_BASIC_HEADERS_FLAG,
                                 .headers = {2, entries}};
    char raw[512] = {0};
    struct buf copy;
    int len;

    entries[0].value.kind = entries[1].value.kind = AMQP_FIELD_KIND_VOID;
    len = amqp_encode_properties(AMQP_BASIC_CLASS, &p,
                                 (amqp_bytes_t){500, raw + AMQ_HEADER_FIXED});
    raw[11] = 3;
    buf_init(&copy, 4096);
    cr_assert_gt(len, 0);
    cr_assert_eq(
        amq_content_copy((struct slice){raw, AMQ_HEADER_FIXED + (size_t)len},
                         &copy, &err),
        ST_OK);
    cr_assert_eq(amq_get64(copy.data + 4), 3);
    cr_assert_eq(amq_content_decode((struct slice){copy.data, copy.len}, &body,
                                    3, &n, &err),
                 ST_OK);
    cr_assert(n->redelivered);
    cr_assert(json_object_object_get_ex(n->headers, "id", NULL));
    cr_assert(!json_object_object_get_ex(n->headers, "x-death", NULL));
    message_free(m);
    message_free(n);
    buf_fini(&copy);
}

Test(frame, what_fits_in_no_frame_is_refused)
{
    struct message *m = sample();
    char *text = malloc(AMQ_FRAME_MAX + 1);

    memset(text, 'x', AMQ_FRAME_MAX);
    text[AMQ_FRAME_MAX] = '\0';
    json_object_object_add(m->headers, "big", json_object_new_string(text));
    cr_assert_eq(amq_content_encode(m, &out, &err), ST_TOOBIG);
    cr_assert_not_null(strstr(err.text, "frame of 131072"), "%s", err.text);
    json_object_object_del(m->headers, "big");

    text[300] = '\0';
    free(m->reply_to);
    m->reply_to = text;
    cr_assert_eq(amq_content_encode(m, &out, &err), ST_TOOBIG);
    cr_assert_not_null(strstr(err.text, "300 bytes"), "%s", err.text);
    message_free(m);
}

Test(frame, properties_that_do_not_decode_are_told)
{
    static const struct slice rows[] = {
        {"", 0},
        {"\0\x3c\0\0\0\0\0\0\0\0\0\3", 12},
        {"\0\x3c\0\0\0\0\0\0\0\0\0\3\xff\xfe", 14},
        {"\0\x3c\0\0\0\0\0\0\0\0\0\3\x80\0\x20xy", 17}};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *body = strdup("abc");
        struct message *m = NULL;

        cr_expect_eq(amq_content_decode(rows[i], &body, 3, &m, &err), ST_PROTO,
                     "%zu", i);
        cr_expect_null(m);
        cr_expect_null(body);
    }
}
