/* SPDX-License-Identifier: Apache-2.0 */
/* The handshake of AMQP, and what the broker says about the connection. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/amqp/link_state.h"
#include "store/amqp/table.h"

enum {
    ACCESS_REFUSED = 403,
    NOT_ALLOWED = 530, /* no such virtual host, or not for this user */
    CREDENTIALS_MAX = 8192
};

static amqp_table_entry_t
flag(const char *name)
{
    amqp_table_entry_t e = {.key = amq_bytes(name)};

    e.value.kind = AMQP_FIELD_KIND_BOOLEAN;
    e.value.value.boolean = 1;
    return e;
}

static amqp_table_entry_t
text(const char *name, const char *value)
{
    amqp_table_entry_t e = {.key = amq_bytes(name)};

    e.value.kind = AMQP_FIELD_KIND_UTF8;
    e.value.value.bytes = amq_bytes(value);
    return e;
}

/* Is word one of the blank-separated words of list? */
static bool
has_word(amqp_bytes_t list, const char *word)
{
    const char *p = list.bytes, *end = p + list.len;
    size_t n = strlen(word);

    while (p < end) {
        const char *blank = memchr(p, ' ', (size_t)(end - p));
        size_t len = (size_t)((blank == NULL ? end : blank) - p);
        if (len == n && memcmp(p, word, n) == 0)
            return true;
        p += len + 1;
    }
    return false;
}

/* The answer of the mechanism. */
static amqp_bytes_t
credentials(const struct amq_address *a, char *room)
{
    size_t u = strlen(a->user), p = strlen(a->password);
    amqp_bytes_t out = {0, room};

    if (a->external || u + p + 2 > CREDENTIALS_MAX)
        return out;
    room[0] = '\0';
    memcpy(room + 1, a->user, u);
    room[u + 1] = '\0';
    memcpy(room + u + 2, a->password, p);
    out.len = u + p + 2;
    return out;
}

static enum status
on_start(struct amq_link *l, const amqp_connection_start_t *start,
         struct error *err)
{
    amqp_table_entry_t can[] = {flag("consumer_cancel_notify"),
                                flag("connection.blocked"),
                                flag("basic.nack"),
                                flag("publisher_confirms"),
                                flag("exchange_exchange_bindings"),
                                flag("authentication_failure_close")};
    amqp_table_entry_t about[] = {text("product", "Lovage"),
                                  text("version", LOVAGE_VERSION),
                                  text("platform", "C"),
                                  text("connection_name", l->name),
                                  {.key = amq_bytes("capabilities")}};
    const struct amq_address *a = &l->brokers.each[l->at];
    const char *mechanism = a->external ? "EXTERNAL" : "PLAIN";
    char room[CREDENTIALS_MAX];
    amqp_connection_start_ok_t ok = {
        .client_properties = {sizeof about / sizeof *about, about},
        .mechanism = amq_bytes(mechanism),
        .response = credentials(a, room),
        .locale = amq_bytes("en_US")};

    about[4].value.kind = AMQP_FIELD_KIND_TABLE;
    about[4].value.value.table = (amqp_table_t){sizeof can / sizeof *can, can};
    if (!has_word(start->mechanisms, mechanism))
        return error_set(err, ST_DENIED, "%.80s: the broker offers no %s",
                         a->stream.host, mechanism);
    link_enter(l, LINK_TUNE);
    return link_send(l, 0, AMQP_CONNECTION_START_OK_METHOD, &ok);
}

static enum status
on_tune(struct amq_link *l, const amqp_connection_tune_t *tune)
{
    const struct amq_address *a = &l->brokers.each[l->at];
    uint16_t beat = a->heartbeat > 0 ? a->heartbeat : l->want_heartbeat;
    amqp_connection_open_t open = {.virtual_host = amq_bytes(a->vhost)};
    amqp_connection_tune_ok_t ok;
    enum status st;

    l->frame_max = AMQ_FRAME_MAX;
    if (tune->frame_max != 0 && tune->frame_max < AMQ_FRAME_MAX)
        l->frame_max = tune->frame_max;
    if (tune->heartbeat != 0 && (beat == 0 || tune->heartbeat < beat))
        beat = tune->heartbeat;
    l->heartbeat = beat;
    ok = (amqp_connection_tune_ok_t){.channel_max = tune->channel_max,
                                     .frame_max = (uint32_t)l->frame_max,
                                     .heartbeat = beat};
    st = link_send(l, 0, AMQP_CONNECTION_TUNE_OK_METHOD, &ok);
    link_enter(l, LINK_OPEN);
    if (st == ST_OK)
        st = link_send(l, 0, AMQP_CONNECTION_OPEN_METHOD, &open);
    return st;
}

