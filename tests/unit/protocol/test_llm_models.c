/* SPDX-License-Identifier: Apache-2.0 */
/* Where a model's name leads, and what a models file may say. */
#include "protocol/llm_models.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/llm_echo.h"

static struct config
settings(void)
{
    static char openai[] = "sk-1", anthropic[] = "a-1", gemini[] = "g-1",
                hf[] = "hf_1";

    return (struct config){.openai_api_key = openai,
                           .anthropic_api_key = anthropic,
                           .gemini_api_key = gemini,
                           .huggingface_api_key = hf,
                           .llm_reasoning_allowance = 2000};
}

static enum status
load(struct config *c, const char *json, struct llm_models **m,
     struct error *err)
{
    char path[] = "/tmp/models-XXXXXX";
    int fd = mkstemp(path);
    enum status st;

    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, json, strlen(json)), (ssize_t)strlen(json));
    close(fd);
    c->llm_models_file = path;
    st = llm_models_load(c, m, err);
    unlink(path);
    return st;
}

static enum status
route(const struct llm_models *m, const char *name, struct llm_route *r,
      struct error *err)
{
    return llm_models_route(m, (struct slice){name, strlen(name)}, r, err);
}

static const char file[] =
    "{\"providers\":{\"local\":{\"base_url\":\"http://127.0.0.1:1/v1\"},"
    "\"gen\":{\"kind\":\"tgi\",\"base_url\":\"http://127.0.0.1:1\","
    "\"api_key_env\":\"NO_SUCH_VARIABLE_HERE\"}},"
    "\"models\":{\"smart\":{\"provider\":\"openai\",\"model\":\"gpt-9\","
    "\"reasons\":true,\"reasoning_allowance\":7},"
    "\"llama\":{\"provider\":\"local\",\"model\":\"llama3.2:3b\"},"
    "\"lost\":{\"provider\":\"gen\"}},"
    "\"prefixes\":{\"o3\":{\"provider\":\"openai\",\"reasons\":true}},"
    "\"aliases\":{\"gpt-4\":\"best\",\"best\":\"smart\","
    "\"slow\":\"echo?latency_ms=9\"}}";

Test(llm_models, a_name_leads_to_its_provider)
{
    static const struct {
        const char *name, *provider, *model;
        bool reasons;
    } cases[] = {
        {"gpt-4", "openai", "gpt-9", true},
        {"smart", "openai", "gpt-9", true},
        {"openai/gpt-9", "openai", "gpt-9", true},
        {"openai/o3-pro", "openai", "o3-pro", true},
        {"o3-mini", "openai", "o3-mini", true},
        {"o4-mini", "openai", "o4-mini", false},
        {"gpt-5", "openai", "gpt-5", false},
        {"ft:gpt-4o:acme::1", "openai", "ft:gpt-4o:acme::1", false},
        {"gpt-oss-20b", "huggingface", "gpt-oss-20b", false},
        {"claude-x", "anthropic", "claude-x", false},
        {"gemini-x", "gemini", "gemini-x", false},
        {"org/name", "huggingface", "org/name", false},
        {"huggingface/openai/gpt-oss-120b", "huggingface",
         "openai/gpt-oss-120b", false},
        {"tgi/org/gpt2", "tgi", "org/gpt2", false},
        {"llama", "local", "llama3.2:3b", false},
        {"local/other:1b", "local", "other:1b", false},
    };
    struct config c = settings();
    struct llm_models *m;
    struct error err;

    cr_assert_eq(load(&c, file, &m, &err), ST_OK, "%s", err.text);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct llm_route r;

        cr_expect_eq(route(m, cases[i].name, &r, &err), ST_OK, "%s: %s",
                     cases[i].name, err.text);
        cr_expect_str_eq(r.deployment->provider, cases[i].provider, "%s",
                         cases[i].name);
        cr_expect_str_eq(r.model, cases[i].model, "%s", cases[i].name);
        cr_expect_eq(r.deployment->reasons, cases[i].reasons, "%s",
                     cases[i].name);
    }
    llm_models_free(m);
}

Test(llm_models, an_entry_changes_the_allowance_of_its_host)
{
    struct config c = settings();
    struct llm_models *m;
    struct llm_route r;
    struct error err;

    cr_assert_eq(load(&c, file, &m, &err), ST_OK);
    cr_assert_eq(route(m, "smart", &r, &err), ST_OK);
    cr_assert_eq(r.deployment->reasoning_allowance, 7);
    cr_assert_str_eq(r.deployment->api_key, "sk-1");
    cr_assert_eq(route(m, "o3-mini", &r, &err), ST_OK);
    cr_assert_eq(r.deployment->reasoning_allowance, 2000);
    llm_models_free(m);
}

Test(llm_models, echo_is_built_in_and_keeps_its_options)
{
    struct config c = settings();
    struct llm_models *m;
    struct llm_route r;
    struct error err;

    cr_assert_eq(load(&c, file, &m, &err), ST_OK);
    cr_assert_eq(route(m, "slow", &r, &err), ST_OK);
    cr_assert_null(r.provider);
    cr_assert_str_eq(r.model, "echo?latency_ms=9");
    cr_assert_eq(route(m, "echo?tokens=0", &r, &err), ST_NOTFOUND);
    cr_assert_not_null(strstr(err.text, "tokens"), "%s", err.text);
    llm_models_free(m);
}

