/* SPDX-License-Identifier: Apache-2.0 */
/* Making and reading LLM calls, and the catalogue, when any allocation fails.
 */
#include <stdlib.h>
#include <string.h>

#include "protocol/llm_models.h"
#include "tests/oom/oom.h"
#include "worker/llm/answer.h"
#include "worker/llm/key.h"

static const char *const bodies[] = {
    "{\"choices\":[{\"finish_reason\":\"stop\",\"message\":{\"content\":["
    "{\"type\":\"text\",\"text\":\"Hello\"}]}}]}",
    "{\"content\":[{\"type\":\"text\",\"text\":\"Hello\"}],"
    "\"stop_reason\":\"end_turn\"}",
    "{\"candidates\":[{\"output\":\"Hello\",\"content\":{\"parts\":["
    "{\"text\":\"Hello\"}]},\"finishReason\":\"STOP\"}]}",
    "[{\"generated_text\":\"Hello\"}]",
    "{\"error\":{\"message\":\"no\",\"code\":\"server_error\"}}",
};

static struct slice
text(const char *s)
{
    return (struct slice){s, strlen(s)};
}

static void
read_all(const struct llm_provider *p, const struct llm_query *q)
{
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct llm_answer a = {.http_status = 200, .body = text(bodies[i])};
        struct llm_outcome o = {.attempts = 1}, again;
        char *kept;

        p->parse(&a, q, &o.result);
        if (llm_answer_cacheable(&o)) {
            kept = llm_answer_encode(&o);
            if (kept != NULL && llm_answer_decode(text(kept), &again))
                llm_result_fini(&again.result);
            free(kept);
        }
        llm_result_fini(&o.result);
    }
}

static void
codecs(void)
{
    static const struct llm_turn turns[] = {{LLM_SYSTEM, {"s", 1}},
                                            {LLM_USER, {"hi", 2}}};
    struct llm_deployment d = {.base_url = "http://h/{model}", .api_key = "k"};
    struct llm_query q = LLM_QUERY_INIT;
    const struct llm_provider *p;

    q.model = text("m");
    q.prompt = text("hi");
    q.turns = turns;
    for (size_t i = 0; (p = llm_provider_at(i)) != NULL; i++) {
        struct llm_route r = {p, &d, "m"};
        char key[LLM_KEY_LEN + 1];
        struct llm_http h = {0};

        q.turn_count = i % 2 * 2;
        if (p->build(&q, &d, &h, NULL) == ST_OK)
            llm_http_fini(&h);
        read_all(p, &q);
        if (llm_key(&r, &q, key) != ST_OK)
            continue;
    }
}

static void
catalogue(void)
{
    static char file[] = "deploy/models.json", key[] = "k";
    const struct config c = {.llm_models_file = file, .openai_api_key = key};
    struct llm_models *m;

    if (llm_models_load(&c, &m, NULL) == ST_OK)
        llm_models_free(m);
}

int
main(void)
{
    oom_torture(codecs);
    oom_torture(catalogue);
    return 0;
}
