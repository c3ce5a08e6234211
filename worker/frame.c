/* SPDX-License-Identifier: Apache-2.0 */
/* Frames between a node and its executors. */
#include "worker/frame.h"

#include <string.h>

struct head {
    uint32_t type, job, head_len, body_len;
};

struct run_head {
    int64_t retries;
    uint32_t id_len, args_len, batch, unused;
};

_Static_assert(sizeof(struct head) == FRAME_HEAD, "the head has no holes");

static void
add_head(struct buf *out, enum frame_type type, uint32_t job, size_t head_len,
         size_t body_len)
{
    struct head h = {.type = type,
                     .job = job,
                     .head_len = (uint32_t)head_len,
                     .body_len = (uint32_t)body_len};
    struct slice s = {(const char *)&h, sizeof(h)};

    if (head_len > FRAME_TEXT_MAX || body_len > FRAME_TEXT_MAX)
        out->failed = true;
    buf_add(out, s);
}

static void
add_text(struct buf *out, struct slice s)
{
    if (s.len)
        buf_add(out, s);
}

void
frame_add(struct buf *out, const struct frame *f)
{
    add_head(out, f->type, f->job, f->head.len, f->body.len);
    add_text(out, f->head);
    add_text(out, f->body);
}

void
frame_add_run(struct buf *out, uint32_t job, const struct frame_run *run)
{
    struct run_head r = {.retries = run->retries,
                         .batch = run->batch,
                         .id_len = (uint32_t)run->id.len,
                         .args_len = (uint32_t)run->args.len};
    struct slice s = {(const char *)&r, sizeof(r)}, nul = {"", 1};

    add_head(out, FRAME_RUN, job,
             sizeof(r) + run->id.len + 1 + run->name.len + 1,
             run->args.len + run->kwargs.len);
    buf_add(out, s);
    add_text(out, run->id);
    buf_add(out, nul);
    add_text(out, run->name);
    buf_add(out, nul);
    add_text(out, run->args);
    add_text(out, run->kwargs);
}

enum status
frame_read_run(const struct frame *f, struct frame_run *out, struct error *err)
{
    const char *end = f->head.ptr + f->head.len;
    struct run_head r;

    if (f->head.len < sizeof(r) + 2 || end[-1] != '\0')
        return error_set(err, ST_PROTO, "no head of a task");
    memcpy(&r, f->head.ptr, sizeof(r));
    if (r.id_len > f->head.len - sizeof(r) - 2 || r.args_len > f->body.len ||
        f->head.ptr[sizeof(r) + r.id_len] != '\0')
        return error_set(err, ST_PROTO, "a task's id of %u bytes", r.id_len);
    out->retries = r.retries;
    out->batch = r.batch;
    out->id.ptr = f->head.ptr + sizeof(r);
    out->id.len = r.id_len;
    out->name.ptr = out->id.ptr + r.id_len + 1;
    out->name.len = (size_t)(end - 1 - out->name.ptr);
    out->args.ptr = f->body.ptr;
    out->args.len = r.args_len;
    out->kwargs.ptr = f->body.ptr + r.args_len;
    out->kwargs.len = f->body.len - r.args_len;
    return ST_OK;
}

enum status
frame_next(struct slice in, struct frame *out, size_t *used, struct error *err)
{
    struct head h;
    size_t len;

    if (in.len < sizeof(h))
        return ST_AGAIN;
    memcpy(&h, in.ptr, sizeof(h));
    if (h.type < FRAME_HELLO || h.type > FRAME_END)
        return error_set(err, ST_PROTO, "frame of unknown type %u", h.type);
    if (h.head_len > FRAME_TEXT_MAX || h.body_len > FRAME_TEXT_MAX)
        return error_set(err, ST_PROTO, "frame of %u + %u bytes", h.head_len,
                         h.body_len);
    len = sizeof(h) + h.head_len + h.body_len;
    if (in.len < len)
        return ST_AGAIN;
    out->type = (enum frame_type)h.type;
    out->job = h.job;
    out->head.ptr = in.ptr + sizeof(h);
    out->head.len = h.head_len;
    out->body.ptr = out->head.ptr + h.head_len;
    out->body.len = h.body_len;
    *used = len;
    return ST_OK;
}
