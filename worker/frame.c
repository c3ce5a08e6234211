/* SPDX-License-Identifier: Apache-2.0 */
/* Frames between a node and its executors. */
#include "worker/frame.h"

#include <string.h>

struct head {
    uint32_t type, job, head_len, body_len;
};

_Static_assert(sizeof(struct head) == FRAME_HEAD, "the head has no holes");

void
frame_add(struct buf *out, const struct frame *f)
{
    struct head h = {.type = f->type, .job = f->job};
    struct slice s = {(const char *)&h, sizeof(h)};

    if (f->head.len > FRAME_TEXT_MAX || f->body.len > FRAME_TEXT_MAX) {
        out->failed = true;
        return;
    }
    h.head_len = (uint32_t)f->head.len;
    h.body_len = (uint32_t)f->body.len;
    buf_add(out, s);
    if (f->head.len)
        buf_add(out, f->head);
    if (f->body.len)
        buf_add(out, f->body);
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
