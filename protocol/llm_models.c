/* SPDX-License-Identifier: Apache-2.0 */
/* The model catalogue: the providers of the settings, and where a name leads.
 * Reading the models file is llm_models_file.c. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/llm_catalogue.h"
#include "protocol/llm_codec.h"
#include "protocol/llm_echo.h"

/* Families whose names tell the provider.  Longest first wins, so gpt-oss-,
 * which is not OpenAI's to serve, may stand beside gpt-. */
static const struct {
    const char *prefix, *provider;
} families[] = {
    {"gpt-", "openai"},     {"gpt-oss-", "huggingface"},
    {"chatgpt-", "openai"}, {"o1", "openai"},
    {"o3", "openai"},       {"o4", "openai"},
    {"ft:gpt-", "openai"},  {"claude", "anthropic"},
    {"gemini-", "gemini"},  {"text-bison", "palm"},
    {"chat-bison", "palm"},
};

struct setting {
    const char *name, *dflt; /* dflt: the vendor's own host; NULL: none */
    const char *key, *base;
    const char *key_name, *base_name; /* what to set */
};

/* ---- the providers of the settings ---- */

static const char *
or_empty(const char *s)
{
    return s != NULL ? s : "";
}

static enum status
add_setting(struct llm_models *m, const struct setting *s, int64_t allowance,
            struct error *err)
{
    struct llm_host *h = llm_host_add(m, s->name);
    const char *base = or_empty(s->base);
    bool own;

    if (h == NULL)
        return error_set(err, ST_TOOBIG, "too many LLM providers");
    /* At a base URL of one's own a key may not be needed. */
    own = base[0] != '\0' && (s->dflt == NULL || strcmp(base, s->dflt) != 0);
    h->codec = llm_provider_find(slice_of(s->name));
    h->at = (struct llm_deployment){
        .provider = h->codec->name,
        .base_url = base[0] != '\0' ? base : or_empty(s->dflt),
        .api_key = or_empty(s->key),
        .reasoning_allowance = allowance,
    };
    h->usable = h->at.base_url[0] != '\0' && (own || h->at.api_key[0] != '\0');
    snprintf(h->missing, sizeof(h->missing), "%s is not set",
             s->dflt == NULL ? s->base_name : s->key_name);
    return ST_OK;
}

static enum status
add_settings(struct llm_models *m, const struct config *c, struct error *err)
{
    const struct setting settings[] = {
        {"openai", "https://api.openai.com/v1", c->openai_api_key,
         c->openai_base_url, "openai_api_key", "openai_base_url"},
        {"compatible", NULL, c->compatible_api_key, c->compatible_base_url,
         "compatible_api_key", "compatible_base_url"},
        {"anthropic", "https://api.anthropic.com/v1", c->anthropic_api_key,
         c->anthropic_base_url, "anthropic_api_key", "anthropic_base_url"},
        {"gemini", "https://generativelanguage.googleapis.com/v1beta",
         c->gemini_api_key, c->gemini_base_url, "gemini_api_key",
         "gemini_base_url"},
        {"palm", "https://generativelanguage.googleapis.com/v1beta2",
         c->palm_api_key, c->palm_base_url, "palm_api_key", "palm_base_url"},
        {"huggingface", "https://router.huggingface.co/v1",
         c->huggingface_api_key, c->huggingface_base_url, "huggingface_api_key",
         "huggingface_base_url"},
        {"tgi", "https://router.huggingface.co/hf-inference/models/{model}",
         c->huggingface_api_key, NULL, "huggingface_api_key", NULL},
    };
    enum status st = ST_OK;

    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        st = add_setting(m, &settings[i], c->llm_reasoning_allowance, err);
        if (st != ST_OK)
            return st;
    }
    return st;
}

/* ---- looking up ---- */

const struct llm_host *
llm_host_find(const struct llm_models *m, struct slice name)
{
    for (size_t i = 0; i < m->host_count; i++)
        if (slice_is(name, m->host[i].name))
            return &m->host[i];
    return NULL;
}

const struct llm_entry *
llm_entry_find(const struct llm_entries *list, struct slice name)
{
    for (size_t i = 0; i < list->count; i++)
        if (slice_is(name, list->at[i].name))
            return &list->at[i];
    return NULL;
}

struct llm_host *
llm_host_add(struct llm_models *m, const char *name)
{
    size_t i = 0;

    while (i < m->host_count && strcmp(m->host[i].name, name) != 0)
        i++;
    if (i == LLM_HOSTS_MAX)
        return NULL;
    if (i == m->host_count)
        m->host_count++;
    m->host[i] = (struct llm_host){.name = name};
    return &m->host[i];
}

