/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTOCOL_LLM_CATALOGUE_H
#define PROTOCOL_LLM_CATALOGUE_H

#include "protocol/llm_models.h"

/* The catalogue's inside: for llm_models*.c only. */

enum { LLM_HOSTS_MAX = 64, LLM_FILE_MAX = 4 << 20, LLM_ALIAS_DEPTH = 4 };

/* A provider at a place, with a key. */
struct llm_host {
    const char *name;
    const struct llm_provider *codec;
    struct llm_deployment at;
    bool usable;
    char missing[96]; /* if it is not: what must be set */
};

/* A model of the file, or a prefix rule: something that leads to a host. */
struct llm_entry {
    const char *name;  /* the model's, or the prefix */
    const char *model; /* the provider's own name; NULL: a prefix rule */
    const struct llm_host *host;
    struct llm_deployment at; /* the host's, with what this entry changes */
};

struct llm_entries {
    struct llm_entry *at;
    size_t count;
};

struct llm_models {
    struct json_object *doc; /* the file: strings point into it; may be NULL */
    struct llm_host host[LLM_HOSTS_MAX];
    size_t host_count;
    struct llm_entries models, prefixes;
    struct json_object *aliases; /* borrowed from doc; may be NULL */
    struct llm_model_info *info;
    size_t info_count;
    const char *default_provider;
};

const struct llm_host *llm_host_find(const struct llm_models *m,
                                     struct slice name);
const struct llm_entry *llm_entry_find(const struct llm_entries *list,
                                       struct slice name);

/* deploy/models.json, NUL-terminated: what there is without a file of one's
 * own.  Made by the Makefile. */
extern const unsigned char llm_models_builtin[];

/* llm_models_file.c: reads the file into m; path "": the built-in one. */
enum status llm_models_read(struct llm_models *m, const char *path,
                            int64_t allowance, struct error *err);
/* Adds or replaces.  NULL: there are too many. */
struct llm_host *llm_host_add(struct llm_models *m, const char *name);

#endif
