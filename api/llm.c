/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/llm: ask one model or several, list the models.  A query is a task
 * like any other; waiting for it is a courtesy that a client may do without. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "api/llm_query.h"
#include "api/submission.h"
#include "base/clock.h"

static struct slice
text(const char *s)
{
    return (struct slice){s, strlen(s)};
}

static bool
is(struct slice s, const char *word)
{
    return s.len == strlen(word) && s.len > 0 &&
           memcmp(s.ptr, word, s.len) == 0;
}

/* ---- failures ---- */

/* How a failure is told to a caller who waited: never 401 or 403, because the
 * credentials that failed are ours.  The names are those that the worker raises
 * (worker/llm/answer.c); any other exception is a fault of ours. */
static const struct {
    const char *exception, *error_class;
    int status;
} failures[] = {{"BadRequestError", "bad_request", 400},
                {"UnsupportedParameterError", "unsupported_param", 400},
                {"ContextLengthError", "context_length", 400},
                {"ContentFilterError", "content_filter", 400},
                {"TooLargeError", "too_large", 413},
                {"AuthError", "auth", 502},
                {"PermissionDeniedError", "permission", 502},
                {"QuotaError", "quota", 502},
                {"ModelNotFoundError", "model_not_found", 404},
                {"RateLimitError", "rate_limit", 429},
                {"OverloadedError", "overloaded", 503},
                {"ModelLoadingError", "loading", 503},
                {"TimeoutError", "timeout", 504},
                {"ConflictError", "conflict", 502},
                {"ServerError", "server", 502},
                {"NetworkError", "network", 502},
                {"BadResponseError", "bad_response", 502},
                {"CancelledError", "cancelled", 503},
                {"TimeLimitExceeded", NULL, 504},
                {"SoftTimeLimitExceeded", NULL, 504}};

static const char *
classify(struct slice exception, int *status)
{
    for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++)
        if (is(exception, failures[i].exception)) {
            *status = failures[i].status;
            return failures[i].error_class;
        }
    *status = 500;
    return NULL;
}

/* The first argument of an exception is its message, as in Python. */
static struct slice
message_of(struct json_object *exc)
{
    struct json_object *args = json_get(exc, "exc_message");
    struct slice s = json_str(args);

    if (json_object_is_type(args, json_type_array) &&
        json_object_array_length(args) > 0)
        s = json_str(json_object_array_get_idx(args, 0));
    return s.len > 0 ? s : text("The query failed");
}

static void
add_member(struct buf *b, const char *key, struct slice value)
{
    buf_addf(b, ",\"%s\":", key);
    json_add_string(b, value);
}

static void
answer_failure(struct exchange *x, const struct hub_outcome *o, const char *id)
{
    struct json_object *exc = NULL;
    struct slice type;
    const char *cls;
    int status;

    if (json_parse(o->result, JSON_DEPTH, &exc, NULL) != ST_OK)
        exc = NULL;
    type = json_get_str(exc, "exc_type");
    cls = classify(type, &status);
    x->rs.status = status;
    if (status == 429 || status == 503)
        response_header(&x->rs, "Retry-After", "5");
    buf_addf(&x->rs.body, "{\"detail\":");
    json_add_string(&x->rs.body, message_of(exc));
    if (cls != NULL)
        add_member(&x->rs.body, "error_class", text(cls));
    if (type.ptr != NULL)
        add_member(&x->rs.body, "error", type);
    add_member(&x->rs.body, "task_id", text(id));
    buf_add(&x->rs.body, text("}"));
    json_object_put(exc);
}

/* ---- answers ---- */

/* The result is an object: the task's id goes into it as its first member. */
static void
answer_success(struct exchange *x, const struct hub_outcome *o, const char *id)
{
    struct slice rest = o->result;

    x->rs.status = 200;
    buf_addf(&x->rs.body, "{\"task_id\":\"%s\"", id);
    if (rest.len > 2 && rest.ptr[0] == '{') {
        buf_add(&x->rs.body, text(","));
        buf_add(&x->rs.body, (struct slice){rest.ptr + 1, rest.len - 1});
        return;
    }
    buf_add(&x->rs.body, text(",\"result\":"));
    buf_add(&x->rs.body, rest);
    buf_add(&x->rs.body, text("}"));
}

