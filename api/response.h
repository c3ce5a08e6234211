#ifndef API_RESPONSE_H
#define API_RESPONSE_H

#include "base/buf.h"
#include "base/json.h"

/* An answer being built.  Errors have FastAPI's shape: {"detail": "..."} or,
 * for 422, {"detail": [{"type", "loc", "msg", "input"}, ...]}. */
struct response {
    int status;
    const char *content_type;
    struct buf body;
    struct buf headers; /* lines of their own, each with its CRLF */
    bool close;         /* the connection, after this answer */
};

void response_init(struct response *rs);
void response_fini(struct response *rs);

/* Adds a header; value must be clean (ours, or checked). */
void response_header(struct response *rs, const char *name, const char *value);

/* Drops what was built and answers {"detail": detail}. */
void response_error(struct response *rs, int status, const char *detail);
/* 503 with Retry-After. */
void response_busy(struct response *rs, const char *detail);
/* Answers with v in JSON, consuming it; v NULL: 500 (no memory). */
void response_json(struct response *rs, int status, struct json_object *v);

const char *response_reason(int status);

#endif