static bool
starts_with(struct slice s, const char *prefix)
{
    size_t n = strlen(prefix);

    return s.len > n && memcmp(s.ptr, prefix, n) == 0;
}

/* The longest rule of the file that fits, for a model of this host (NULL: of
 * any). */
static const struct llm_entry *
find_rule(const struct llm_models *m, struct slice name,
          const struct llm_host *host)
{
    const struct llm_entry *best = NULL;

    for (size_t i = 0; i < m->prefixes.count; i++) {
        const struct llm_entry *e = &m->prefixes.at[i];

        if (starts_with(name, e->name) && (host == NULL || e->host == host) &&
            (best == NULL || strlen(e->name) > strlen(best->name)))
            best = e;
    }
    return best;
}

static const char *
find_family(struct slice name, size_t *len)
{
    const char *best = NULL;

    *len = 0;
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
        if (starts_with(name, families[i].prefix) &&
            strlen(families[i].prefix) > *len) {
            *len = strlen(families[i].prefix);
            best = families[i].provider;
        }
    return best;
}

/* What aliases stand for in the end; bounded by the check at load. */
static struct slice
follow(const struct llm_models *m, struct slice name)
{
    char key[LLM_MODEL_MAX + 1];

    for (int depth = 0; depth <= LLM_ALIAS_DEPTH; depth++) {
        struct slice to;

        llm_copy(key, sizeof(key), name);
        to = json_get_str(m->aliases, key);
        if (to.ptr == NULL)
            break;
        name = to;
    }
    return name;
}

/* Names go into URLs and log lines. */
static bool
well_formed(struct slice name)
{
    if (name.ptr == NULL || name.len == 0 || name.len > LLM_MODEL_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];

        if (c >= 0x80 || c == '\0' ||
            (!isalnum(c) && strchr("._:/@+-", c) == NULL))
            return false;
        if ((c == '.' || c == '/') && i > 0 && name.ptr[i - 1] == (char)c)
            return false;
    }
    return name.ptr[0] != '/' && name.ptr[name.len - 1] != '/';
}

/* ---- routing ---- */

struct found {
    const struct llm_host *host;
    const struct llm_deployment *at;
    struct slice model;
};

/* A model that is not in the file by its own name: rules may know it. */
static void
lead_to(const struct llm_models *m, const struct llm_host *host,
        struct slice model, struct found *out)
{
    const struct llm_entry *e = NULL;

    for (size_t i = 0; i < m->models.count && e == NULL; i++)
        if (m->models.at[i].host == host &&
            slice_is(model, m->models.at[i].model))
            e = &m->models.at[i];
    if (e == NULL)
        e = find_rule(m, model, host);
    *out = (struct found){host, e != NULL ? &e->at : &host->at, model};
}

static bool
find_by_shape(const struct llm_models *m, struct slice name, struct found *out)
{
    const char *slash = memchr(name.ptr, '/', name.len), *family;
    const struct llm_entry *rule = find_rule(m, name, NULL);
    const struct llm_host *host = NULL;
    size_t family_len;

    family = find_family(name, &family_len);
    if (rule != NULL && strlen(rule->name) >= family_len) {
        *out = (struct found){rule->host, &rule->at, name};
        return true;
    }
    if (family != NULL)
        host = llm_host_find(m, slice_of(family));
    else if (slash != NULL)
        host = llm_host_find(m, slice_of("huggingface"));
    else if (m->default_provider[0] != '\0')
        host = llm_host_find(m, slice_of(m->default_provider));
    if (host == NULL)
        return false;
    lead_to(m, host, name, out);
    return true;
}

static bool
find(const struct llm_models *m, struct slice name, struct found *out)
{
    const struct llm_entry *e = llm_entry_find(&m->models, name);
    const char *slash = memchr(name.ptr, '/', name.len);
    const struct llm_host *host = NULL;

    if (e != NULL) {
        *out = (struct found){e->host, &e->at, slice_of(e->model)};
        return true;
    }
    if (slash != NULL)
        host = llm_host_find(
            m, (struct slice){name.ptr, (size_t)(slash - name.ptr)});
    if (host == NULL || slash + 1 == name.ptr + name.len)
        return find_by_shape(m, name, out);
    lead_to(
        m, host,
        (struct slice){slash + 1, (size_t)(name.ptr + name.len - slash - 1)},
        out);
    return true;
}

