/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the answer of any provider: the first byte selects the provider,
 * the second the HTTP status, the third whether the query had turns. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/llm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const int statuses[] = {200, 400, 401, 404, 413, 422, 429, 500, 503};

/* What holds for every answer, whatever it says. */
static void
check(const struct llm_result *r)
{
    if ((r->text == NULL) != (r->error.cls != LLM_E_NONE))
        abort();
    if (r->text != NULL && r->text[r->text_len] != '\0')
        abort();
    if (r->error.retry_after_ms < -1 ||
        r->error.retry_after_ms > LLM_WAIT_MAX_MS)
        abort();
    if (r->text != NULL &&
        (r->usage.prompt_tokens < 0 || r->usage.completion_tokens < 0 ||
         r->usage.total_tokens < 0))
        abort();
    if (r->error.cls != LLM_E_NONE && r->error.message[0] == '\0')
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct llm_turn turn = {LLM_USER, {"hi", 2}};
    struct llm_query q = LLM_QUERY_INIT;
    struct llm_answer a = {.now_unix_ms = 1000};
    struct llm_result r;
    size_t n = 0;

    if (size < 3)
        return 0;
    while (llm_provider_at(n) != NULL)
        n++;
    a.http_status = statuses[data[1] % (sizeof(statuses) / sizeof(*statuses))];
    a.body = (struct slice){(const char *)data + 3, size - 3};
    a.retry_after = (struct slice){a.body.ptr, a.body.len % 40};
    a.retry_after_ms = a.request_id = a.retry_after;
    q.prompt = (struct slice){"hello", 5};
    q.turns = &turn;
    q.turn_count = data[2] & 1;
    llm_provider_at(data[0] % n)->parse(&a, &q, &r);
    check(&r);
    llm_result_fini(&r);
    return 0;
}
