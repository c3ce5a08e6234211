/* A task message: the text of its headers up to the first newline, then its
 * body.  What is accepted must be accepted again after it is sent on. */
#include "protocol/task.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/saferepr.h"
#include "protocol/typed_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
send_on(const struct task_message *t)
{
    struct task_new n = {
        .id = t->id,
        .name = t->name,
        .args = t->args,
        .kwargs = t->kwargs,
        .callbacks = t->callbacks,
        .errbacks = t->errbacks,
        .chain = t->chain,
        .chord = t->chord,
        .root_id = t->root_id,
        .group_index = t->group_index,
        .retries = t->retries,
        .soft_limit = t->soft_limit,
        .hard_limit = t->hard_limit,
        .has_eta = t->has_eta,
        .has_expires = t->has_expires,
        .eta_us = t->eta_us,
        .expires_us = t->expires_us,
        .now_us = 1,
        .ignore_result = t->ignore_result,
        .stamps = t->stamps,
        .stamped_headers = t->stamped_headers,
        .routing_key = {"q", 1},
    };
    struct task_message again;
    struct message *m = NULL;
    enum task_fault fault;
    struct error err;

    assert(task_encode(&n, &m, &err) == ST_OK);
    /* Deeper by what the body adds, it may now be too deep: no fault of ours.
     */
    if (task_decode(&m, "json", &again, &fault, NULL, &err) == ST_OK) {
        assert(again.id.len == t->id.len);
        assert(again.retries == t->retries);
    }
    task_fini(&again);
}

static void
look_at(const struct task_message *t)
{
    struct buf b;

    buf_init(&b, 4096);
    saferepr_add_tuple(&b, t->args, 40);
    saferepr_add(&b, t->kwargs, TASK_REPR_MAX);
    buf_fini(&b);
    for (size_t i = 0; i < json_object_array_length(t->args); i++) {
        buf_init(&b, 4096);
        if (typed_json_decode(json_object_array_get_idx(t->args, i), &b,
                              NULL) == ST_OK)
            assert(typed_json_kind(json_object_array_get_idx(t->args, i)) !=
                   TYPED_NONE);
        buf_fini(&b);
    }
}

static struct message *
message_of(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    const char *end = size > 0 ? memchr(text, '\n', size) : NULL;
    size_t head = end != NULL ? (size_t)(end - text) : 0;
    struct json_object *headers = NULL;
    struct message *m = message_new();

    if (m == NULL)
        return NULL;
    if (json_parse((struct slice){text, head}, JSON_DEPTH, &headers, NULL) ==
            ST_OK &&
        json_object_is_type(headers, json_type_object))
        m->headers = json_object_get(headers);
    json_object_put(headers);
    head += end != NULL;
    m->body_len = size - head;
    if (message_set(&m->content_type, (struct slice){"application/json", 16}) ==
            ST_OK &&
        message_set(&m->body, (struct slice){text + head, m->body_len}) ==
            ST_OK)
        return m;
    message_free(m);
    return NULL;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct message *m = message_of(data, size);
    struct task_message t;
    enum task_fault fault;
    struct error err;
    char id[TASK_ID_MAX + 1];
    enum status st;

    if (m == NULL)
        return 0;
    st = task_decode(&m, "json", &t, &fault, id, &err);
    assert(m == NULL && strlen(id) <= TASK_ID_MAX);
    assert((st == ST_OK) == (fault == TASK_FAULT_NONE));
    if (st == ST_OK) {
        look_at(&t);
        send_on(&t);
    }
    task_fini(&t);
    return 0;
}