static enum status
not_found(const struct llm_models *m, struct slice name, struct error *err)
{
    char shown[48], list[160] = "";
    size_t len = 0;

    llm_copy(shown, sizeof(shown), name);
    for (size_t i = 0; i < m->info_count; i++) {
        const char *n = m->info[i].name;

        if (len + strlen(n) + 6 > sizeof(list)) {
            snprintf(list + len, sizeof(list) - len, ", ...");
            break;
        }
        len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s",
                                i > 0 ? ", " : "", n);
    }
    return error_set(err, ST_NOTFOUND, "unknown model \"%s\"; there are: %s",
                     shown, list);
}

static enum status
route_echo(struct slice name, struct llm_route *out, struct error *err)
{
    struct llm_echo ignored;
    enum status st = llm_echo_parse(name, &ignored, err);

    if (st != ST_OK) {
        if (err != NULL)
            err->code = ST_NOTFOUND;
        return ST_NOTFOUND;
    }
    *out = (struct llm_route){0};
    llm_copy(out->model, sizeof(out->model), name);
    return ST_OK;
}

enum status
llm_models_route(const struct llm_models *m, struct slice name,
                 struct llm_route *out, struct error *err)
{
    struct found f;
    char shown[64];

    if (name.ptr == NULL || name.len == 0 || name.len > LLM_MODEL_MAX)
        return not_found(m, name.ptr == NULL ? slice_of("") : name, err);
    name = follow(m, name);
    if (llm_echo_names(name))
        return route_echo(name, out, err);
    if (!well_formed(name) || !find(m, name, &f))
        return not_found(m, name, err);
    if (!f.host->usable) {
        llm_copy(shown, sizeof(shown), name);
        return error_set(err, ST_NOTFOUND,
                         "model \"%s\" needs the provider %.32s, but %s", shown,
                         f.host->name, f.host->missing);
    }
    *out = (struct llm_route){f.host->codec, f.at, ""};
    llm_copy(out->model, sizeof(out->model), f.model);
    return ST_OK;
}

/* ---- listing ---- */

static void
add_info(struct llm_models *m, const char *name, const char *target)
{
    struct llm_route r;
    struct llm_model_info *info = &m->info[m->info_count];

    if (llm_models_route(m, slice_of(name), &r, NULL) != ST_OK)
        return;
    *info = (struct llm_model_info){name, "echo", target, false};
    if (r.provider != NULL) {
        info->provider = r.deployment->provider;
        info->reasons = r.deployment->reasons;
    }
    m->info_count++;
}

static enum status
make_list(struct llm_models *m, struct error *err)
{
    size_t n = 1 + m->models.count;

    if (m->aliases != NULL)
        n += (size_t)json_object_object_length(m->aliases);
    m->info = calloc(n, sizeof(*m->info));
    if (m->info == NULL)
        return error_set(err, ST_NOMEM, "model catalogue");
    if (m->aliases != NULL) {
        json_object_object_foreach(m->aliases, name, target)
        {
            add_info(m, name, json_object_get_string(target));
        }
    }
    for (size_t i = 0; i < m->models.count; i++)
        if (json_get(m->aliases, m->models.at[i].name) == NULL)
            add_info(m, m->models.at[i].name, m->models.at[i].model);
    if (json_get(m->aliases, "echo") == NULL)
        add_info(m, "echo", "echo");
    return ST_OK;
}

enum status
llm_models_load(const struct config *config, struct llm_models **out,
                struct error *err)
{
    struct llm_models *m = calloc(1, sizeof(*m));
    enum status st;

    if (m == NULL)
        return error_set(err, ST_NOMEM, "model catalogue");
    m->default_provider = or_empty(config->llm_default_provider);
    st = add_settings(m, config, err);
    if (st == ST_OK)
        st = llm_models_read(m, or_empty(config->llm_models_file),
                             config->llm_reasoning_allowance, err);
    if (st == ST_OK && m->default_provider[0] != '\0' &&
        llm_host_find(m, slice_of(m->default_provider)) == NULL)
        st = error_set(err, ST_INVALID,
                       "llm_default_provider: no provider \"%s\"",
                       m->default_provider);
    if (st == ST_OK)
        st = make_list(m, err);
    if (st == ST_OK)
        *out = m;
    else
        llm_models_free(m);
    return st;
}

void
llm_models_free(struct llm_models *m)
{
    if (m == NULL)
        return;
    json_object_put(m->doc);
    free(m->models.at);
    free(m->prefixes.at);
    free(m->info);
    free(m);
}

size_t
llm_models_count(const struct llm_models *m)
{
    return m->info_count;
}

const struct llm_model_info *
llm_models_at(const struct llm_models *m, size_t i)
{
    return i < m->info_count ? &m->info[i] : NULL;
}
