/* SPDX-License-Identifier: Apache-2.0 */
/* Reading settings into struct config.  What may be set is in config_items.c,
 * what must hold between settings in config_check.c. */
#include "base/config.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_FILE = 1 << 20, MAX_VALUE = 65536, MAX_ENV = 128 };

static void *
member(struct config *c, const struct config_item *item)
{
    return (char *)c + item->offset;
}

/* A value for error texts: cut, without control characters, and never that of a
 * secret. */
static const char *
shown(const struct config_item *item, const char *value, char out[48])
{
    size_t i;

    if (item->secret)
        return "***";
    for (i = 0; i < 40 && value[i] != '\0'; i++)
        out[i] = (char)(iscntrl((unsigned char)value[i]) ? '?' : value[i]);
    snprintf(out + i, 48 - i, "%s", value[i] != '\0' ? "..." : "");
    return out;
}

static enum status
set_str(struct config *c, const struct config_item *item, const char *value,
        struct error *err)
{
    char **at = member(c, item);
    char *copy;

    if (strlen(value) > MAX_VALUE)
        return error_set(err, ST_INVALID, "%s: over %d bytes", item->name,
                         MAX_VALUE);
    copy = strdup(value);
    if (copy == NULL)
        return error_set(err, ST_NOMEM, "%s: out of memory", item->name);
    free(*at);
    *at = copy;
    return ST_OK;
}

static enum status
set_number(struct config *c, const struct config_item *item, const char *value,
           struct error *err)
{
    bool is_int = item->type == CONFIG_INT;
    char text[48], *end = NULL;
    int64_t n = 0;
    double d;

    errno = 0;
    if (is_int)
        d = (double)(n = strtoll(value, &end, 10));
    else
        d = strtod(value, &end);
    if (end == value || *end != '\0' || isspace((unsigned char)*value) ||
        isnan(d) || strpbrk(value, "xXnN") != NULL)
        return error_set(
            err, ST_INVALID, "%s: \"%s\" is no %s (%.10g to %.10g)", item->name,
            shown(item, value, text), is_int ? "whole number" : "number",
            item->min, item->max);
    if (errno == ERANGE || d < item->min || d > item->max)
        return error_set(err, ST_INVALID,
                         "%s: %s is out of range (%.10g to %.10g)", item->name,
                         shown(item, value, text), item->min, item->max);
    if (is_int)
        *(int64_t *)member(c, item) = n;
    else
        *(double *)member(c, item) = d;
    return ST_OK;
}

static enum status
set_bool(struct config *c, const struct config_item *item, const char *value,
         struct error *err)
{
    static const char *const words[][2] = {
        {"false", "true"}, {"0", "1"}, {"no", "yes"}, {"off", "on"}};
    char text[48];

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        for (int v = 0; v < 2; v++) {
            if (strcasecmp(value, words[i][v]) != 0)
                continue;
            *(bool *)member(c, item) = v == 1;
            return ST_OK;
        }
    return error_set(err, ST_INVALID, "%s: \"%s\" is neither true nor false",
                     item->name, shown(item, value, text));
}

static enum status
set(struct config *c, const struct config_item *item, const char *value,
    struct error *err)
{
    switch (item->type) {
    case CONFIG_STR:
        return set_str(c, item, value, err);
    case CONFIG_BOOL:
        return set_bool(c, item, value, err);
    default:
        return set_number(c, item, value, err);
    }
}

enum status
config_set(struct config *c, const char *name, const char *value,
           struct error *err)
{
    for (const struct config_item *i = config_items(); i->name != NULL; i++)
        if (strcmp(i->name, name) == 0)
            return set(c, i, value, err);
    return error_set(err, ST_INVALID, "%.60s: there is no such setting", name);
}

enum status
config_init(struct config *c, struct error *err)
{
    enum status st = ST_OK;

    memset(c, 0, sizeof(*c));
    for (const struct config_item *i = config_items(); i->name != NULL; i++) {
        st = set(c, i, i->dflt, err);
        if (st != ST_OK) {
            config_fini(c);
            break;
        }
    }
    return st;
}

void
config_fini(struct config *c)
{
    for (const struct config_item *i = config_items(); i->name != NULL; i++)
        if (i->type == CONFIG_STR)
            free(*(char **)member(c, i));
    memset(c, 0, sizeof(*c));
}

