/* SPDX-License-Identifier: Apache-2.0 */
/* No two queries share a cache key, and the same one always has the same. */
#include "worker/llm/key.h"

#include <criterion/criterion.h>
#include <string.h>

#define S(text) ((struct slice){text, sizeof(text) - 1})

enum { VARIANTS = 22 };

static struct llm_deployment here = {.base_url = "http://a", .api_key = "k1"};
static struct llm_deployment there = {.base_url = "http://b", .api_key = "k1"};
static struct llm_deployment same_place = {.base_url = "http://a",
                                           .api_key = "k2"};
static const struct llm_turn one_turn[] = {{LLM_USER, {"ab", 2}}};
static const struct llm_turn two_turns[] = {{LLM_USER, {"a", 1}},
                                            {LLM_USER, {"b", 1}}};
static const struct llm_turn other_role[] = {{LLM_ASSISTANT, {"ab", 2}}};

static struct json_object *
stops(const char *a, const char *b)
{
    struct json_object *v = json_object_new_array();

    json_object_array_add(v, json_object_new_string(a));
    if (b != NULL)
        json_object_array_add(v, json_object_new_string(b));
    return v;
}

/* The i-th of many queries that differ in one thing. */
static void
make(size_t i, char out[LLM_KEY_LEN + 1])
{
    struct llm_route r = {llm_provider_find(S("openai")), &here, "m"};
    struct llm_query q = LLM_QUERY_INIT;

    q.prompt = S("ab");
    q.system = i == 1 ? S("") : i == 2 ? S("c") : (struct slice){NULL, 0};
    q.max_tokens = i == 3 ? 7 : 100;
    q.temperature = i == 4 ? 0 : i == 5 ? 0.1 : NAN;
    q.top_p = i == 6 ? 0 : NAN;
    q.top_k = i == 7 ? 1 : -1;
    q.seed = i == 8 ? 0 : INT64_MIN;
    q.want_json = i == 9;
    q.reasoning_effort = i == 10 ? S("low") : (struct slice){NULL, 0};
    q.stop = i == 11 ? stops("ab", NULL) : i == 12 ? stops("a", "b") : NULL;
    q.turns = i == 13 ? one_turn : i == 14 ? two_turns : other_role;
    q.turn_count = i == 13 || i == 15 ? 1 : i == 14 ? 2 : 0;
    q.presence_penalty = i == 16 ? 0 : NAN;
    q.frequency_penalty = i == 17 ? 0 : NAN;
    if (i == 18)
        r.deployment = &there;
    if (i == 19)
        r.provider = llm_provider_find(S("compatible"));
    if (i == 20)
        memcpy(r.model, "n", 2);
    if (i == 21)
        r.provider = NULL; /* echo */
    cr_assert_eq(llm_key(&r, &q, out), ST_OK);
    json_object_put(q.stop);
}

Test(llm_key, all_that_can_change_an_answer_changes_the_key)
{
    char key[VARIANTS][LLM_KEY_LEN + 1], again[LLM_KEY_LEN + 1];

    for (size_t i = 0; i < VARIANTS; i++) {
        make(i, key[i]);
        make(i, again);
        cr_expect_str_eq(key[i], again, "%zu", i);
        cr_expect_eq(strlen(key[i]), LLM_KEY_LEN);
        cr_expect_eq(strncmp(key[i], "llm:", 4), 0);
        for (size_t j = 0; j < i; j++)
            cr_expect_str_neq(key[i], key[j], "%zu and %zu", i, j);
    }
}

Test(llm_key, another_api_key_is_the_same_question)
{
    struct llm_route r = {llm_provider_find(S("openai")), &here, "m"};
    struct llm_query q = LLM_QUERY_INIT;
    char a[LLM_KEY_LEN + 1], b[LLM_KEY_LEN + 1];

    q.prompt = S("x");
    cr_assert_eq(llm_key(&r, &q, a), ST_OK);
    r.deployment = &same_place;
    cr_assert_eq(llm_key(&r, &q, b), ST_OK);
    cr_assert_str_eq(a, b);
}
