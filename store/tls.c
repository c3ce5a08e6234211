/* SPDX-License-Identifier: Apache-2.0 */
/* Reads what URLs and settings say of TLS. */
#include "store/tls.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"

static enum status
invalid(const struct url *u, const char *what, struct error *err)
{
    return error_set(err, ST_INVALID, "TLS to %.80s: %s",
                     u != NULL && *u->host != '\0' ? u->host : "the server",
                     what);
}

/* Celery's AMQP transport knows the names without "ssl_". */
static struct json_object *
member(struct json_object *setting, const char *name)
{
    struct json_object *v = json_get(setting, name);

    return v != NULL ? v : json_get(setting, name + strlen("ssl_"));
}

/* What is said of name, as text; malloc'd.  NULL: nothing, or no memory. */
static char *
said(const struct url *u, struct json_object *setting, const char *name)
{
    char *text = u == NULL ? NULL : url_query(u, name);
    struct json_object *v = member(setting, name);

    if (text != NULL || v == NULL)
        return text;
    return strdup(json_object_get_string(v));
}

/* Also Python's numbers for them. */
static enum status
read_reqs(struct store_tls *t, const struct url *u, char *reqs,
          struct error *err)
{
    static const struct {
        const char *word;
        bool verify;
    } words[] = {{"none", false},    {"CERT_NONE", false},    {"0", false},
                 {"optional", true}, {"CERT_OPTIONAL", true}, {"1", true},
                 {"required", true}, {"CERT_REQUIRED", true}, {"2", true}};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(reqs, words[i].word) == 0) {
            t->opts.verify = words[i].verify;
            return ST_OK;
        }
    return invalid(u, "ssl_cert_reqs is none, optional or required", err);
}

static enum status
read_check(struct store_tls *t, const struct url *u, const char *check,
           struct error *err)
{
    if (strcasecmp(check, "false") == 0 || strcmp(check, "0") == 0)
        t->opts.any_host = true;
    else if (strcasecmp(check, "true") != 0 && strcmp(check, "1") != 0)
        return invalid(u, "ssl_check_hostname is true or false", err);
    return ST_OK;
}

enum status
store_tls_init_object(struct store_tls *t, const struct url *u,
                      struct json_object *setting, struct error *err)
{
    char *reqs = said(u, setting, "ssl_cert_reqs");
    char *check = said(u, setting, "ssl_check_hostname");
    enum status st = ST_OK;

    *t = (struct store_tls){.opts = {.verify = true}};
    t->ca_file = said(u, setting, "ssl_ca_certs");
    t->cert_file = said(u, setting, "ssl_certfile");
    t->key_file = said(u, setting, "ssl_keyfile");
    t->opts.ca_file = t->ca_file;
    t->opts.cert_file = t->cert_file;
    t->opts.key_file = t->key_file;
    t->asked = reqs != NULL || check != NULL || t->ca_file != NULL ||
               t->cert_file != NULL || t->key_file != NULL;
    if (reqs != NULL)
        st = read_reqs(t, u, reqs, err);
    if (st == ST_OK && check != NULL)
        st = read_check(t, u, check, err);
    free(reqs);
    free(check);
    if (st != ST_OK)
        store_tls_fini(t);
    return st;
}

enum status
store_tls_init(struct store_tls *t, const struct url *u, const char *setting,
               struct error *err)
{
    struct json_object *o = NULL;
    enum status st = ST_OK;
    bool asked = false;

    if (setting != NULL && strcmp(setting, "true") == 0)
        asked = true;
    else if (setting != NULL && *setting != '\0' &&
             strcmp(setting, "false") != 0) {
        st = json_parse((struct slice){setting, strlen(setting)}, JSON_DEPTH,
                        &o, err);
        asked = true;
    }
    if (st == ST_OK)
        st = store_tls_init_object(t, u, o, err);
    else
        *t = (struct store_tls){0};
    json_object_put(o);
    t->asked = t->asked || asked;
    return st;
}

void
store_tls_fini(struct store_tls *t)
{
    free(t->ca_file);
    free(t->cert_file);
    free(t->key_file);
    *t = (struct store_tls){0};
}