/* --- the environment ----------------------------------------------------- */

/* Kubernetes gives every pod variables for its services: a service
 * "lovage-api" makes LOVAGE_API_PORT=tcp://10.0.0.1:8080, which is not meant
 * for us. */
static bool
is_service_link(const struct config_item *item, const char *value)
{
    return item->type != CONFIG_STR && (strncmp(value, "tcp://", 6) == 0 ||
                                        strncmp(value, "udp://", 6) == 0);
}

static enum status
load_variable(struct config *c, const struct config_item *item,
              const char *name, struct error *err)
{
    const char *value = getenv(name);
    struct error why;
    enum status st;

    if (value == NULL || *value == '\0' || is_service_link(item, value))
        return ST_OK;
    st = set(c, item, value, &why);
    if (st != ST_OK)
        st = error_set(err, st, "environment variable %s: %s", name, why.text);
    return st;
}

enum status
config_load_env(struct config *c, struct error *err)
{
    char name[MAX_ENV];
    enum status st;

    for (const struct config_item *i = config_items(); i->name != NULL; i++) {
        if (i->env != NULL) {
            st = load_variable(c, i, i->env, err);
            if (st != ST_OK)
                return st;
        }
        snprintf(name, sizeof(name), "LOVAGE_%s", i->name);
        for (char *p = name; *p != '\0'; p++)
            *p = (char)toupper((unsigned char)*p);
        st = load_variable(c, i, name, err);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

/* --- the file ------------------------------------------------------------ */

static char *
trim(char *s)
{
    char *end;

    while (isspace((unsigned char)*s))
        s++;
    end = s + strlen(s);
    while (end > s && isspace((unsigned char)end[-1]))
        end--;
    *end = '\0';
    return s;
}

enum status
config_load_line(struct config *c, char *line, struct error *err)
{
    char *name = trim(line), *value;
    size_t n;

    if (*name == '\0' || *name == '#' || *name == ';')
        return ST_OK;
    if (*name == '[') /* sections are for the reader's eye */
        return name[strlen(name) - 1] == ']'
                   ? ST_OK
                   : error_set(err, ST_INVALID, "section without a ]");
    value = strchr(name, '=');
    if (value == NULL)
        return error_set(err, ST_INVALID, "neither name = value nor a comment");
    *value++ = '\0';
    name = trim(name);
    value = trim(value);
    n = strlen(value);
    if (n >= 2 && (value[0] == '"' || value[0] == '\'') &&
        value[n - 1] == value[0]) {
        value[n - 1] = '\0';
        value++;
    }
    return config_set(c, name, value, err);
}

static enum status
read_file(const char *path, char **out, struct error *err)
{
    FILE *f = fopen(path, "re");
    enum status st = ST_OK;
    char *text = NULL;
    size_t n;

    if (f == NULL)
        return error_set(err, ST_NOTFOUND, "%s: %s", path, strerror(errno));
    text = malloc(MAX_FILE + 1);
    if (text == NULL) {
        st = error_set(err, ST_NOMEM, "%s: out of memory", path);
        goto out;
    }
    n = fread(text, 1, MAX_FILE + 1, f);
    if (ferror(f))
        st = error_set(err, ST_INVALID, "%s: %s", path, strerror(errno));
    else if (n > MAX_FILE)
        st = error_set(err, ST_TOOBIG, "%s: over %d bytes", path, MAX_FILE);
    else if (memchr(text, '\0', n) != NULL)
        st = error_set(err, ST_INVALID, "%s: holds a NUL byte", path);
    if (st != ST_OK)
        goto out;
    text[n] = '\0';
    *out = text;
    text = NULL;
out:
    free(text);
    fclose(f);
    return st;
}

enum status
config_load_file(struct config *c, const char *path, struct error *err)
{
    char *text = NULL, *line, *rest;
    enum status st = read_file(path, &text, err);
    struct error why;
    int n = 0;

    rest = text;
    while (st == ST_OK && (line = strsep(&rest, "\n")) != NULL) {
        n++;
        st = config_load_line(c, line, &why);
        if (st != ST_OK)
            st = error_set(err, st, "%s:%d: %s", path, n, why.text);
    }
    free(text);
    return st;
}
