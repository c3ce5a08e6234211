/* SPDX-License-Identifier: Apache-2.0 */
/* Answers being built. */
#include "api/response.h"

#include <string.h>

enum { BODY_MAX = 64 << 20, HEADERS_MAX = 4096 };

void
response_init(struct response *rs)
{
    *rs = (struct response){.status = 200, .content_type = "application/json"};
    buf_init(&rs->body, BODY_MAX);
    buf_init(&rs->headers, HEADERS_MAX);
}

void
response_fini(struct response *rs)
{
    buf_fini(&rs->body);
    buf_fini(&rs->headers);
}

void
response_header(struct response *rs, const char *name, const char *value)
{
    buf_addf(&rs->headers, "%s: %s\r\n", name, value);
}

static void
restart(struct response *rs, int status)
{
    buf_fini(&rs->body);
    rs->status = status;
    rs->content_type = "application/json";
}

static void
add(struct buf *b, const char *text)
{
    buf_add(b, (struct slice){text, strlen(text)});
}

void
response_error(struct response *rs, int status, const char *detail)
{
    restart(rs, status);
    add(&rs->body, "{\"detail\":");
    json_add_string(&rs->body, (struct slice){detail, strlen(detail)});
    add(&rs->body, "}");
}

void
response_busy(struct response *rs, const char *detail)
{
    response_error(rs, 503, detail);
    response_header(rs, "Retry-After", "1");
}

void
response_json(struct response *rs, int status, struct json_object *v)
{
    if (v == NULL) {
        response_error(rs, 500, "Internal Server Error");
        return;
    }
    restart(rs, status);
    json_add_plain(&rs->body, v);
    json_object_put(v);
}

const char *
response_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } table[] = {{200, "OK"},
                 {201, "Created"},
                 {202, "Accepted"},
                 {307, "Temporary Redirect"},
                 {400, "Bad Request"},
                 {404, "Not Found"},
                 {405, "Method Not Allowed"},
                 {408, "Request Timeout"},
                 {409, "Conflict"},
                 {413, "Content Too Large"},
                 {415, "Unsupported Media Type"},
                 {417, "Expectation Failed"},
                 {422, "Unprocessable Entity"},
                 {429, "Too Many Requests"},
                 {431, "Request Header Fields Too Large"},
                 {500, "Internal Server Error"},
                 {501, "Not Implemented"},
                 {502, "Bad Gateway"},
                 {503, "Service Unavailable"},
                 {504, "Gateway Timeout"},
                 {505, "HTTP Version Not Supported"}};

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (table[i].status == status)
            return table[i].reason;
    return "Unknown";
}
