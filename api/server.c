/* SPDX-License-Identifier: Apache-2.0 */
/* civetweb, and only here.  It listens and gives each connection one of its
 * threads; api/wire.c reads and writes.  Every request goes through
 * begin_request, before any of the library's own handlers. */
#include "api/server.h"

#include <civetweb.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/dispatch.h"
#include "api/wire.h"
#include "base/clock.h"
#include "base/log.h"

enum { ANSWER_MAX = 80 << 20 };

struct server {
    struct mg_context *ctx;
    struct api *api;
    struct wire_limits limits;
    int threads;
    atomic_int connections; /* that a thread serves now */
};

/* ---- the answer ---- */

static void
add_date(struct buf *out)
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed",
                                       "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr",
                                         "May", "Jun", "Jul", "Aug",
                                         "Sep", "Oct", "Nov", "Dec"};
    time_t now = (time_t)(clock_unix_us() / 1000000);
    struct tm tm;

    gmtime_r(&now, &tm);
    buf_addf(out, "Date: %s, %02d %s %d %02d:%02d:%02d GMT\r\n",
             days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900,
             tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static void
add_head(struct buf *out, const struct response *rs, const char *request_id,
         bool keep_alive)
{
    buf_addf(out, "HTTP/1.1 %d %s\r\n", rs->status,
             response_reason(rs->status));
    add_date(out);
    if (rs->content_type != NULL)
        buf_addf(out, "Content-Type: %s\r\n", rs->content_type);
    buf_addf(out,
             "Content-Length: %zu\r\nConnection: %s\r\n"
             "X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n",
             rs->body.len, keep_alive ? "keep-alive" : "close");
    if (request_id[0] != '\0')
        buf_addf(out, "X-Request-ID: %s\r\n", request_id);
    buf_add(out, (struct slice){rs->headers.data, rs->headers.len});
    buf_add(out, (struct slice){"\r\n", 2});
}

/* Head and body in one write: two would wait for each other (Nagle). */
static void
write_answer(struct mg_connection *conn, struct wire *w, struct response *rs,
             const char *request_id, bool head_only)
{
    struct buf out;

    if (rs->body.failed || rs->headers.failed)
        response_error(rs, 500, "Internal Server Error");
    buf_init(&out, ANSWER_MAX);
    add_head(&out, rs, request_id, !rs->close);
    if (!head_only)
        buf_add(&out, (struct slice){rs->body.data, rs->body.len});
    if (out.failed || !wire_write(w, (struct slice){out.data, out.len}))
        rs->close = true;
    buf_fini(&out);
    if (rs->close)
        mg_disable_connection_keep_alive(conn);
}

/* ---- one request ---- */

struct visit {
    struct api *api;
    struct wire *wire;
    bool expects; /* waits for "100 Continue" before it sends the body */
};

static bool
read_body(void *arg, struct buf *out, struct guard_refusal *why)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct visit *v = arg;

    if (v->expects &&
        !wire_write(v->wire, (struct slice){go_on, sizeof(go_on) - 1})) {
        *why = (struct guard_refusal){400, "Request body cut short"};
        return false;
    }
    return wire_body(v->wire, out, why);
}

static bool
stop_waiting(void *arg)
{
    const struct visit *v = arg;

    return atomic_load(&v->api->hurry) || wire_gone(v->wire);
}

/* All threads are taken: those that wait for one may not starve behind idle
 * connections. */
static bool
is_crowded(struct server *s)
{
    return atomic_load(&s->connections) >= s->threads;
}

static void
serve(struct server *s, struct mg_connection *conn, struct wire *w,
      const struct http_request *rq)
{
    struct visit v = {.api = s->api, .wire = w, .expects = rq->expect_continue};
    struct exchange x = {.api = s->api, .rq = rq, .gone = stop_waiting};
    uint64_t from = clock_mono_us();

    x.arg = &v;
    response_init(&x.rs);
    x.rs.close = !rq->keep_alive || is_crowded(s);
    dispatch(&x, read_body);
    write_answer(conn, w, &x.rs, x.request_id, rq->method == HTTP_HEAD);
    dispatch_observe(x.route, x.rs.status, clock_mono_us() - from);
    log_debug("request", "id=%s method=%.*s path=%.*s status=%d us=%" PRIu64,
              x.request_id, (int)rq->method_text.len, rq->method_text.ptr,
              (int)rq->path.len, rq->path.ptr, x.rs.status,
              clock_mono_us() - from);
    response_fini(&x.rs);
}

