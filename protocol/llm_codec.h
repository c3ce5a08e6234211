/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTOCOL_LLM_CODEC_H
#define PROTOCOL_LLM_CODEC_H

#include "protocol/llm.h"

/* What the provider codecs share.  For protocol/llm_*.c only. */

enum {
    LLM_BODY_MAX = 64 << 20, /* bytes of a request body we would build */
    LLM_JSON_DEPTH = 64      /* answers nest less than ten deep */
};

/* A JSON writer on a buf.  It sets the commas; key NULL: an array's element. */
void llm_open(struct buf *b, const char *key, char bracket); /* '{' or '[' */
void llm_shut(struct buf *b, char bracket);                  /* '}' or ']' */
void llm_add_str(struct buf *b, const char *key, struct slice s);
void llm_add_int(struct buf *b, const char *key, int64_t v);
void llm_add_num(struct buf *b, const char *key, double v); /* NAN: nothing */
void llm_add_bool(struct buf *b, const char *key, bool v);
void llm_add_json(struct buf *b, const char *key, struct json_object *v);

/* The turns of a query: its own, or the prompt as one. one is the caller's. */
const struct llm_turn *llm_turns(const struct llm_query *q,
                                 struct llm_turn *one, size_t *n);
/* The system text and all system turns, with blank lines between.  False if
 * there is none. */
bool llm_add_system(struct buf *out, const struct llm_query *q);
/* A prompt for models that know no turns: system, then the turns. */
void llm_add_flat_prompt(struct buf *out, const struct llm_query *q);

/* What to send as the cap on output tokens, hidden thinking included; -1: none
 * was asked for. */
int64_t llm_wire_cap(const struct llm_query *q, const struct llm_deployment *d);
double llm_clamp(double v, double lo, double hi); /* NAN stays NAN */
/* The name that this deployment has for the cap: an OpenAI question. */
const char *llm_tokens_param(const struct llm_deployment *d);

/* Parts of a request.  They refuse a line break, which would let a key or a
 * model's name add headers; the error never shows the value. */
enum status llm_http_url(struct llm_http *h, const char *base,
                         struct error *err, const char *fmt, ...) PRINTF(4, 5);
enum status llm_http_header(struct llm_http *h, struct error *err,
                            const char *fmt, ...) PRINTF(3, 4);
enum status llm_http_body(struct llm_http *h, struct buf *b, struct error *err);
/* s percent-encoded but for unreserved characters and, if asked, slashes. */
void llm_add_escaped(struct buf *b, struct slice s, bool keep_slash);

/* What a provider calls an ending.  A table ends with a NULL name. */
struct llm_ending {
    const char *name;
    enum llm_finish finish;
};
enum llm_finish llm_finish_of(const struct llm_ending *table,
                              struct slice name); /* or LLM_FIN_UNKNOWN */

/* Starts a result: reads the body.  NULL: out->error is set (no 2xx, no JSON,
 * or an error told with a 200).  Otherwise the caller puts the value. */
struct json_object *llm_read(const struct llm_answer *a,
                             struct llm_result *out);
void llm_fail(struct llm_result *out, enum llm_error_class cls,
              const char *message);
void llm_set_text(struct llm_result *out, struct buf *text); /* takes text */
struct json_object *llm_element(struct json_object *arr,
                                size_t i); /* or NULL */
int64_t llm_count(struct json_object *obj,
                  const char *key);                    /* >= 0; -1: none */
void llm_copy(char *out, size_t size, struct slice s); /* cut at a character */
/* Fills what the provider did not count, and flags it. */
void llm_settle_usage(struct llm_result *out, const struct llm_query *q);
/* The common end of a parse: a text, or a finish reason that explains why
 * there is none, or else an error. */
void llm_settle(struct llm_result *out, const struct llm_query *q);

/* llm_errors.c: fills out from an answer that is no good.  doc may be NULL. */
void llm_error_read(const struct llm_answer *a, struct json_object *doc,
                    struct llm_error *out);

extern const struct llm_provider llm_openai, llm_compatible, llm_anthropic,
    llm_gemini, llm_palm, llm_huggingface, llm_tgi;

/* OpenAI's chat format, for all that speak it. */
enum status llm_openai_build(const struct llm_query *q,
                             const struct llm_deployment *d,
                             struct llm_http *out, struct error *err);
void llm_openai_parse(const struct llm_answer *a, const struct llm_query *q,
                      struct llm_result *out);

#endif
