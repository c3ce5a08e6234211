/* SPDX-License-Identifier: Apache-2.0 */
/* What every result backend promises, kept by db+postgresql://, and what only
 * tables can do wrong. */
#define RESULT pg
#include "tests/contract/test_result.c" /* the behaviours */

#include "tests/support/pg_server.h"

#define DB(behaviour)                            \
    static void behaviour(struct result_rig *r); \
    Test(result_db, behaviour, .timeout = 120)   \
    {                                            \
        run(&result_impl_pg, behaviour);         \
    }                                            \
    static void behaviour(struct result_rig *r)

static bool
has_tables(struct result_rig *r)
{
    return pg_server_number(result_rig_pg(r),
                            "SELECT count(*) FROM pg_class WHERE relname IN "
                            "('celery_taskmeta', 'celery_tasksetmeta', "
                            "'task_id_sequence', 'taskset_id_sequence')") == 4;
}

/* Calls fn for an id and waits for its answer; the status. */
static enum status
get_status(struct result_rig *r, const char *id)
{
    int before = r->calls;

    r->r->ops->get(r->r, str(id), result_rig_note, r);
    cr_assert(result_rig_wait(r, before + 1, 5000));
    return r->status;
}

DB(the_tables_are_there_once_it_is_connected)
{
    for (int i = 0; i < 100 && !has_tables(r); i++)
        result_rig_run(r, 20);
    cr_assert(has_tables(r));
}

DB(tables_that_vanish_are_made_again)
{
    put_and_wait(r, "id-1", "SUCCESS", "1");
    pg_server_run(result_rig_pg(r),
                  "DROP TABLE celery_taskmeta, celery_tasksetmeta");
    put_and_wait(r, "id-2", "SUCCESS", "2");
    cr_assert_str_eq(stored(r, "id-1"), "");
    cr_assert_str_eq(stored(r, "id-2"), "SUCCESS 2");
    save(r, "g", "[[\"g\", null], []]");
    cr_assert(has_tables(r));
    cr_assert_not_null(r->r->ops->watch(r->r, str("id-3"), result_rig_note, r));
    pg_server_run(result_rig_pg(r), "DROP TABLE celery_taskmeta");
    result_rig_run(r, 200);
    put_and_wait(r, "id-3", "SUCCESS", "3");
    cr_assert(result_rig_wait(r, r->calls + 1, 3000) || r->calls > 0);
}

/* Others are just making them, and have not committed. */
DB(what_others_make_at_the_same_time_is_used)
{
    struct result *more[8];
    struct error err;

    put_and_wait(r, "id", "SUCCESS", "1");
    pg_server_run(result_rig_pg(r),
                  "DROP TABLE celery_taskmeta, celery_tasksetmeta; DROP "
                  "SEQUENCE task_id_sequence, taskset_id_sequence");
    for (int i = 0; i < 8; i++)
        cr_assert_eq(result_open(&more[i], &r->loop, r->impl->url(r->server),
                                 &r->config, &err),
                     ST_OK);
    r->calls = 0;
    for (int i = 0; i < 8; i++) {
        char id[16];
        struct task_state ts;

        (void)snprintf(id, sizeof id, "id-%d", i);
        ts = state(r, id, "SUCCESS", "1");
        more[i]->ops->put(more[i], &ts, result_rig_note, r);
    }
    cr_assert(result_rig_wait(r, 8, 10000), "%d", r->calls);
    cr_assert_eq(r->status, ST_OK);
    cr_assert_eq(pg_server_number(result_rig_pg(r),
                                  "SELECT count(*) FROM celery_taskmeta"),
                 8);
    for (int i = 0; i < 8; i++)
        more[i]->ops->close(more[i], 0, NULL, NULL);
    result_rig_run(r, 50);
}

