/* SPDX-License-Identifier: Apache-2.0 */
/* The body of POST /api/v1/llm/query. */
#include "api/llm_query.h"

#include <string.h>

#include "api/check.h"

enum {
    MODEL_CHARS = LLM_MODEL_MAX,
    NAME_CHARS = 200,
    QUEUE_CHARS = 200,
    MAX_TOKENS_DEFAULT = 100,
    MAX_TOKENS_MAX = 1000000,
    TOP_K_MAX = 1000,
    MESSAGES_MAX = 1000,
    STOPS_MAX = 4,
    STOP_CHARS = 200,
    PRIORITY_MAX = 9
};

struct reader {
    struct exchange *x;
    struct problems p;
    struct llm_ask *out;
    bool failed; /* no memory */
};

static struct loc
in_body(const char *field)
{
    return (struct loc){"body", field, -1, NULL};
}

static bool
member(struct reader *r, const char *field, struct json_object **v)
{
    return check_member(&r->p, r->x->body, field, false, v);
}

/* Hands a member on to the task as it came. */
static void
pass(struct reader *r, const char *field, struct json_object *v)
{
    if (json_set(r->out->kwargs, field, json_object_get(v)) != ST_OK)
        r->failed = true;
}

static size_t
prompt_max(const struct reader *r)
{
    return (size_t)r->x->api->config->llm_max_prompt_bytes;
}

/* ---- what is asked ---- */

static void
read_models(struct reader *r)
{
    struct json_object *v;
    size_t max = (size_t)r->x->api->config->llm_max_fan_out;
    struct slice s;

    if (!member(r, "models", &v) ||
        !check_list(&r->p, in_body("models"), v, 1, max))
        return;
    for (size_t i = 0; i < json_object_array_length(v); i++)
        check_name(&r->p, (struct loc){"body", "models", (int64_t)i, NULL},
                   json_object_array_get_idx(v, i), MODEL_CHARS, &s);
    r->out->models = v;
    pass(r, "models", v);
}

static void
read_model(struct reader *r)
{
    struct json_object *v;

    if (json_object_object_get_ex(r->x->body, "models", &v) && v != NULL) {
        if (member(r, "model", &v))
            problem_value(&r->p, in_body("model"),
                          "model and models exclude each other", v);
        read_models(r);
        return;
    }
    if (!check_member(&r->p, r->x->body, "model", true, &v))
        return;
    if (check_name(&r->p, in_body("model"), v, MODEL_CHARS, &r->out->model))
        pass(r, "model", v);
}

static size_t
read_message(struct reader *r, int64_t i, struct json_object *v)
{
    static const char *const roles[] = {"system", "user", "assistant", NULL};
    struct loc loc = {"body", "messages", i, NULL};
    struct loc role = {"body", "messages", i, "role"};
    struct loc content = {"body", "messages", i, "content"};
    struct json_object *m;
    struct slice s = {NULL, 0};

    if (!check_dict(&r->p, loc, v))
        return 0;
    if (json_object_object_get_ex(v, "role", &m))
        check_word(&r->p, role, m, roles, &s);
    else
        problem_missing(&r->p, role, v);
    s.len = 0;
    if (json_object_object_get_ex(v, "content", &m))
        check_string(&r->p, content, m, 1, prompt_max(r), &s);
    else
        problem_missing(&r->p, content, v);
    return s.len;
}

static void
read_messages(struct reader *r, struct json_object *v)
{
    size_t bytes = 0;

    if (!check_list(&r->p, in_body("messages"), v, 1, MESSAGES_MAX))
        return;
    for (size_t i = 0; i < json_object_array_length(v); i++)
        bytes += read_message(r, (int64_t)i, json_object_array_get_idx(v, i));
    if (bytes > prompt_max(r))
        problem_value(&r->p, in_body("messages"), "too much text", v);
    pass(r, "messages", v);
}

/* A prompt, or messages. */
static void
read_prompt(struct reader *r)
{
    struct json_object *v, *messages;
    struct slice s;

    if (member(r, "messages", &messages)) {
        if (member(r, "prompt", &v))
            problem_value(&r->p, in_body("prompt"),
                          "prompt and messages exclude each other", v);
        read_messages(r, messages);
        return;
    }
    if (!check_member(&r->p, r->x->body, "prompt", true, &v) ||
        !check_string(&r->p, in_body("prompt"), v, 1, prompt_max(r), &s))
        return;
    if (s.len > prompt_max(r))
        problem_value(&r->p, in_body("prompt"), "too many bytes", v);
    pass(r, "prompt", v);
}

/* ---- how ---- */

static void
read_number(struct reader *r, const char *field, double min, double max)
{
    struct json_object *v;
    double d;

    if (member(r, field, &v) &&
        check_number(&r->p, in_body(field), v, min, max, &d) &&
        json_set(r->out->kwargs, field, json_new_double(d)) != ST_OK)
        r->failed = true;
}

