/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the models file: its format is in llm_models.h.  What it does not know
 * it refuses, because a misspelt option would silently do nothing. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/llm_catalogue.h"
#include "protocol/llm_codec.h"

/* Where we are, for errors. */
struct place {
    const char *path, *section, *entry;
};

static enum status bad(const struct place *p, struct error *err,
                       const char *fmt, ...) PRINTF(3, 4);

static enum status
bad(const struct place *p, struct error *err, const char *fmt, ...)
{
    char what[120];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    return error_set(err, ST_INVALID, "%s: %s \"%.48s\": %s", p->path,
                     p->section, p->entry, what);
}

static enum status
check_members(const struct place *p, struct json_object *obj,
              const char *const *known, struct error *err)
{
    if (!json_object_is_type(obj, json_type_object))
        return bad(p, err, "must be an object");
    json_object_object_foreach(obj, key, v)
    {
        size_t i = 0;

        (void)v;
        while (known[i] != NULL && strcmp(known[i], key) != 0)
            i++;
        if (known[i] == NULL)
            return bad(p, err, "unknown member \"%.32s\"", key);
    }
    return ST_OK;
}

/* A text member that must not be empty; dflt when absent.  Borrowed from obj,
 * NUL-terminated. */
static enum status
read_text(const struct place *p, struct json_object *obj, const char *key,
          const char **out, struct error *err)
{
    struct json_object *v = json_get(obj, key);

    if (v == NULL)
        return ST_OK;
    if (!json_object_is_type(v, json_type_string) || json_str(v).len == 0 ||
        memchr(json_str(v).ptr, '\0', json_str(v).len) != NULL)
        return bad(p, err, "%s must be a text", key);
    *out = json_object_get_string(v);
    return ST_OK;
}

/* What models, prefixes and providers may all set. */
static enum status
read_options(const struct place *p, struct json_object *obj,
             struct llm_deployment *d, struct error *err)
{
    struct json_object *reasons = json_get(obj, "reasons");
    struct json_object *allowance = json_get(obj, "reasoning_allowance");

    if (reasons != NULL && !json_object_is_type(reasons, json_type_boolean))
        return bad(p, err, "reasons must be true or false");
    if (allowance != NULL && (!json_object_is_type(allowance, json_type_int) ||
                              json_object_get_int64(allowance) < 0 ||
                              json_object_get_int64(allowance) > 1000000))
        return bad(p, err, "reasoning_allowance must be 0 to 1000000");
    d->reasons = json_get_bool(obj, "reasons", d->reasons);
    d->reasoning_allowance =
        json_get_int(obj, "reasoning_allowance", d->reasoning_allowance);
    return read_text(p, obj, "tokens_param", &d->tokens_param, err);
}

static enum status
read_host(struct llm_models *m, const struct place *p, struct json_object *obj,
          int64_t allowance, struct error *err)
{
    static const char *const known[] = {"comment",
                                        "kind",
                                        "base_url",
                                        "api_key_env",
                                        "reasons",
                                        "tokens_param",
                                        "reasoning_allowance",
                                        NULL};
    const char *kind = NULL, *env = NULL;
    struct llm_host *h;
    enum status st = check_members(p, obj, known, err);

    if (st != ST_OK)
        return st;
    if (strchr(p->entry, '/') != NULL || strcmp(p->entry, "echo") == 0)
        return bad(p, err, "a provider cannot be named so");
    h = llm_host_add(m, p->entry);
    if (h == NULL)
        return bad(p, err, "too many providers");
    h->at = (struct llm_deployment){
        .base_url = "", .api_key = "", .reasoning_allowance = allowance};
    st = read_text(p, obj, "kind", &kind, err);
    if (st == ST_OK)
        st = read_text(p, obj, "base_url", &h->at.base_url, err);
    if (st == ST_OK)
        st = read_text(p, obj, "api_key_env", &env, err);
    if (st == ST_OK)
        st = read_options(p, obj, &h->at, err);
    if (st != ST_OK)
        return st;
    h->codec = llm_provider_find(slice_of(kind != NULL ? kind : "compatible"));
    if (h->codec == NULL)
        return bad(p, err, "there is no kind \"%s\"", kind);
    if (strncmp(h->at.base_url, "http://", 7) != 0 &&
        strncmp(h->at.base_url, "https://", 8) != 0)
        return bad(p, err, "base_url must begin with http:// or https://");
    h->at.provider = h->name;
    if (env != NULL && getenv(env) != NULL)
        h->at.api_key = getenv(env);
    h->usable = env == NULL || h->at.api_key[0] != '\0';
    snprintf(h->missing, sizeof(h->missing), "%.64s is not set",
             env != NULL ? env : "");
    return ST_OK;
}

static enum status
read_entry(struct llm_models *m, const struct place *p, struct json_object *obj,
           struct llm_entry *out, struct error *err)
{
    static const char *const known[] = {
        "comment", "provider",     "model",
        "reasons", "tokens_param", "reasoning_allowance",
        NULL};
    const char *provider = "", *model = NULL;
    enum status st = check_members(p, obj, known, err);

