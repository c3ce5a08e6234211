/* SPDX-License-Identifier: Apache-2.0 */
/* Messages as AMQP carries them. */
#include "store/amqp/content.h"

#include <stdlib.h>
#include <string.h>

#include "store/amqp/table.h"

enum {
    POOL_PAGE = 8192,
    SHORT_MAX = 255,
    PROPERTIES_MAX = AMQ_FRAME_MAX - AMQ_FRAME_OVERHEAD - AMQ_HEADER_FIXED
};

static enum status
set(amqp_basic_properties_t *p, amqp_flags_t flag, const char *value,
    amqp_bytes_t *out, struct error *err)
{
    if (value == NULL)
        return ST_OK;
    if (strlen(value) > SHORT_MAX)
        return error_set(err, ST_TOOBIG,
                         "a property of %zu bytes (%.40s...), %d at most",
                         strlen(value), value, SHORT_MAX);
    *out = amq_bytes(value);
    p->_flags |= flag;
    return ST_OK;
}

static enum status
set_strings(const struct message *m, amqp_basic_properties_t *p,
            struct error *err)
{
    const struct {
        amqp_flags_t flag;
        const char *value;
        amqp_bytes_t *out;
    } all[] = {
        {AMQP_BASIC_CONTENT_TYPE_FLAG, m->content_type, &p->content_type},
        {AMQP_BASIC_CONTENT_ENCODING_FLAG, m->content_encoding,
         &p->content_encoding},
        {AMQP_BASIC_CORRELATION_ID_FLAG, m->correlation_id, &p->correlation_id},
        {AMQP_BASIC_REPLY_TO_FLAG, m->reply_to, &p->reply_to},
        {AMQP_BASIC_EXPIRATION_FLAG, m->expiration, &p->expiration},
    };
    enum status st = ST_OK;

    for (size_t i = 0; i < sizeof all / sizeof *all && st == ST_OK; i++)
        st = set(p, all[i].flag, all[i].value, all[i].out, err);
    return st;
}

static void
put(char *p, uint64_t v, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--, v >>= 8)
        p[i] = (char)(v & 0xff);
}

/* The body's size is filled in where it is known. */
static enum status
encode(amqp_basic_properties_t *p, uint64_t body_len, struct buf *head,
       struct error *err)
{
    char fixed[AMQ_HEADER_FIXED] = {0};
    char *memory = malloc(PROPERTIES_MAX);
    amqp_bytes_t room = {PROPERTIES_MAX, memory};
    int n;

    if (memory == NULL)
        return error_set(err, ST_NOMEM, "no memory for a message");
    n = amqp_encode_properties(AMQP_BASIC_CLASS, p, room);
    if (n >= 0) {
        put(fixed, AMQP_BASIC_CLASS, 2);
        put(fixed + 4, body_len, 8);
        buf_add(head, (struct slice){fixed, sizeof fixed});
        buf_add(head, (struct slice){memory, (size_t)n});
    }
    free(memory);
    if (n < 0)
        return error_set(err, ST_TOOBIG,
                         "headers and properties of more than a frame of %d "
                         "bytes",
                         AMQ_FRAME_MAX);
    return head->failed ? error_set(err, ST_NOMEM, "no memory for a message")
                        : ST_OK;
}

enum status
amq_content_encode(const struct message *m, struct buf *head, struct error *err)
{
    amqp_basic_properties_t p = {0};
    amqp_pool_t pool;
    enum status st;

    init_amqp_pool(&pool, POOL_PAGE);
    st = set_strings(m, &p, err);
    if (st == ST_OK)
        st = amq_table_encode(m->headers, &pool, &p.headers, err);
    if (st != ST_OK)
        goto out;
    if (m->headers != NULL)
        p._flags |= AMQP_BASIC_HEADERS_FLAG;
    if (m->delivery_mode > 0) {
        p.delivery_mode = (uint8_t)m->delivery_mode;
        p._flags |= AMQP_BASIC_DELIVERY_MODE_FLAG;
    }
    if (m->priority >= 0) {
        p.priority = (uint8_t)(m->priority < 255 ? m->priority : 255);
        p._flags |= AMQP_BASIC_PRIORITY_FLAG;
    }
    st = encode(&p, m->body_len, head, err);
out:
    empty_amqp_pool(&pool);
    return st;
}

/* ---- reading ---- */

/* Everything lives in pool and in head. */
static amqp_basic_properties_t *
properties(struct slice head, amqp_pool_t *pool)
{
    void *p = NULL;
    struct slice s = {head.ptr + AMQ_HEADER_FIXED, head.len};

    if (head.len < AMQ_HEADER_FIXED)
        return NULL;
    s.len -= AMQ_HEADER_FIXED;
    if (amqp_decode_properties(AMQP_BASIC_CLASS, pool, amq_bytes_of(s), &p) < 0)
        return NULL;
    return p;
}