static void
read_int(struct reader *r, const char *field, int64_t min, int64_t max,
         const int64_t *dflt)
{
    struct json_object *v;
    int64_t n = dflt != NULL ? *dflt : 0;
    bool there = member(r, field, &v);

    if (there && !check_int(&r->p, in_body(field), v, min, max, &n))
        return;
    if ((there || dflt != NULL) &&
        json_set(r->out->kwargs, field, json_object_new_int64(n)) != ST_OK)
        r->failed = true;
}

static void
read_text(struct reader *r, const char *field, size_t max_chars)
{
    struct json_object *v;
    struct slice s;

    if (member(r, field, &v) &&
        check_string(&r->p, in_body(field), v, 1, max_chars, &s))
        pass(r, field, v);
}

static void
read_flag(struct reader *r, const char *field)
{
    struct json_object *v;
    bool b;

    if (member(r, field, &v) && check_bool(&r->p, in_body(field), v, &b))
        pass(r, field, v);
}

/* One string, or a few. */
static void
read_stop(struct reader *r)
{
    struct json_object *v, *list;
    struct slice s;

    if (!member(r, "stop", &v))
        return;
    if (json_object_is_type(v, json_type_string)) {
        list = json_object_new_array();
        json_object_array_add(list, json_object_get(v));
    } else {
        list = json_object_get(v);
    }
    if (check_list(&r->p, in_body("stop"), list, 1, STOPS_MAX)) {
        for (size_t i = 0; i < json_object_array_length(list); i++)
            check_string(&r->p, (struct loc){"body", "stop", (int64_t)i, NULL},
                         json_object_array_get_idx(list, i), 1, STOP_CHARS, &s);
        pass(r, "stop", list);
    }
    json_object_put(list);
}

static void
read_how(struct reader *r)
{
    static const int64_t tokens = MAX_TOKENS_DEFAULT;

    read_int(r, "max_tokens", 1, MAX_TOKENS_MAX, &tokens);
    read_number(r, "temperature", 0, 2);
    read_number(r, "top_p", 0, 1);
    read_int(r, "top_k", 1, TOP_K_MAX, NULL);
    read_number(r, "presence_penalty", -2, 2);
    read_number(r, "frequency_penalty", -2, 2);
    read_int(r, "seed", INT64_MIN + 1, INT64_MAX - 1, NULL);
    read_stop(r);
    read_text(r, "system", prompt_max(r));
    read_text(r, "reasoning_effort", 32);
    read_flag(r, "cache");
    read_flag(r, "json");
}

/* ---- the request itself ---- */

static void
read_wait(struct reader *r)
{
    double max = r->x->api->config->api_wait_timeout;
    struct json_object *v;
    int64_t n;

    r->out->wait = true;
    r->out->timeout_s = max;
    if (member(r, "wait", &v))
        check_bool(&r->p, in_body("wait"), v, &r->out->wait);
    if (member(r, "timeout", &v))
        check_number(&r->p, in_body("timeout"), v, 0, max, &r->out->timeout_s);
    if (member(r, "name", &v))
        check_string(&r->p, in_body("name"), v, 1, NAME_CHARS, &r->out->name);
    if (member(r, "queue", &v))
        check_name(&r->p, in_body("queue"), v, QUEUE_CHARS, &r->out->queue);
    if (member(r, "priority", &v) &&
        check_int(&r->p, in_body("priority"), v, 0, PRIORITY_MAX, &n))
        r->out->priority = (int)n;
}

static bool
is_served(struct reader *r, struct slice model)
{
    struct llm_route route;
    struct error err;

    if (llm_models_route(r->x->api->models, model, &route, &err) == ST_OK)
        return true;
    response_error(&r->x->rs, 404, err.text);
    return false;
}

/* Told before anything is queued, since no worker would do better. */
static bool
all_served(struct reader *r)
{
    if (r->out->models == NULL)
        return is_served(r, r->out->model);
    for (size_t i = 0; i < json_object_array_length(r->out->models); i++)
        if (!is_served(r,
                       json_str(json_object_array_get_idx(r->out->models, i))))
            return false;
    return true;
}

bool
llm_query_read(struct exchange *x, struct llm_ask *out)
{
    struct reader r = {.x = x, .out = out};

    *out = (struct llm_ask){.priority = -1, .kwargs = json_object_new_object()};
    r.failed = out->kwargs == NULL;
    read_model(&r);
    read_prompt(&r);
    read_how(&r);
    read_wait(&r);
    if (problems_answer(&r.p, &x->rs))
        return false;
    if (r.failed) {
        response_error(&x->rs, 500, "Internal Server Error");
        return false;
    }
    return all_served(&r);
}

void
llm_query_fini(struct llm_ask *a)
{
    json_object_put(a->kwargs);
    a->kwargs = NULL;
}