Test(llm_models, an_unknown_name_is_told_with_what_there_is)
{
    static const char *const names[] = {
        "nothing",         "",          "a b", "x\ny",
        "gpt-../../files", "gpt-4?x=1", "/",   "huggingface/"};
    struct config c = settings();
    struct llm_models *m;
    struct llm_route r;
    struct error err;

    cr_assert_eq(load(&c, file, &m, &err), ST_OK);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        cr_expect_eq(route(m, names[i], &r, &err), ST_NOTFOUND, "%s", names[i]);
        cr_expect_not_null(strstr(err.text, "smart"), "%s", err.text);
    }
    llm_models_free(m);
}

Test(llm_models, a_provider_without_its_key_is_told)
{
    struct config c = settings();
    struct llm_models *m;
    struct llm_route r;
    struct error err;

    c.anthropic_api_key = NULL;
    cr_assert_eq(load(&c, file, &m, &err), ST_OK);
    cr_assert_eq(route(m, "claude-x", &r, &err), ST_NOTFOUND);
    cr_assert_not_null(strstr(err.text, "anthropic_api_key"), "%s", err.text);
    cr_assert_eq(route(m, "lost", &r, &err), ST_NOTFOUND);
    cr_assert_not_null(strstr(err.text, "NO_SUCH_VARIABLE_HERE"), "%s",
                       err.text);
    llm_models_free(m);
}

Test(llm_models, only_usable_models_are_listed)
{
    struct config c = settings();
    struct llm_models *m;
    struct error err;
    char all[256] = "";

    cr_assert_eq(load(&c, file, &m, &err), ST_OK);
    for (size_t i = 0; i < llm_models_count(m); i++) {
        const struct llm_model_info *info = llm_models_at(m, i);

        snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s>%s ",
                 info->name, info->target);
    }
    cr_assert_str_eq(all, "gpt-4>best best>smart slow>echo?latency_ms=9 "
                          "smart>gpt-9 llama>llama3.2:3b echo>echo ");
    cr_assert_null(llm_models_at(m, llm_models_count(m)));
    llm_models_free(m);
}

Test(llm_models, without_a_file_the_public_names_are_served)
{
    static const struct {
        const char *name, *provider;
    } cases[] = {
        {"gpt-3.5", "openai"},   {"gpt-4", "openai"}, {"palm", "gemini"},
        {"claude", "anthropic"}, {"gpt-5", "openai"},
    };
    struct config c = settings();
    struct llm_models *m;
    struct llm_route r;
    struct error err;

    cr_assert_eq(llm_models_load(&c, &m, &err), ST_OK, "%s", err.text);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_expect_eq(route(m, cases[i].name, &r, &err), ST_OK, "%s", err.text);
        cr_expect_str_eq(r.deployment->provider, cases[i].provider);
    }
    cr_expect_eq(route(m, "echo", &r, &err), ST_OK);
    for (size_t i = 0; i < llm_models_count(m); i++)
        cr_expect_eq(route(m, llm_models_at(m, i)->name, &r, &err), ST_OK);
    llm_models_free(m);
}

Test(llm_models, without_keys_the_public_names_say_what_is_missing)
{
    struct config c = {0};
    struct llm_models *m;
    struct llm_route r;
    struct error err;

    cr_assert_eq(llm_models_load(&c, &m, &err), ST_OK, "%s", err.text);
    cr_expect_eq(route(m, "gpt-4", &r, &err), ST_NOTFOUND);
    cr_expect_not_null(strstr(err.text, "openai_api_key"), "%s", err.text);
    cr_expect_eq(route(m, "echo", &r, &err), ST_OK);
    llm_models_free(m);
}

Test(llm_models, the_default_provider_takes_what_nobody_knows)
{
    static char name[] = "compatible", base[] = "http://127.0.0.1:1/v1",
                wrong[] = "nobody";
    struct config c = settings();
    struct llm_models *m;
    struct llm_route r;
    struct error err;

    c.llm_default_provider = name;
    c.compatible_base_url = base;
    cr_assert_eq(llm_models_load(&c, &m, &err), ST_OK);
    cr_assert_eq(route(m, "mistral", &r, &err), ST_OK);
    cr_assert_str_eq(r.deployment->provider, "compatible");
    llm_models_free(m);
    c.llm_default_provider = wrong;
    cr_assert_eq(llm_models_load(&c, &m, &err), ST_INVALID);
}