static bool
is(amqp_bytes_t b, const char *text)
{
    return b.len == strlen(text) && memcmp(b.bytes, text, b.len) == 0;
}

enum status
amq_content_copy(struct slice head, struct buf *out, struct error *err)
{
    static const char mark[] = "redelivered";
    amqp_basic_properties_t *p;
    amqp_table_entry_t *entries;
    amqp_pool_t pool;
    enum status st = ST_PROTO;
    int n = 0;

    init_amqp_pool(&pool, POOL_PAGE);
    p = properties(head, &pool);
    if (p == NULL) {
        error_set(err, st, "properties that do not decode");
        goto out;
    }
    if ((p->_flags & AMQP_BASIC_HEADERS_FLAG) == 0)
        p->headers.num_entries = 0;
    entries = amqp_pool_alloc(&pool, ((size_t)p->headers.num_entries + 1) *
                                         sizeof *entries);
    if (entries == NULL) {
        st = error_set(err, ST_NOMEM, "no memory for a message");
        goto out;
    }
    for (int i = 0; i < p->headers.num_entries; i++) {
        const amqp_table_entry_t *e = &p->headers.entries[i];
        if (!is(e->key, mark) && !amq_table_is_death(amq_slice(e->key)))
            entries[n++] = *e;
    }
    entries[n].key = amq_bytes(mark);
    entries[n].value.kind = AMQP_FIELD_KIND_BOOLEAN;
    entries[n++].value.value.boolean = 1;
    p->headers = (amqp_table_t){n, entries};
    p->_flags |= AMQP_BASIC_HEADERS_FLAG;
    /* The broker would refuse it, and close the channel, if that is not us. */
    p->_flags &= ~(amqp_flags_t)AMQP_BASIC_USER_ID_FLAG;
    st = encode(p, amq_get64(head.ptr + 4), out, err);
out:
    empty_amqp_pool(&pool);
    return st;
}

static enum status
take_string(const amqp_basic_properties_t *p, amqp_flags_t flag, amqp_bytes_t v,
            char **out)
{
    if ((p->_flags & flag) == 0)
        return ST_OK;
    return message_set(out, v.len == 0 ? (struct slice){"", 0} : amq_slice(v));
}

static enum status
take_properties(const amqp_basic_properties_t *p, struct message *m,
                struct error *err)
{
    enum status st = ST_OK;

    if (p->_flags & AMQP_BASIC_HEADERS_FLAG)
        st = amq_table_decode(&p->headers, &m->headers, err);
    if (st != ST_OK)
        return st;
    if (p->_flags & AMQP_BASIC_PRIORITY_FLAG)
        m->priority = p->priority;
    if (p->_flags & AMQP_BASIC_DELIVERY_MODE_FLAG)
        m->delivery_mode = p->delivery_mode;
    m->redelivered = json_get_bool(m->headers, "redelivered", false);
    if (take_string(p, AMQP_BASIC_CONTENT_TYPE_FLAG, p->content_type,
                    &m->content_type) != ST_OK ||
        take_string(p, AMQP_BASIC_CONTENT_ENCODING_FLAG, p->content_encoding,
                    &m->content_encoding) != ST_OK ||
        take_string(p, AMQP_BASIC_CORRELATION_ID_FLAG, p->correlation_id,
                    &m->correlation_id) != ST_OK ||
        take_string(p, AMQP_BASIC_REPLY_TO_FLAG, p->reply_to, &m->reply_to) !=
            ST_OK ||
        take_string(p, AMQP_BASIC_EXPIRATION_FLAG, p->expiration,
                    &m->expiration) != ST_OK)
        return error_set(err, ST_NOMEM, "no memory for a message");
    return ST_OK;
}

enum status
amq_content_decode(struct slice head, char **body, size_t body_len,
                   struct message **out, struct error *err)
{
    struct message *m = message_new();
    const amqp_basic_properties_t *p;
    amqp_pool_t pool;
    enum status st;

    init_amqp_pool(&pool, POOL_PAGE);
    p = properties(head, &pool);
    if (m == NULL)
        st = error_set(err, ST_NOMEM, "no memory for a message");
    else if (p == NULL)
        st = error_set(err, ST_PROTO, "properties that do not decode");
    else
        st = take_properties(p, m, err);
    empty_amqp_pool(&pool);
    if (st != ST_OK) {
        free(*body);
        message_free(m);
    } else {
        m->body = *body;
        m->body_len = body_len;
        *out = m;
    }
    *body = NULL;
    return st;
}