static void
answer_accepted(struct exchange *x, const char *id)
{
    char location[80];

    snprintf(location, sizeof(location), "/api/v1/tasks/%s", id);
    response_header(&x->rs, "Location", location);
    x->rs.status = 202;
    buf_addf(&x->rs.body,
             "{\"task_id\":\"%s\",\"status\":\"PENDING\",\"links\":{\"self\":"
             "\"%s\"}}",
             id, location);
}

static void
answer_outcome(struct exchange *x, const struct hub_outcome *o, const char *id)
{
    if (is(o->status, "SUCCESS"))
        answer_success(x, o, id);
    else if (is(o->status, "REVOKED"))
        response_error(&x->rs, 409, "The query was revoked");
    else
        answer_failure(x, o, id);
}

/* ---- the query ---- */

static void
wait_for(struct exchange *x, const struct llm_ask *a, const char *id)
{
    uint64_t deadline = clock_mono_us() + (uint64_t)(a->timeout_s * 1e6);
    struct hub_outcome o = {.block = NULL};

    if (a->wait && a->timeout_s > 0 &&
        hub_wait(x->api->hub, text(id), deadline, x->gone, x->arg, &o) == ST_OK)
        answer_outcome(x, &o, id);
    else
        answer_accepted(x, id);
    free(o.block);
}

static void
make_name(const struct llm_ask *a, char *out, size_t size)
{
    if (a->models != NULL)
        snprintf(out, size, "LLM query to %zu models",
                 json_object_array_length(a->models));
    else
        snprintf(out, size, "LLM query to %.*s", (int)a->model.len,
                 a->model.ptr);
}

void
llm_ask(struct exchange *x)
{
    struct submission s = SUBMISSION_INIT;
    struct llm_ask a;
    char id[ID_LEN + 1], name[160];
    enum status st;

    if (llm_query_read(x, &a)) {
        make_name(&a, name, sizeof(name));
        s.name = a.name.ptr != NULL ? a.name : text(name);
        s.task = text(a.models != NULL ? "llm.fan_out" : "llm.query");
        s.model = a.model;
        s.queue = a.queue;
        s.priority = a.priority;
        s.kwargs = a.kwargs;
        st = submission_commit(x->api, &s, id, NULL);
        if (st != ST_OK)
            submission_refused(&x->rs, st);
        else
            wait_for(x, &a, id);
    }
    llm_query_fini(&a);
}

/* ---- the models ---- */

static struct json_object *
model_json(const struct llm_model_info *m)
{
    struct json_object *o = json_object_new_object();
    enum status st;

    st = json_set(o, "id", json_object_new_string(m->name));
    if (st == ST_OK)
        st = json_set(o, "provider", json_object_new_string(m->provider));
    if (st == ST_OK && m->target != NULL)
        st = json_set(o, "target", json_object_new_string(m->target));
    if (st == ST_OK)
        st = json_set(o, "reasons", json_object_new_boolean(m->reasons));
    if (st == ST_OK)
        return o;
    json_object_put(o);
    return NULL;
}

void
llm_list_models(struct exchange *x)
{
    struct json_object *o = json_object_new_object();
    struct json_object *list = json_object_new_array();
    enum status st = ST_OK;

    for (size_t i = 0; st == ST_OK && i < llm_models_count(x->api->models); i++)
        st = json_append(list, model_json(llm_models_at(x->api->models, i)));
    if (st != ST_OK || json_set(o, "models", json_object_get(list)) != ST_OK) {
        json_object_put(o);
        o = NULL;
    }
    json_object_put(list);
    response_json(&x->rs, 200, o);
}
