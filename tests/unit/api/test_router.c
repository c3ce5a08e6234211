/* SPDX-License-Identifier: Apache-2.0 */
#include "api/router.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static void
handler(struct exchange *x)
{
    (void)x;
}

static const struct route routes[] = {
    {"/healthz", {[HTTP_GET] = handler}, true},
    {"/api/v1/tasks", {[HTTP_GET] = handler, [HTTP_POST] = handler}, false},
    {"/api/v1/tasks/{task_id}", {[HTTP_DELETE] = handler}, false},
    {NULL, {NULL}, false}};

static char id[PATH_ID_MAX + 1];

static enum route_verdict
find(const char *path, const char **pattern)
{
    const struct route *r = NULL;
    enum route_verdict v =
        router_find(routes, (struct slice){path, strlen(path)}, &r, id);

    *pattern = r != NULL ? r->pattern : "";
    return v;
}

static enum route_verdict
verdict(const char *path)
{
    const char *pattern;

    return find(path, &pattern);
}

Test(router, finds_a_route_and_decodes_its_id)
{
    const char *pattern;

    cr_assert_eq(find("/api/v1/tasks", &pattern), ROUTE_FOUND);
    cr_assert_str_eq(pattern, "/api/v1/tasks");
    cr_assert_str_eq(id, "");
    cr_assert_eq(find("/api/v1/tasks/a%2db", &pattern), ROUTE_FOUND);
    cr_assert_str_eq(pattern, "/api/v1/tasks/{task_id}");
    cr_assert_str_eq(id, "a-b");
    cr_assert_eq(find("/ap%69/v1/tasks", &pattern), ROUTE_FOUND);
    cr_assert_eq(find("/api/v1/tasks/a%2fb%5c..%20%c3%bc", &pattern),
                 ROUTE_FOUND);
    cr_assert_str_eq(id, "a/b\\.. \xc3\xbc");
    cr_assert_eq(verdict("/api/v1%2ftasks"), ROUTE_MISSING);
}

Test(router, a_trailing_slash_is_told_apart)
{
    cr_assert_eq(verdict("/api/v1/tasks/"), ROUTE_SLASH);
    cr_assert_eq(verdict("/api/v1/tasks/x/"), ROUTE_SLASH);
    cr_assert_eq(verdict("/"), ROUTE_MISSING);
}

Test(router, other_paths_are_missing)
{
    static const char *const paths[] = {"/api",
                                        "/api/v1/tasksx",
                                        "/api/v1/task",
                                        "/api/v1/tasks/x/y",
                                        "/api//v1/tasks",
                                        "//",
                                        "/API/v1/tasks",
                                        "/healthz/x",
                                        "/a/b/c/d/e/f/g/h/i/j/k"};

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        cr_assert_eq(verdict(paths[i]), ROUTE_MISSING, "%s", paths[i]);
}

Test(router, paths_that_could_mean_two_things_are_bad)
{
    static const char *const paths[] = {
        "/api/v1/tasks/%00", "/api/v1/tasks/%zz",   "/api/v1/tasks/%4",
        "/api/v1/tasks/..",  "/api/v1/../v1/tasks", "/api/v1/%2e%2e/x",
        "/api/v1/./tasks",   "/api/v1/tasks/%ff",   "/api/v1/tasks/%0a"};

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        cr_assert_eq(verdict(paths[i]), ROUTE_BAD, "%s", paths[i]);
}

Test(router, an_id_that_is_too_long_is_none)
{
    char path[260] = "/api/v1/tasks/";
    const char *pattern;

    memset(path + 14, 'a', PATH_ID_MAX);
    cr_assert_eq(find(path, &pattern), ROUTE_FOUND);
    cr_assert_eq(strlen(id), PATH_ID_MAX);
    path[14 + PATH_ID_MAX] = 'a';
    cr_assert_eq(find(path, &pattern), ROUTE_MISSING);
}

Test(router, allow_names_every_method_and_head_with_get)
{
    struct buf b;
    char *text;

    buf_init(&b, 100);
    router_allow(&routes[1], &b);
    cr_assert_eq(buf_take(&b, &text, NULL), ST_OK);
    cr_assert_str_eq(text, "GET, HEAD, POST");
    free(text);
}
