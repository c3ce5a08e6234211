/* SPDX-License-Identifier: Apache-2.0 */
/* Reads what was captured from real Celery. */
#include "tests/support/data.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 16 << 20 };

struct slice
data_text(const char *s)
{
    return (struct slice){s, strlen(s)};
}

struct json_object *
data_json(const char *text)
{
    struct json_object *v = NULL;
    struct error err = {0};

    cr_assert_eq(json_parse(data_text(text), JSON_DEPTH, &v, &err), ST_OK,
                 "%s: %s", text, err.text);
    return v;
}

void
data_set(char **member, const char *text)
{
    free(*member);
    *member = text != NULL ? strdup(text) : NULL;
    cr_assert_eq(*member == NULL, text == NULL);
}

struct json_object *
data_load(const char *name)
{
    struct json_object *v;
    char path[256];
    char *text;
    size_t n;
    FILE *f;

    snprintf(path, sizeof(path), "tests/data/%s", name);
    f = fopen(path, "rb");
    cr_assert_not_null(f, "%s", path);
    text = malloc(FILE_MAX);
    cr_assert_not_null(text);
    n = fread(text, 1, FILE_MAX - 1, f);
    fclose(f);
    text[n] = '\0';
    v = data_json(text);
    free(text);
    return v;
}