/* Nothing that follows a refused request is read as a request. */
static void
refuse(struct mg_connection *conn, struct wire *w,
       const struct guard_refusal *why)
{
    struct response rs;

    response_init(&rs);
    rs.close = true;
    response_error(&rs, why->status, why->detail);
    write_answer(conn, w, &rs, "", false);
    dispatch_observe(NULL, why->status, 0);
    log_info("request refused", "status=%d reason=%s", why->status,
             why->detail);
    response_fini(&rs);
    wire_drain(w);
}

static int
begin_request(struct mg_connection *conn)
{
    struct server *s = mg_get_user_data(mg_get_context(conn));
    struct wire *w = wire_current();
    struct guard_refusal why = {500, "Internal Server Error"};
    const struct http_request *rq = w != NULL ? wire_take(w, &why) : NULL;

    if (w == NULL) { /* the guard has not seen this request */
        mg_disable_connection_keep_alive(conn);
        return 500;
    }
    atomic_fetch_add(&s->api->in_flight, 1);
    if (rq == NULL || why.status != 0)
        refuse(conn, w, &why);
    else
        serve(s, conn, w, rq);
    atomic_fetch_sub(&s->api->in_flight, 1);
    return 200;
}

/* ---- threads and connections ---- */

static void *
init_thread(const struct mg_context *ctx, int type)
{
    struct server *s = mg_get_user_data(ctx);

    return type == 1 ? wire_new(&s->limits) : NULL;
}

static void
exit_thread(const struct mg_context *ctx, int type, void *w)
{
    (void)ctx;
    if (type == 1 && w != NULL)
        wire_free(w);
}

static int
init_connection(const struct mg_connection *conn, void **data)
{
    struct server *s = mg_get_user_data(mg_get_context(conn));

    *data = NULL;
    atomic_fetch_add(&s->connections, 1);
    return 0;
}

static void
connection_close(const struct mg_connection *conn)
{
    struct server *s = mg_get_user_data(mg_get_context(conn));

    atomic_fetch_sub(&s->connections, 1);
}

static int
log_message(const struct mg_connection *conn, const char *message)
{
    (void)conn;
    log_warning("civetweb", "text=%s", message);
    return 1;
}

/* ---- start and stop ---- */

static enum status
start(struct server *s, struct error *err)
{
    const struct config *c = s->api->config;
    char ports[300], threads[20], timeout[20];
    const char *options[] = {"listening_ports",
                             ports,
                             "num_threads",
                             threads,
                             "request_timeout_ms",
                             timeout,
                             "keep_alive_timeout_ms",
                             "5000",
                             "enable_keep_alive",
                             "yes",
                             "tcp_nodelay",
                             "1",
                             "connection_queue",
                             "1024",
                             "listen_backlog",
                             "1024",
                             "max_request_size",
                             "16384",
                             "decode_url",
                             "no",
                             "enable_directory_listing",
                             "no",
                             "enable_auth_domain_check",
                             "no",
                             "access_control_allow_origin",
                             "",
                             "access_control_allow_methods",
                             "",
                             "access_control_allow_headers",
                             "",
                             NULL};
    struct mg_callbacks callbacks = {.begin_request = begin_request,
                                     .init_thread = init_thread,
                                     .exit_thread = exit_thread,
                                     .init_connection = init_connection,
                                     .connection_close = connection_close,
                                     .log_message = log_message};

    snprintf(ports, sizeof(ports), "%s:%" PRId64, c->api_host, c->api_port);
    snprintf(threads, sizeof(threads), "%d", s->threads);
    snprintf(timeout, sizeof(timeout), "%" PRIu32, s->limits.timeout_ms);
    s->ctx = mg_start(&callbacks, s, options);
    if (s->ctx == NULL)
        return error_set(err, ST_INVALID, "cannot listen on %s", ports);
    return ST_OK;
}

enum status
server_start(struct server **out, struct api *api, struct error *err)
{
    struct server *s;
    enum status st;

    if (!wire_in_place())
        return error_set(err, ST_INVALID,
                         "recv() is not this program's: the request guard "
                         "would be bypassed");
    s = calloc(1, sizeof(*s));
    if (s == NULL)
        return error_set(err, ST_NOMEM, "no memory for the server");
    s->api = api;
    s->threads = (int)api->config->api_threads;
    s->limits = (struct wire_limits){
        .max_body = api->config->api_max_body_bytes,
        .timeout_ms = (uint32_t)(api->config->api_request_timeout * 1000)};
    mg_init_library(0);
    dispatch_init();
    st = start(s, err);
    if (st == ST_OK)
        *out = s;
    else
        free(s);
    return st;
}

void
server_stop(struct server *s)
{
    wire_stop();
    mg_stop(s->ctx);
    mg_exit_library();
    free(s);
}
