/* SPDX-License-Identifier: Apache-2.0 */
/* Migrations against a real server. */
#include "store/pg/migrate.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/pg_server.h"

static struct pg_server *server;

static void
setup(void)
{
    server = pg_server_new(false);
}

static void
teardown(void)
{
    pg_server_free(server);
}

TestSuite(migrate, .init = setup, .fini = teardown);

Test(migrate, an_empty_database_gets_the_schema_once)
{
    struct error err = {0};
    int applied = -1;

    cr_assert_eq(migrate_check(pg_server_url(server), &err), ST_INVALID);
    cr_assert_eq(migrate_run(pg_server_url(server), &applied, &err), ST_OK,
                 "%s", err.text);
    cr_assert_gt(applied, 0);
    cr_assert_eq(migrate_run(pg_server_url(server), &applied, &err), ST_OK);
    cr_assert_eq(applied, 0);
    cr_assert_eq(migrate_check(pg_server_url(server), &err), ST_OK, "%s",
                 err.text);
    cr_assert_eq(pg_server_number(server, "SELECT count(*) FROM tasks"), 0);
}

Test(migrate, eight_processes_at_once_apply_it_once)
{
    int applied_sum = 0;

    for (int i = 0; i < 8; i++) {
        if (fork() == 0) {
            struct error err;
            int applied = 0;
            enum status st = migrate_run(pg_server_url(server), &applied, &err);

            _exit(st == ST_OK ? applied : 100);
        }
    }
    for (int i = 0; i < 8; i++) {
        int status;

        cr_assert_gt(wait(&status), 0);
        cr_assert(WIFEXITED(status));
        applied_sum += WEXITSTATUS(status);
    }
    cr_assert_gt(applied_sum, 0);
    cr_assert_eq(
        pg_server_number(server, "SELECT count(*) FROM schema_migrations"),
        applied_sum);
}

Test(migrate, a_newer_schema_is_refused)
{
    struct error err = {0};
    int applied;

    cr_assert_eq(migrate_run(pg_server_url(server), &applied, &err), ST_OK);
    pg_server_run(server, "INSERT INTO schema_migrations "
                          "VALUES (999, '0999_later.sql', 'x')");

    cr_assert_eq(migrate_run(pg_server_url(server), &applied, &err),
                 ST_INVALID);
    cr_assert_not_null(strstr(err.text, "version 999, newer"), "%s", err.text);
    cr_assert_eq(migrate_check(pg_server_url(server), &err), ST_INVALID);
}

Test(migrate, a_migration_that_was_changed_is_refused)
{
    struct error err = {0};
    int applied;

    cr_assert_eq(migrate_run(pg_server_url(server), &applied, &err), ST_OK);
    pg_server_run(server, "UPDATE schema_migrations SET sha256 = 'other'");

    cr_assert_eq(migrate_run(pg_server_url(server), &applied, &err),
                 ST_INVALID);
    cr_assert_not_null(strstr(err.text, "0001_init.sql"), "%s", err.text);
}

Test(migrate, one_that_fails_leaves_nothing_behind)
{
    struct error err = {0};
    int applied;

    pg_server_run(server, "CREATE TABLE rejected (in_the_way integer)");

    cr_assert_eq(migrate_run(pg_server_url(server), &applied, &err),
                 ST_INVALID);
    cr_assert_not_null(strstr(err.text, "rejected"), "%s", err.text);
    cr_assert_eq(
        pg_server_number(server, "SELECT count(*) FROM schema_migrations"), 0);
    cr_assert_eq(pg_server_number(
                     server, "SELECT count(*) FROM pg_class WHERE relname = "
                             "'tasks'"),
                 0);
}

Test(migrate, no_server_is_told_as_a_lost_connection)
{
    struct error err = {0};
    int applied;

    cr_assert_eq(
        migrate_run("postgresql:///x?host=/nonexistent", &applied, &err),
        ST_LOST);
    cr_assert_eq(migrate_check("postgresql:///x?host=/nonexistent", &err),
                 ST_LOST);
}

Test(migrate, a_url_that_cannot_be_read_is_not_quoted)
{
    struct error err = {0};
    int applied;

    cr_assert_eq(migrate_run("postgres//user:secret@host/x", &applied, &err),
                 ST_INVALID);
    cr_assert_null(strstr(err.text, "secret"), "%s", err.text);
}