DB(who_may_not_create_uses_what_is_there)
{
    char url[600];
    struct error err;
    const char *rest = strstr(r->impl->url(r->server), "://");

    put_and_wait(r, "id-1", "SUCCESS", "1");
    pg_server_run(result_rig_pg(r),
                  "CREATE ROLE poor LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA "
                  "public TO poor; GRANT ALL ON ALL SEQUENCES IN SCHEMA public "
                  "TO poor");
    (void)snprintf(url, sizeof url, "db+postgresql+psycopg2%s%cuser=poor", rest,
                   strchr(rest, '?') != NULL ? '&' : '?');
    result_rig_close(r, 1000);
    cr_assert_eq(result_open(&r->r, &r->loop, url, &r->config, &err), ST_OK,
                 "%s", err.text);
    cr_assert_str_eq(stored(r, "id-1"), "SUCCESS 1");
    put_and_wait(r, "id-2", "SUCCESS", "2");
    pg_server_run(result_rig_pg(r), "DROP TABLE celery_taskmeta");
    /* It can be told, and it is told each time. */
    cr_assert_eq(get_status(r, "id-1"), ST_INVALID);
    cr_assert_eq(get_status(r, "id-1"), ST_INVALID);
    pg_server_run(result_rig_pg(r), "GRANT CREATE ON SCHEMA public TO poor");
    while (get_status(r, "id-1") != ST_OK)
        result_rig_run(r, 20);
    put_and_wait(r, "id-2", "SUCCESS", "2");
}

DB(without_the_setting_tables_are_made_at_the_first_call)
{
    cr_assert_str_eq(stored(r, "id-1"), "");
    result_rig_close(r, 1000);
    pg_server_run(result_rig_pg(r),
                  "DROP TABLE celery_taskmeta, celery_tasksetmeta; "
                  "DROP SEQUENCE task_id_sequence, taskset_id_sequence");
    r->config.database_create_tables_at_setup = false;
    result_rig_open(r);
    result_rig_run(r, 300);
    cr_assert(!has_tables(r));
    cr_assert_str_eq(stored(r, "id-1"), "");
    cr_assert(has_tables(r));
}

/* Many states of many tasks in one turn: the last one is what stays. */
DB(states_keep_their_order_over_cut_connections)
{
    for (int i = 0; i < 500; i++)
        for (int k = 0; k < 4; k++) {
            char id[16], n[16];

            (void)snprintf(id, sizeof id, "id-%d", i);
            (void)snprintf(n, sizeof n, "%d", k);
            put(r, id, k < 3 ? "PROGRESS" : "FAILURE", n);
            if (i % 100 == 50 && k == 2) {
                result_rig_run(r, 3);
                r->impl->cut(r->server);
            }
        }
    cr_assert(result_rig_wait(r, 2000, 20000), "%d", r->calls);
    cr_assert_eq(r->status, ST_OK);
    cr_assert_eq(pg_server_number(result_rig_pg(r),
                                  "SELECT count(*) FROM celery_taskmeta WHERE "
                                  "status = 'FAILURE' AND result = "
                                  "'\\x80024b032e' AND date_done IS NOT NULL"),
                 500);
}

DB(one_that_the_table_refuses_does_not_spoil_the_others)
{
    char status[80], id[200];

    memset(status, 'S', sizeof status);
    status[sizeof status - 1] = '\0';
    memset(id, 'i', sizeof id);
    id[sizeof id - 1] = '\0';
    put(r, "good-1", "SUCCESS", "1");
    put(r, "bad", status, "1");
    put(r, "good-2", "SUCCESS", "2");
    cr_assert(result_rig_wait(r, 3, 5000));
    cr_assert_str_eq(stored(r, "good-1"), "SUCCESS 1");
    cr_assert_str_eq(stored(r, "good-2"), "SUCCESS 2");
    cr_assert_str_eq(stored(r, "bad"), "");
    cr_assert_eq(get_status(r, id), ST_INVALID, "an id that no row can have");
}

DB(what_cannot_be_read_is_told_to_who_waits)
{
    put_and_wait(r, "evil", "SUCCESS", "1");
    pg_server_run(result_rig_pg(r),
                  "UPDATE celery_taskmeta SET result = "
                  "'\\x636f730a73797374656d0a58040000007472756585522e'");
    cr_assert_eq(get_status(r, "evil"), ST_PROTO);
    r->calls = 0;
    cr_assert_not_null(r->r->ops->watch(r->r, str("evil"), result_rig_note, r));
    cr_assert(result_rig_wait(r, 1, 3000));
    cr_assert_eq(r->status, ST_PROTO);
}