Test(llm_models, a_bad_file_is_refused_with_the_place)
{
    static const struct {
        const char *json, *says;
    } cases[] = {
        {"{", "llm_models_file"},
        {"[]", "object"},
        {"{\"model\":{}}", "unknown member \"model\""},
        {"{\"models\":{\"a\":{\"provider\":\"x\"}}}", "provider \"x\""},
        {"{\"models\":{\"a\":{\"provider\":\"openai\",\"reason\":true}}}",
         "unknown member \"reason\""},
        {"{\"models\":{\"a\":{\"provider\":\"openai\",\"reasons\":1}}}",
         "true or false"},
        {"{\"models\":{\"a\":7}}", "object"},
        {"{\"models\":7}", "object"},
        {"{\"providers\":{\"p\":{\"base_url\":\"ftp://h\"}}}", "http://"},
        {"{\"providers\":{\"p\":{\"kind\":\"k\",\"base_url\":\"http://h\"}}}",
         "kind \"k\""},
        {"{\"providers\":{\"a/b\":{\"base_url\":\"http://h\"}}}", "named"},
        {"{\"aliases\":{\"a\":\"b\",\"b\":\"a\"}}", "loop"},
        {"{\"aliases\":{\"a\":\"a\"}}", "loop"},
        {"{\"aliases\":{\"a\":\"b\",\"b\":\"c\",\"c\":\"d\",\"d\":\"e\","
         "\"e\":\"f\"}}",
         "more than"},
        {"{\"aliases\":{\"a\":7}}", "must stand for"},
    };
    struct config c = settings();

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct llm_models *m = NULL;
        struct error err = {0};

        cr_expect_eq(load(&c, cases[i].json, &m, &err), ST_INVALID, "%s",
                     cases[i].json);
        cr_expect_not_null(strstr(err.text, cases[i].says), "%s: %s",
                           cases[i].json, err.text);
        cr_expect_null(m);
    }
}

/* ---- echo ---- */

static struct llm_result
echo(const char *name, const char *prompt, int64_t max_tokens, uint32_t roll)
{
    struct llm_query q = LLM_QUERY_INIT;
    struct llm_echo e;
    struct llm_result r;
    struct error err = {0};

    cr_assert_eq(llm_echo_parse((struct slice){name, strlen(name)}, &e, &err),
                 ST_OK, "%s", err.text);
    q.prompt = (struct slice){prompt, strlen(prompt)};
    q.max_tokens = max_tokens;
    llm_echo_answer(&e, &q, roll, &r);
    return r;
}

Test(llm_echo, answers_with_the_prompt_as_it_is)
{
    struct llm_result r = echo("echo", "Hello  big world\n", 100, 0);

    cr_assert_str_eq(r.text, "Hello  big world\n");
    cr_assert_eq(r.finish, LLM_FIN_STOP);
    cr_assert_eq(r.usage.prompt_tokens, 3);
    cr_assert_eq(r.usage.completion_tokens, 3);
    cr_assert_eq(r.usage.total_tokens, 6);
    llm_result_fini(&r);
}

Test(llm_echo, is_cut_at_max_tokens)
{
    struct llm_result r = echo("echo", "one two three", 2, 0);

    cr_assert_str_eq(r.text, "one two");
    cr_assert_eq(r.finish, LLM_FIN_LENGTH);
    llm_result_fini(&r);
}

Test(llm_echo, repeats_the_prompt_for_more_tokens)
{
    struct llm_result r = echo("echo?tokens=5", "a b", -1, 0);

    cr_assert_str_eq(r.text, "a b a b a");
    cr_assert_eq(r.usage.completion_tokens, 5);
    llm_result_fini(&r);
    r = echo("echo?tokens=2", "", -1, 0);
    cr_assert_str_eq(r.text, "echo echo");
    llm_result_fini(&r);
}

Test(llm_echo, fails_as_often_and_as_asked)
{
    const char *name = "echo?fail_rate=0.25&error=rate_limit&retry_after_ms=5";
    struct llm_result r = echo(name, "x", -1, LLM_ECHO_ROLL / 4 - 1);

    cr_assert_eq(r.error.cls, LLM_E_RATE_LIMIT);
    cr_assert_eq(r.error.retry_after_ms, 5);
    cr_assert_null(r.text);
    llm_result_fini(&r);
    r = echo(name, "x", -1, LLM_ECHO_ROLL / 4);
    cr_assert_eq(r.error.cls, LLM_E_NONE);
    llm_result_fini(&r);
    r = echo("echo?error=auth", "x", -1, LLM_ECHO_ROLL - 1);
    cr_assert_eq(r.error.cls, LLM_E_AUTH);
    llm_result_fini(&r);
}

Test(llm_echo, refuses_what_it_does_not_know)
{
    static const char *const bad[] = {"echo?x=1",
                                      "echo?latency_ms",
                                      "echo?latency_ms=",
                                      "echo?latency_ms=-1",
                                      "echo?fail_rate=2",
                                      "echo?error=none",
                                      "echo?error=tired",
                                      "echo?tokens=1e5",
                                      "echo?tokens=1.2.3",
                                      "echoes",
                                      "echo?&",
                                      "echo?latency_ms=600001"};
    struct llm_echo e;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect_eq(
            llm_echo_parse((struct slice){bad[i], strlen(bad[i])}, &e, NULL),
            ST_INVALID, "%s", bad[i]);
}
