/* Applies the signatures of canvas.json and compares the messages with those
 * that a Celery client published for them: all of headers and body, ids renamed
 * by order of appearance. */
#include <criterion/criterion.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/envelope.h"
#include "protocol/signature.h"
#include "tests/support/data.h"

enum { IDS_MAX = 256, UUID_LEN = 36 };

/* 5.2 numbers the members of chords only, 5.3 those of groups as well. */
static bool with_index;

static int
by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* What differs for a reason: nulls in options, which mean "not set"; the body
 * in the options of header tasks that wait in a chain, which Python puts there
 * twice; nesting, stamps and stamped_headers, which 5.2 does not know;
 * argsrepr, where Python tells a list from a tuple. */
static bool
is_left_out(const char *parent, const char *key, struct json_object *v,
            bool in_header)
{
    if (!with_index && strcmp(key, "group_index") == 0)
        return true;
    if (strcmp(parent, "options") == 0)
        return v == NULL || (in_header && strcmp(key, "chord") == 0);
    if (strcmp(parent, "headers") == 0)
        return strcmp(key, "origin") == 0 || strcmp(key, "stamps") == 0 ||
               strcmp(key, "argsrepr") == 0 ||
               strcmp(key, "stamped_headers") == 0 ||
               strcmp(key, "replaced_task_nesting") == 0;
    return false;
}

/* Text with sorted keys. */
static void
print(struct buf *b, struct json_object *v, const char *parent, bool in_header)
{
    const char *keys[256];
    size_t n = 0;

    if (json_object_is_type(v, json_type_array)) {
        buf_addf(b, "[");
        for (size_t i = 0; i < json_object_array_length(v); i++) {
            print(b, json_object_array_get_idx(v, i), "", in_header);
            buf_addf(b, ",");
        }
        buf_addf(b, "]");
        return;
    }
    if (!json_object_is_type(v, json_type_object)) {
        json_add(b, v);
        return;
    }
    json_object_object_foreach(v, key, val)
    {
        if (!is_left_out(parent, key, val, in_header))
            keys[n++] = key;
    }
    qsort(keys, n, sizeof(keys[0]), by_name);
    buf_addf(b, "{");
    for (size_t i = 0; i < n; i++) {
        buf_addf(b, "%s:", keys[i]);
        print(b, json_get(v, keys[i]), keys[i],
              in_header || strcmp(keys[i], "header") == 0);
        buf_addf(b, ",");
    }
    buf_addf(b, "}");
}

static bool
is_uuid(const char *s)
{
    for (int i = 0; i < UUID_LEN; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (dash ? s[i] != '-' : !isxdigit((unsigned char)s[i]))
            return false;
    }
    return true;
}

/* Renames ids to "#0", "#1", ... in place. */
static void
rename_ids(char *s)
{
    char ids[IDS_MAX][UUID_LEN];
    size_t n = 0, i;
    char *w = s;

    while (*s != '\0') {
        if (strlen(s) < UUID_LEN || !is_uuid(s)) {
            *w++ = *s++;
            continue;
        }
        for (i = 0; i < n; i++)
            if (memcmp(ids[i], s, UUID_LEN) == 0)
                break;
        if (i == n) {
            cr_assert_lt(n, IDS_MAX);
            memcpy(ids[n++], s, UUID_LEN);
        }
        s += UUID_LEN;
        w += sprintf(w, "#%zu", i);
    }
    *w = '\0';
}

static void
add_message(struct buf *b, const struct message *m)
{
    struct json_object *body = data_json(m->body_len > 0 ? m->body : "null");

    print(b, m->headers, "headers", false);
    buf_addf(b, "\n  ");
    print(b, body, "", false);
    buf_addf(b, "\n  %s %s %d\n", m->exchange, m->routing_key, m->priority);
    json_object_put(body);
}

static struct message *
sent(struct json_object *c, size_t i)
{
    struct json_object *s = json_object_array_get_idx(json_get(c, "sent"), i);
    struct message *m = NULL;

    cr_assert_eq(envelope_decode(json_get_str(s, "envelope"), &m, NULL), ST_OK);
    return m;
}

static char *
take(struct buf *b, struct slice result_id)
{
    char *text;

    buf_add(b, result_id);
    cr_assert_eq(buf_take(b, &text, NULL), ST_OK);
    rename_ids(text);
    return text;
}

/* The sizes, as in "2 2 1": Python keeps no order of them. */
static void
expect_chords(struct json_object *c, const struct signature_messages *ours,
              const char *name)
{
    struct json_object *sizes = json_get(c, "chord_sizes");

    cr_expect_eq(ours->chord_count, (size_t)json_object_object_length(sizes),
                 "%s: %zu chords", name, ours->chord_count);
    if (ours->chord_count != 1 || json_object_object_length(sizes) != 1)
        return;
    json_object_object_foreach(sizes, gid, size)
    {
        (void)gid;
        cr_expect_eq(ours->chords[0].size, json_object_get_int64(size), "%s",
                     name);
    }
    cr_expect_eq(ours->chords[0].last, ours->count - 1);
}

static void
compare(struct json_object *c)
{
    const char *name = json_get_str(c, "name").ptr;
    struct json_object *sig = data_json(json_get_str(c, "signature").ptr);
    size_t n = json_object_array_length(json_get(c, "sent"));
    struct signature_messages ours;
    struct signature_context ctx = {.origin = data_text("o"), .now_us = 1};
    struct error err = {0};
    struct message *m;
    struct buf want, got;
    char *w, *g;

    with_index = json_object_object_length(json_get(c, "chord_sizes")) > 0 ||
                 strncmp(name, "chain", 5) == 0;
    m = sent(c, 0);
    ctx.reply_to = data_text(m->reply_to);
    cr_assert_eq(signature_apply(sig, &ctx, &ours, &err), ST_OK, "%s: %s", name,
                 err.text);
    message_free(m);
    cr_expect_eq(ours.count, n, "%s: %zu messages", name, ours.count);
    buf_init(&want, 1 << 20);
    buf_init(&got, 1 << 20);
    for (size_t i = 0; i < n; i++) {
        m = sent(c, i);
        add_message(&want, m);
        message_free(m);
    }
    for (size_t i = 0; i < ours.count; i++)
        add_message(&got, ours.items[i].msg);
    w = take(&want, json_get_str(c, "result_id"));
    g = take(&got, data_text(ours.result_id));
    cr_expect_str_eq(g, w, "%s\nours  %s\ntheirs %s", name, g, w);
    expect_chords(c, &ours, name);
    free(w);
    free(g);
    signature_messages_fini(&ours);
    json_object_put(sig);
}

Test(canvas_capture, what_a_celery_client_sends_we_send)
{
    struct json_object *cases = data_load("canvas.json");
    size_t n = json_object_array_length(cases);

    cr_assert_geq(n, 30);
    for (size_t i = 0; i < n; i++)
        compare(json_object_array_get_idx(cases, i));
    json_object_put(cases);
}