DB(a_result_of_a_row_without_one_is_null)
{
    put_and_wait(r, "a", "SUCCESS", "1");
    pg_server_run(result_rig_pg(r), "UPDATE celery_taskmeta SET result = NULL");
    cr_assert_str_eq(stored(r, "a"), "SUCCESS null");
}

DB(cleanup_deletes_all_that_has_expired)
{
    int before;

    put_and_wait(r, "young", "SUCCESS", "1");
    pg_server_run(
        result_rig_pg(r),
        "UPDATE celery_taskmeta SET date_done = now(); "
        "INSERT INTO celery_taskmeta (id, task_id, status, date_done) "
        "SELECT nextval('task_id_sequence'), 'old-' || i, 'SUCCESS', "
        "now() - interval '9 days' FROM generate_series(1, 25000) i");
    before = r->calls;
    r->r->ops->cleanup(r->r, result_rig_note, r);
    cr_assert(result_rig_wait(r, before + 1, 20000));
    cr_assert_eq(r->status, ST_OK);
    cr_assert_eq(pg_server_number(result_rig_pg(r),
                                  "SELECT count(*) FROM celery_taskmeta"),
                 1);
}

/* Tables made by a Celery before 5.7. */
DB(tables_without_the_newer_columns_are_used)
{
    put_and_wait(r, "id-1", "SUCCESS", "1");
    pg_server_run(result_rig_pg(r), "ALTER TABLE celery_taskmeta DROP COLUMN "
                                    "children, DROP COLUMN stamps");
    result_rig_close(r, 1000);
    result_rig_open(r);
    cr_assert_not_null(r->r->ops->watch(r->r, str("id-2"), result_rig_note, r));
    result_rig_run(r, 200);
    cr_assert_str_eq(stored(r, "id-1"), "SUCCESS 1");
    put_and_wait(r, "id-2", "SUCCESS", "2");
    cr_assert_str_eq(stored(r, "id-2"), "SUCCESS 2");
}

/* Celery 5.7 and newer write the result serializer's bytes, not a pickle. */
DB(json_in_the_tables_is_read)
{
    put_and_wait(r, "id", "STARTED", "1");
    pg_server_run(result_rig_pg(r),
                  "UPDATE celery_taskmeta SET status = 'FAILURE', result = "
                  "convert_to('[1, {\"a\": null}]', 'UTF8')");
    cr_assert_str_eq(stored(r, "id"), "FAILURE [1, {\"a\": null}]");
    save(r, "g", "[[\"g\", null], []]");
    pg_server_run(result_rig_pg(r),
                  "UPDATE celery_tasksetmeta SET result = convert_to("
                  "'[[\"g\", null], [[[\"a\", null], null]]]', 'UTF8')");
    cr_assert_str_eq(saved(r, "g"), "[[\"g\", null], [[[\"a\", null], null]]]");
}

DB(children_are_kept)
{
    struct task_state ts = state(r, "id", "SUCCESS", "1");
    int before = r->calls;

    ts.children = json_tokener_parse("[[[\"child\", null], null]]");
    r->r->ops->put(r->r, &ts, result_rig_note, r);
    cr_assert(result_rig_wait(r, before + 1, 3000));
    json_object_put(ts.children);
    cr_assert_eq(
        pg_server_number(result_rig_pg(r),
                         "SELECT count(*) FROM celery_taskmeta WHERE "
                         "convert_from(children, 'UTF8')::json#>>'{0,0,0}' = "
                         "'child'"),
        1);
}

Test(result_db, names_of_tables_are_checked)
{
    static const char *const bad[] = {
        "[]", "{",
        "{\"task\": \"1234567890123456789012345678901234567890"
        "123456789012345678901234567890\"}"};
    struct config config;
    struct error err;
    struct result *out;
    uv_loop_t loop;

    cr_assert_eq(config_init(&config, &err), ST_OK);
    uv_loop_init(&loop);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        free(config.database_table_names);
        config.database_table_names = strdup(bad[i]);
        cr_expect_eq(
            result_open(&out, &loop, "db+postgresql://h/d", &config, &err),
            ST_INVALID);
        cr_expect_not_null(strstr(err.text, "database_table_names"));
    }
    loop_end(&loop);
    config_fini(&config);
}
