/* SPDX-License-Identifier: Apache-2.0 */
/* The cache key of a query. */
#include "worker/llm/key.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct digest {
    EVP_MD_CTX *ctx;
    bool failed;
};

static void
add(struct digest *d, struct slice s)
{
    char head[24];
    int n;

    /* An absent text is not an empty one. */
    n = snprintf(head, sizeof(head), s.ptr == NULL ? "-;" : "%zu:", s.len);
    if (EVP_DigestUpdate(d->ctx, head, (size_t)n) != 1 ||
        (s.len > 0 && EVP_DigestUpdate(d->ctx, s.ptr, s.len) != 1))
        d->failed = true;
}

static void
add_text(struct digest *d, const char *s)
{
    add(d, (struct slice){s, s == NULL ? 0 : strlen(s)});
}

static void addf(struct digest *d, const char *fmt, ...) PRINTF(2, 3);

static void
addf(struct digest *d, const char *fmt, ...)
{
    char text[64];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    add_text(d, text);
}

static void
add_target(struct digest *d, const struct llm_route *r)
{
    add_text(d, r->model);
    if (r->provider == NULL) {
        add_text(d, NULL);
        return;
    }
    add_text(d, r->provider->name);
    add_text(d, r->deployment->base_url);
    addf(d, "%d", r->deployment->reasons);
    addf(d, "%" PRId64, r->deployment->reasoning_allowance);
}

static void
add_query(struct digest *d, const struct llm_query *q)
{
    const struct slice none = {NULL, 0};
    size_t stops = q->stop == NULL ? 0 : json_object_array_length(q->stop);

    /* Where there are turns, they hold the prompt too. */
    add(d, q->turn_count > 0 ? none : q->prompt);
    add(d, q->system);
    addf(d, "%zu", q->turn_count);
    for (size_t i = 0; i < q->turn_count; i++) {
        addf(d, "%d", (int)q->turns[i].role);
        add(d, q->turns[i].text);
    }
    addf(d, "%" PRId64, q->max_tokens);
    addf(d, "%.17g", q->temperature);
    addf(d, "%.17g", q->top_p);
    addf(d, "%" PRId64, q->top_k);
    addf(d, "%.17g", q->presence_penalty);
    addf(d, "%.17g", q->frequency_penalty);
    addf(d, "%" PRId64, q->seed);
    add(d, q->reasoning_effort);
    addf(d, "%d", q->want_json);
    addf(d, "%zu", stops);
    for (size_t i = 0; i < stops; i++)
        add(d, json_str(json_object_array_get_idx(q->stop, i)));
}

enum status
llm_key(const struct llm_route *route, const struct llm_query *q,
        char out[LLM_KEY_LEN + 1])
{
    struct digest d = {EVP_MD_CTX_new(), false};
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    size_t at;

    if (d.ctx == NULL || EVP_DigestInit_ex(d.ctx, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(d.ctx);
        return ST_NOMEM;
    }
    add_text(&d, "1"); /* the version of this encoding and of the value */
    add_target(&d, route);
    add_query(&d, q);
    if (EVP_DigestFinal_ex(d.ctx, sum, &len) != 1)
        d.failed = true;
    EVP_MD_CTX_free(d.ctx);
    if (d.failed)
        return ST_NOMEM;
    at = (size_t)snprintf(out, LLM_KEY_LEN + 1, "llm:");
    for (unsigned i = 0; i < len && at < LLM_KEY_LEN; i++)
        at += (size_t)snprintf(out + at, LLM_KEY_LEN + 1 - at, "%02x", sum[i]);
    return ST_OK;
}
