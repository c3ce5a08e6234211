/* SPDX-License-Identifier: Apache-2.0 */
/* How the server carries out the statements: nothing that is run often may read
 * a whole table, whatever the tables held when its plan was made. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/pg/statements.h"
#include "tests/support/pg_server.h"

static struct pg_server *server;

static void
setup(void)
{
    server = pg_server_new_migrated(false);
}

static void
teardown(void)
{
    pg_server_free(server);
}

TestSuite(plans, .init = setup, .fini = teardown);

/* As PG_SET_UP does it. */
#define SETTINGS                                            \
    "SET enable_seqscan = off; SET enable_hashjoin = off; " \
    "SET enable_mergejoin = off; SET jit = off; "

static void
explain(enum pg_kind kind, const char *mode, const char *values, char **plan)
{
    size_t size = 20000;
    char *sql = malloc(size);

    snprintf(sql, size,
             SETTINGS "SET plan_cache_mode = %s; PREPARE x AS %s; "
                      "CREATE TEMP TABLE plan (line text); DO $do$ DECLARE l "
                      "text; BEGIN FOR l IN EXECUTE $x$EXPLAIN EXECUTE x%s$x$ "
                      "LOOP INSERT INTO plan VALUES (l); END LOOP; END $do$; "
                      "SELECT string_agg(line, E'\\n') FROM plan",
             mode, statement_get(kind)->sql, values);
    *plan = pg_server_value(server, sql);
    free(sql);
}

/* Each scan of a table goes by an index, and by a condition on it. */
static void
check_plan(const char *name, char *plan)
{
    char *line, *rest = plan;

    cr_assert_null(strstr(plan, "Seq Scan on "), "%s\n%s", name, plan);
    cr_assert_null(strstr(plan, "Hash Join"), "%s\n%s", name, plan);
    cr_assert_null(strstr(plan, "Index Only Scan using tasks"), "%s\n%s", name,
                   plan);
    while ((line = strstr(rest, "Index Scan ")) != NULL) {
        char *next = strchr(line, '\n');

        cr_assert_not_null(next, "%s\n%s", name, plan);
        cr_assert_not_null(strstr(next, "Index Cond"), "%s\n%s", name, plan);
        cr_assert_lt(strstr(next, "Index Cond") - next, 60, "%s\n%s", name,
                     plan);
        rest = next;
    }
}

Test(plans, batches_go_by_index_even_when_planned_for_empty_tables)
{
    static const struct {
        enum pg_kind kind;
        const char *values;
    } calls[] = {
        {PG_SUBMIT, "(NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL)"},
        {PG_SUBMIT_AGAIN,
         "(NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL)"},
        {PG_CLAIM, "(NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,"
                   "NULL,NULL,NULL,NULL)"},
        {PG_BEGUN, "(NULL,NULL,NULL,NULL)"},
        {PG_SETTLE,
         "(NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,"
         "NULL,NULL)"},
        {PG_NOTE, "(NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,"
                  "NULL)"},
        {PG_RELEASE, "(NULL,NULL,NULL,NULL)"},
        {PG_PUBLISHED, "(NULL)"},
        {PG_RENEW, "(NULL,NULL)"},
        {PG_GET, "(NULL,NULL)"},
    };

    for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
        char *plan;

        explain(calls[i].kind, "force_generic_plan", calls[i].values, &plan);
        check_plan(statement_get(calls[i].kind)->sql, plan);
        free(plan);
    }
}

Test(plans, a_page_of_100000_rows_is_read_through_an_index)
{
    static const struct {
        const char *values, *index;
    } calls[] = {
        {"('FAILURE',NULL,NULL,NULL,NULL,0,50)", "tasks_status"},
        {"(NULL,'task-7',NULL,NULL,NULL,0,50)", "tasks_task"},
        {"('SUCCESS',NULL,NULL,NULL,NULL,0,50)", "tasks_pkey"},
        {"(NULL,NULL,NULL,NULL,NULL,0,50)", "tasks_pkey"},
    };

    pg_server_run(server,
                  "INSERT INTO tasks (id, task, status) SELECT 't' || n, "
                  "'task-' || n % 1000, CASE WHEN n % 500 = 0 THEN 'FAILURE' "
                  "ELSE 'SUCCESS' END FROM generate_series(1, 100000) n");
    pg_server_run(server, "ANALYZE tasks");
    for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
        char *plan, *limit;

        explain(PG_LIST_NEWEST, "auto", calls[i].values, &plan);
        limit = strstr(plan, "->  Limit");
        cr_assert_not_null(limit, "%s", plan);
        cr_assert_not_null(strstr(limit, calls[i].index), "%s\n%s",
                           calls[i].values, plan);
        cr_assert_null(strstr(plan, "Sort Key: tasks"), "%s", plan);
        free(plan);
    }
}

/* A lease that is renewed every few seconds must cost no index anything. */
Test(plans, renewing_a_lease_is_a_heap_only_update)
{
    pg_server_run(server, "INSERT INTO tasks (id, task, status, running, "
                          "lease_by, lease_until) SELECT 't' || n, 't', "
                          "'STARTED', true, 'n1', now() FROM "
                          "generate_series(1, 50) n");
    for (int i = 0; i < 3; i++)
        pg_server_run(server, "UPDATE tasks SET lease_until = now() WHERE "
                              "running AND lease_by = 'n1'");
    cr_assert_eq(pg_server_number(server, "SELECT n_tup_upd FROM "
                                          "pg_stat_user_tables WHERE relname "
                                          "= 'tasks'"),
                 150);
    cr_assert_geq(pg_server_number(server, "SELECT n_tup_hot_upd FROM "
                                           "pg_stat_user_tables WHERE relname "
                                           "= 'tasks'"),
                  100);
}