static enum status
on_open_ok(struct amq_link *l)
{
    amqp_channel_open_t open = {0};
    amqp_confirm_select_t confirm = {0};
    enum status st = ST_OK;

    link_enter(l, LINK_CHANNELS);
    for (uint16_t c = 1; c <= AMQ_CHANNELS && st == ST_OK; c++) {
        l->channels[c].phase = CHANNEL_OPENING;
        st = link_send(l, c, AMQP_CHANNEL_OPEN_METHOD, &open);
    }
    if (st == ST_OK && l->confirm)
        st = link_send(l, 1, AMQP_CONFIRM_SELECT_METHOD, &confirm);
    return st;
}

/* The broker ends the connection; that we go is answer enough. */
static void
on_close(struct amq_link *l, const amqp_connection_close_t *c)
{
    struct error err;
    enum status st = ST_LOST;

    if (c->reply_code == ACCESS_REFUSED || c->reply_code == NOT_ALLOWED)
        st = ST_DENIED;
    if (l->phase == LINK_CLOSING) {
        link_finish(l);
        return;
    }
    error_set(&err, st, "the broker closes the connection: %.*s",
              (int)(c->reply_text.len < 180 ? c->reply_text.len : 180),
              (const char *)c->reply_text.bytes);
    link_drop(l, &err);
}

static void
on_blocked(struct amq_link *l, const amqp_connection_blocked_t *b)
{
    int n = (int)(b->reason.len < 100 ? b->reason.len : 100);

    log_warning("the broker accepts no messages for now",
                "connection=%s reason=%.*s", l->name, n,
                (const char *)b->reason.bytes);
    l->ev.blocked(l->arg, true);
}

static enum status
proceed(struct amq_link *l, amqp_method_number_t id, void *fields,
        struct error *err)
{
    if (id == AMQP_CONNECTION_START_METHOD && l->phase == LINK_START)
        return on_start(l, fields, err);
    if (id == AMQP_CONNECTION_TUNE_METHOD && l->phase == LINK_TUNE)
        return on_tune(l, fields);
    if (id == AMQP_CONNECTION_OPEN_OK_METHOD && l->phase == LINK_OPEN)
        return on_open_ok(l);
    return error_set(err, ST_PROTO, "method %08x is not expected",
                     (unsigned)id);
}

/* ---- exported ---- */

void
link_greet(struct amq_link *l)
{
    static const char header[] = {'A', 'M', 'Q', 'P', 0, 0, 9, 1};

    l->heard_us = l->beat_us = clock_mono_us();
    link_enter(l, LINK_START);
    stream_write(l->stream, (struct slice){header, sizeof header});
}

void
link_login(struct amq_link *l, amqp_method_number_t id, void *fields)
{
    struct error err = {0};
    enum status st;

    if (id == AMQP_CONNECTION_CLOSE_METHOD) {
        on_close(l, fields);
    } else if (l->phase == LINK_CLOSING) {
        if (id == AMQP_CONNECTION_CLOSE_OK_METHOD)
            link_finish(l);
    } else if (id == AMQP_CONNECTION_BLOCKED_METHOD && l->phase == LINK_UP) {
        on_blocked(l, fields);
    } else if (id == AMQP_CONNECTION_UNBLOCKED_METHOD && l->phase == LINK_UP) {
        log_info("the broker accepts messages again", "connection=%s", l->name);
        l->ev.blocked(l->arg, false);
    } else {
        st = proceed(l, id, fields, &err);
        if (st != ST_OK && err.code == ST_OK)
            error_set(&err, st, "logging in: %s", status_text(st));
        if (st != ST_OK)
            link_drop(l, &err);
    }
}