    if (st == ST_OK)
        st = read_text(p, obj, "provider", &provider, err);
    if (st == ST_OK)
        st = read_text(p, obj, "model", &model, err);
    if (st != ST_OK)
        return st;
    out->name = p->entry;
    out->model = model != NULL ? model : p->entry;
    out->host = llm_host_find(m, slice_of(provider));
    if (out->host == NULL)
        return bad(p, err, "there is no provider \"%s\"", provider);
    if (strlen(out->name) > LLM_MODEL_MAX || strlen(out->model) > LLM_MODEL_MAX)
        return bad(p, err, "the name is over %d bytes", LLM_MODEL_MAX);
    out->at = out->host->at;
    return read_options(p, obj, &out->at, err);
}

static enum status
read_entries(struct llm_models *m, const char *path, const char *section,
             struct llm_entries *out, struct error *err)
{
    struct json_object *obj = json_get(m->doc, section);
    struct place p = {path, section, ""};
    enum status st = ST_OK;

    if (obj == NULL)
        return ST_OK;
    if (!json_object_is_type(obj, json_type_object))
        return bad(&p, err, "must be an object");
    out->at =
        calloc((size_t)json_object_object_length(obj) + 1, sizeof(*out->at));
    if (out->at == NULL)
        return error_set(err, ST_NOMEM, "model catalogue");
    json_object_object_foreach(obj, name, v)
    {
        p.entry = name;
        st = read_entry(m, &p, v, &out->at[out->count++], err);
        if (st != ST_OK)
            return st;
    }
    return st;
}

static enum status
read_hosts(struct llm_models *m, const char *path, int64_t allowance,
           struct error *err)
{
    struct json_object *obj = json_get(m->doc, "providers");
    struct place p = {path, "providers", ""};
    enum status st = ST_OK;

    if (obj == NULL)
        return ST_OK;
    if (!json_object_is_type(obj, json_type_object))
        return bad(&p, err, "must be an object");
    json_object_object_foreach(obj, name, v)
    {
        p.entry = name;
        st = read_host(m, &p, v, allowance, err);
        if (st != ST_OK)
            return st;
    }
    return st;
}

static enum status
read_aliases(struct llm_models *m, const char *path, struct error *err)
{
    struct json_object *obj = json_get(m->doc, "aliases");
    struct place p = {path, "aliases", ""};

    if (obj == NULL)
        return ST_OK;
    if (!json_object_is_type(obj, json_type_object))
        return bad(&p, err, "must be an object");
    json_object_object_foreach(obj, name, v)
    {
        struct json_object *to = v;
        int depth = 0;

        p.entry = name;
        if (strlen(name) > LLM_MODEL_MAX)
            return bad(&p, err, "the name is over %d bytes", LLM_MODEL_MAX);
        while (json_object_is_type(to, json_type_string) &&
               depth++ <= LLM_ALIAS_DEPTH &&
               json_get(obj, json_object_get_string(to)) != NULL)
            to = json_get(obj, json_object_get_string(to));
        if (!json_object_is_type(to, json_type_string) ||
            json_str(to).len == 0 || json_str(to).len > LLM_MODEL_MAX)
            return bad(&p, err, "must stand for a model's name");
        if (depth > LLM_ALIAS_DEPTH)
            return bad(&p, err, "a loop, or more than %d aliases in a row",
                       LLM_ALIAS_DEPTH);
    }
    m->aliases = obj;
    return ST_OK;
}

static enum status
slurp(const char *path, struct buf *out, struct error *err)
{
    char piece[8192];
    size_t n;
    FILE *f = fopen(path, "re");

    if (f == NULL)
        return error_set(err, ST_NOTFOUND, "llm_models_file: %s: %s", path,
                         strerror(errno));
    while ((n = fread(piece, 1, sizeof(piece), f)) > 0)
        buf_add(out, (struct slice){piece, n});
    n = (size_t)ferror(f);
    fclose(f);
    if (n != 0)
        return error_set(err, ST_INVALID, "llm_models_file: %s: read error",
                         path);
    if (out->nomem)
        return error_set(err, ST_NOMEM, "llm_models_file: out of memory");
    if (out->failed)
        return error_set(err, ST_TOOBIG, "llm_models_file: %s: over %d bytes",
                         path, LLM_FILE_MAX);
    return ST_OK;
}

enum status
llm_models_read(struct llm_models *m, const char *path, int64_t allowance,
                struct error *err)
{
    static const char *const known[] = {"comment",  "providers", "models",
                                        "prefixes", "aliases",   NULL};
    struct place p = {path, "the file", ""};
    struct slice json = slice_of((const char *)llm_models_builtin);
    struct error why;
    struct buf text;
    enum status st;

    buf_init(&text, LLM_FILE_MAX);
    if (*path != '\0') {
        st = slurp(path, &text, err);
        if (st != ST_OK)
            goto out;
        json = (struct slice){text.data, text.len};
    }
    st = json_parse(json, LLM_JSON_DEPTH, &m->doc, &why);
    if (st != ST_OK) {
        st = error_set(err, ST_INVALID, "llm_models_file: %.100s: %.100s", path,
                       why.text);
        goto out;
    }
    st = check_members(&p, m->doc, known, err);
    if (st == ST_OK)
        st = read_hosts(m, path, allowance, err);
    if (st == ST_OK)
        st = read_entries(m, path, "models", &m->models, err);
    if (st == ST_OK)
        st = read_entries(m, path, "prefixes", &m->prefixes, err);
    if (st == ST_OK)
        st = read_aliases(m, path, err);
out:
    buf_fini(&text);
    return st;
}
