/* SPDX-License-Identifier: Apache-2.0 */
#include "store/pg/conninfo.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static struct conninfo *ci;

static void
open_info(const char *url)
{
    struct error err;

    cr_assert_eq(conninfo_new(&ci, url, &err), ST_OK, "%s", err.text);
    conninfo_rewind(ci);
}

static void
add(const char *addr)
{
    struct sockaddr_in sin = {.sin_family = AF_INET};

    cr_assert_eq(inet_pton(AF_INET, addr, &sin.sin_addr), 1);
    conninfo_add_address(ci, (struct sockaddr *)&sin);
}

/* The connection is only started, to ports where nobody listens. */
static void
check_option(PGconn *conn, const char *key, const char *want)
{
    PQconninfoOption *options = PQconninfo(conn);
    const char *got = NULL;

    for (PQconninfoOption *o = options; o->keyword != NULL; o++)
        if (strcmp(o->keyword, key) == 0)
            got = o->val;
    cr_assert_str_eq(got != NULL ? got : "", want, "%s: %s", key, got);
    PQconninfoFree(options);
}

Test(conninfo, each_address_of_each_name_is_a_place_to_try)
{
    const char *port;
    PGconn *conn;

    open_info("postgresql://u@/name?host=db1,/run/x,gone,db2&port=1,2,3,4");
    cr_assert_str_eq(conninfo_next_name(ci, &port), "db1");
    cr_assert_str_eq(port, "1");
    add("127.0.0.1");
    add("127.0.0.2");
    cr_assert_str_eq(conninfo_next_name(ci, &port), "gone");
    cr_assert_str_eq(conninfo_next_name(ci, &port), "db2");
    cr_assert_str_eq(port, "4");
    add("127.0.0.3");
    cr_assert_null(conninfo_next_name(ci, &port));

    conn = conninfo_connect(ci);
    check_option(conn, "host", "db1,db1,/run/x,db2");
    check_option(conn, "hostaddr", "127.0.0.1,127.0.0.2,,127.0.0.3");
    check_option(conn, "port", "1,1,2,4");
    check_option(conn, "dbname", "name");
    check_option(conn, "client_encoding", "UTF8");
    check_option(conn, "fallback_application_name", "lovage");
    PQfinish(conn);
    conninfo_free(ci);
}

Test(conninfo, what_the_user_sets_is_kept)
{
    const char *port;
    PGconn *conn;

    open_info("host=a,b port=7 keepalives_idle=99 gssencmode=prefer "
              "application_name=mine client_encoding=LATIN1");
    cr_assert_str_eq(conninfo_next_name(ci, &port), "a");
    cr_assert_str_eq(port, "7");
    add("127.0.0.1");
    cr_assert_str_eq(conninfo_next_name(ci, &port), "b");
    cr_assert_str_eq(port, "7");
    cr_assert_null(conninfo_next_name(ci, &port));
    conn = conninfo_connect(ci);
    check_option(conn, "keepalives_idle", "99");
    check_option(conn, "gssencmode", "prefer");
    check_option(conn, "application_name", "mine");
    check_option(conn, "client_encoding", "UTF8");
    PQfinish(conn);
    conninfo_free(ci);
}

Test(conninfo, an_address_that_is_given_needs_no_lookup)
{
    const char *port;
    PGconn *conn;

    open_info("host=a hostaddr=127.0.0.1 port=1");
    cr_assert_null(conninfo_next_name(ci, &port));
    conn = conninfo_connect(ci);
    check_option(conn, "hostaddr", "127.0.0.1");
    PQfinish(conn);
    conninfo_free(ci);
}

Test(conninfo, without_any_address_there_is_nothing_to_connect_to)
{
    const char *port;

    open_info("postgresql://nowhere/x");
    cr_assert_not_null(conninfo_next_name(ci, &port));
    cr_assert_null(conninfo_next_name(ci, &port));
    cr_assert_null(conninfo_connect(ci));
    conninfo_rewind(ci); /* the next attempt */
    cr_assert_str_eq(conninfo_next_name(ci, &port), "nowhere");
    conninfo_free(ci);
}
