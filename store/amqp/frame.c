/* SPDX-License-Identifier: Apache-2.0 */
/* AMQP 0-9-1 frames. */
#include "store/amqp/frame.h"

enum {
    BEFORE = 7,
    END = 0xce,
    METHOD_ID = 4,
    METHOD_MAX = 16384 /* of ours; a login token is the largest thing in one */
};

uint32_t
amq_get32(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;

    return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 |
           u[3];
}

uint64_t
amq_get64(const char *p)
{
    return (uint64_t)amq_get32(p) << 32 | amq_get32(p + 4);
}

static void
put32(char *p, uint32_t v)
{
    for (int i = 3; i >= 0; i--, v >>= 8)
        p[i] = (char)(v & 0xff);
}

enum status
amq_frame_cut(struct slice *in, size_t max, struct amq_frame *out,
              struct error *err)
{
    const unsigned char *p = (const unsigned char *)in->ptr;
    size_t size;

    if (in->len == 0)
        return ST_AGAIN;
    if (p[0] != AMQ_FRAME_METHOD && p[0] != AMQ_FRAME_HEADER &&
        p[0] != AMQ_FRAME_BODY && p[0] != AMQ_FRAME_HEARTBEAT)
        return error_set(err, ST_PROTO, "no AMQP 0-9-1 frame (type %u)", p[0]);
    if (in->len < BEFORE)
        return ST_AGAIN;
    size = amq_get32(in->ptr + 3);
    if (size + AMQ_FRAME_OVERHEAD > max)
        return error_set(err, ST_PROTO, "a frame of %zu bytes", size);
    if (in->len < size + AMQ_FRAME_OVERHEAD)
        return ST_AGAIN;
    if (p[BEFORE + size] != END)
        return error_set(err, ST_PROTO, "a frame without its end");
    out->type = (enum amq_frame_type)p[0];
    out->channel = (uint16_t)(p[1] << 8 | p[2]);
    out->payload = (struct slice){in->ptr + BEFORE, size};
    in->ptr += size + AMQ_FRAME_OVERHEAD;
    in->len -= size + AMQ_FRAME_OVERHEAD;
    return ST_OK;
}

static void
begin(struct buf *out, enum amq_frame_type type, uint16_t channel, size_t size)
{
    char head[BEFORE];

    head[0] = (char)type;
    head[1] = (char)(channel >> 8);
    head[2] = (char)(channel & 0xff);
    put32(head + 3, (uint32_t)size);
    buf_add(out, (struct slice){head, sizeof head});
}

static void
end(struct buf *out)
{
    static const char mark = (char)END;

    buf_add(out, (struct slice){&mark, 1});
}

void
amq_frame_method(struct buf *out, uint16_t channel, amqp_method_number_t id,
                 void *fields)
{
    char payload[METHOD_MAX];
    amqp_bytes_t room = {sizeof payload - METHOD_ID, payload + METHOD_ID};
    int n = amqp_encode_method(id, fields, room);

    if (n < 0) {
        out->failed = true;
        return;
    }
    put32(payload, id);
    begin(out, AMQ_FRAME_METHOD, channel, (size_t)n + METHOD_ID);
    buf_add(out, (struct slice){payload, (size_t)n + METHOD_ID});
    end(out);
}

void
amq_frame_heartbeat(struct buf *out)
{
    begin(out, AMQ_FRAME_HEARTBEAT, 0, 0);
    end(out);
}

void
amq_frame_content(struct buf *out, uint16_t channel, struct slice head,
                  struct slice body, size_t frame_max)
{
    size_t most = frame_max - AMQ_FRAME_OVERHEAD;

    begin(out, AMQ_FRAME_HEADER, channel, head.len);
    buf_add(out, head);
    end(out);
    while (body.len > 0) {
        size_t n = body.len < most ? body.len : most;
        begin(out, AMQ_FRAME_BODY, channel, n);
        buf_add(out, (struct slice){body.ptr, n});
        end(out);
        body.ptr += n;
        body.len -= n;
    }
}
