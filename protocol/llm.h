/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTOCOL_LLM_H
#define PROTOCOL_LLM_H

#include "base/buf.h"
#include "base/json.h"

#include <math.h>
#include <stdint.h>

/* LLM providers as pure codecs: one query in, bytes out; bytes in, one result
 * out.  No sockets, no waiting: worker/llm/ does those.  llm-providers.md. */
enum llm_role { LLM_SYSTEM, LLM_USER, LLM_ASSISTANT };

struct llm_turn {
    enum llm_role role;
    struct slice text;
};

struct llm_query {
    struct slice model;  /* the provider's own name for it */
    struct slice prompt; /* or turns */
    struct slice system; /* ptr NULL: none */
    const struct llm_turn *turns;
    size_t turn_count;
    int64_t max_tokens;        /* visible tokens; <= 0: unset */
    double temperature, top_p; /* NAN: unset */
    int64_t top_k;             /* -1: unset */
    double presence_penalty, frequency_penalty; /* NAN: unset */
    int64_t seed;                               /* INT64_MIN: unset */
    struct json_object *stop;      /* array of strings or NULL; borrowed */
    struct slice reasoning_effort; /* ptr NULL: unset */
    bool want_json;
};

#define LLM_QUERY_INIT                                                       \
    {                                                                        \
        .max_tokens = -1, .temperature = NAN, .top_p = NAN, .top_k = -1,     \
        .presence_penalty = NAN, .frequency_penalty = NAN, .seed = INT64_MIN \
    }

/* Where a model lives: one row of the models file, or made from the settings.
 */
struct llm_deployment {
    const char *provider;     /* "openai", "anthropic", ... the codec's name */
    const char *base_url;     /* without a trailing slash */
    const char *api_key;      /* "": none.  Secret. */
    const char *tokens_param; /* OpenAI's: "max_tokens", ... NULL: by host */
    bool reasons;             /* hidden thinking counts against the cap */
    int64_t reasoning_allowance;
};

enum { LLM_HEADERS_MAX = 8 };

/* An HTTP POST to make.  fini frees. */
struct llm_http {
    char *url;
    char *headers[LLM_HEADERS_MAX]; /* "name: value", NULL-terminated */
    char *body;
    size_t body_len;
};
void llm_http_fini(struct llm_http *h);

/* What came back.  Borrowed for the call. */
struct llm_answer {
    int http_status; /* 0: none came */
    struct slice body;
    struct slice retry_after; /* header values; ptr NULL: absent */
    struct slice retry_after_ms;
    struct slice request_id;
    int64_t now_unix_ms; /* for a Retry-After that is a date */
};

enum llm_finish {
    LLM_FIN_STOP,
    LLM_FIN_LENGTH,
    LLM_FIN_TOOL,
    LLM_FIN_FILTER,
    LLM_FIN_REFUSAL,
    LLM_FIN_UNKNOWN
};
const char *llm_finish_name(enum llm_finish f); /* "stop", "length", ... */

/* name, retryable, base backoff ms, cap ms: llm-providers.md 12. */
#define LLM_ERROR_MAP(X)                               \
    X(NONE, "none", 0, 0, 0)                           \
    X(BAD_REQUEST, "bad_request", 0, 0, 0)             \
    X(UNSUPPORTED_PARAM, "unsupported_param", 0, 0, 0) \
    X(CONTEXT_LENGTH, "context_length", 0, 0, 0)       \
    X(CONTENT_FILTER, "content_filter", 0, 0, 0)       \
    X(TOO_LARGE, "too_large", 0, 0, 0)                 \
    X(AUTH, "auth", 0, 0, 0)                           \
    X(PERMISSION, "permission", 0, 0, 0)               \
    X(MODEL_NOT_FOUND, "model_not_found", 0, 0, 0)     \
    X(RATE_LIMIT, "rate_limit", 1, 1000, 60000)        \
    X(RAMP, "ramp", 1, 15000, 300000)                  \
    X(QUOTA, "quota", 0, 0, 0)                         \
    X(OVERLOADED, "overloaded", 1, 500, 30000)         \
    X(LOADING, "loading", 1, 1000, 20000)              \
    X(TIMEOUT, "timeout", 1, 500, 8000)                \
    X(CONFLICT, "conflict", 1, 500, 8000)              \
    X(SERVER, "server", 1, 500, 8000)                  \
    X(NETWORK, "network", 1, 250, 8000)                \
    X(BAD_RESPONSE, "bad_response", 1, 500, 500)       \
    X(CANCELLED, "cancelled", 0, 0, 0)

enum llm_error_class {
#define X(name, text, retry, base, cap) LLM_E_##name,
    LLM_ERROR_MAP(X)
#undef X
};

struct llm_error {
    enum llm_error_class cls;
    int http_status;
    char code[64], param[64]; /* the provider's words, cut */
    char message[512];        /* for the caller: cut, without keys */
    int64_t retry_after_ms;   /* -1: no hint */
};
const char *llm_error_name(enum llm_error_class c);
bool llm_error_retryable(enum llm_error_class c);
bool llm_error_class_find(struct slice name, enum llm_error_class *out);
/* Base and cap of the backoff of a class. */
void llm_error_backoff(enum llm_error_class c, uint32_t *base_ms,
                       uint32_t *cap_ms);

enum {
    LLM_WAIT_MAX_MS = 86400000 /* a longer hint is cut: it may be a lie */
};
/* Milliseconds of "1.5", "26s", "6m0s", or an HTTP date; -1: makes no sense. */
int64_t llm_wait_parse(struct slice s, int64_t now_unix_ms);

/* A parameter that a model refuses (LLM_E_UNSUPPORTED_PARAM) and without which,
 * or under another name, the query still means the same. */
enum llm_adaptation {
    LLM_ADAPT_TOKENS = 1 << 0, /* the other name for the cap */
    LLM_ADAPT_TEMPERATURE = 1 << 1,
    LLM_ADAPT_TOP_P = 1 << 2,
    LLM_ADAPT_TOP_K = 1 << 3,
    LLM_ADAPT_PENALTIES = 1 << 4,
    LLM_ADAPT_SEED = 1 << 5,
    LLM_ADAPT_EFFORT = 1 << 6
};
/* The adaptation that would help against e; 0: none. */
unsigned llm_adaptation(const struct llm_query *q, const struct llm_error *e);
void llm_adapt(unsigned adaptations, struct llm_query *q,
               struct llm_deployment *d);

/* < 0: not told. */
struct llm_usage {
    int64_t prompt_tokens, completion_tokens, total_tokens;
    int64_t cached_tokens, reasoning_tokens;
    bool estimated; /* the provider gave none: counted by us */
};

struct llm_result {
    char *text; /* owned, NUL-terminated; NULL: none */
    size_t text_len;
    enum llm_finish finish;
    struct llm_usage usage;
    char model_used[128], request_id[96];
    struct llm_error error; /* cls NONE: the answer is good */
};
void llm_result_fini(struct llm_result *r);

struct llm_provider {
    const char *name;
    enum status (*build)(const struct llm_query *q,
                         const struct llm_deployment *d, struct llm_http *out,
                         struct error *err);
    /* Reads any answer, 2xx or not; always fills out: either a text or an error
     * class.  A body that makes no sense is LLM_E_BAD_RESPONSE. */
    void (*parse)(const struct llm_answer *a, const struct llm_query *q,
                  struct llm_result *out);
};

const struct llm_provider *llm_provider_find(struct slice name); /* or NULL */
/* The i-th provider, NULL after the last. */
const struct llm_provider *llm_provider_at(size_t i);

#endif
