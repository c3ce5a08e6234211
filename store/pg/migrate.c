/* SPDX-License-Identifier: Apache-2.0 */
/* Numbered migrations, applied once each.  The table schema_migrations keeps
 * what was applied with its SHA-256, so that a file which was changed after it
 * was applied is found instead of being trusted. */
#include "store/pg/migrate.h"

#include <libpq-fe.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/pg/migrations.h"

enum { SHA_TEXT = 65, VERSION_TEXT = 16 };

static int
known_version(void)
{
    int n = 0;

    while (migrations[n].file != NULL)
        n++;
    return n;
}

static enum status
checksum(const struct migration *m, char out[SHA_TEXT], struct error *err)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (!EVP_Digest(m->sql, m->len, sum, &len, EVP_sha256(), NULL) || len != 32)
        return error_set(err, ST_NOMEM, "migrate: no SHA-256");
    for (unsigned i = 0; i < len; i++)
        snprintf(out + 2 * i, 3, "%02x", sum[i]);
    return ST_OK;
}

/* One line of what the server said: its messages end with a newline. */
static enum status
server_error(PGconn *conn, const char *doing, enum status st, struct error *err)
{
    const char *text = PQerrorMessage(conn);

    return error_set(err, st, "migrate: %s: %.*s", doing,
                     (int)strcspn(text, "\n"), text);
}

static enum status
run(PGconn *conn, const char *sql, const char *doing, struct error *err)
{
    PGresult *res = PQexec(conn, sql);
    ExecStatusType got = PQresultStatus(res);

    PQclear(res);
    if (got == PGRES_COMMAND_OK || got == PGRES_TUPLES_OK)
        return ST_OK;
    return server_error(conn, doing,
                        PQstatus(conn) == CONNECTION_OK ? ST_INVALID : ST_LOST,
                        err);
}

static void
ignore_notice(void *arg, const PGresult *res)
{
    (void)arg;
    (void)res;
}

static enum status
connect_to(const char *url, PGconn **out, struct error *err)
{
    const char *keys[] = {"dbname", "fallback_application_name",
                          "connect_timeout", NULL};
    const char *values[] = {url, "lovage migrate", "10", NULL};
    PQconninfoOption *parsed = PQconninfoParse(url, NULL);
    PGconn *conn;
    enum status st;

    /* libpq quotes a URL that it cannot read, password and all. */
    if (parsed == NULL)
        return error_set(err, ST_INVALID,
                         "migrate: database_url is no PostgreSQL URL");
    PQconninfoFree(parsed);
    conn = PQconnectdbParams(keys, values, 1);
    if (conn == NULL)
        return error_set(err, ST_NOMEM, "migrate: no memory");
    if (PQstatus(conn) != CONNECTION_OK) {
        st = server_error(conn, "connect", ST_LOST, err);
        PQfinish(conn);
        return st;
    }
    PQsetNoticeReceiver(conn, ignore_notice, NULL);
    *out = conn;
    return ST_OK;
}

/* Compares what is applied with what is known.  *version: the last applied. */
static enum status
compare(PGconn *conn, int *version, struct error *err)
{
    PGresult *res = PQexec(conn, "SELECT version, sha256 FROM "
                                 "schema_migrations ORDER BY version");
    int known = known_version();
    char sum[SHA_TEXT];
    enum status st = ST_OK;

    *version = 0;
    if (PQresultStatus(res) != PGRES_TUPLES_OK) {
        st = server_error(conn, "read schema_migrations", ST_INVALID, err);
        goto out;
    }
    for (int i = 0; i < PQntuples(res); i++) {
        long v = strtol(PQgetvalue(res, i, 0), NULL, 10);

        if (v > known) {
            st = error_set(err, ST_INVALID,
                           "migrate: the schema is version %s, newer than "
                           "version %d of this program",
                           PQgetvalue(res, PQntuples(res) - 1, 0), known);
            goto out;
        }
        if (v != i + 1) {
            st =
                error_set(err, ST_INVALID,
                          "migrate: schema_migrations lacks version %d", i + 1);
            goto out;
        }
        st = checksum(&migrations[i], sum, err);
        if (st != ST_OK)
            goto out;
        if (strcmp(sum, PQgetvalue(res, i, 1)) != 0) {
            st = error_set(err, ST_INVALID,
                           "migrate: %s is not what was applied",
                           migrations[i].file);
            goto out;
        }
        *version = i + 1;
    }
out:
    PQclear(res);
    return st;
}

static enum status
note_applied(PGconn *conn, int version, const struct migration *m,
             struct error *err)
{
    char number[VERSION_TEXT], sum[SHA_TEXT];
    const char *values[] = {number, m->file, sum};
    PGresult *res;
    enum status st = checksum(m, sum, err);

    if (st != ST_OK)
        return st;
    snprintf(number, sizeof(number), "%d", version);
    res = PQexecParams(conn,
                       "INSERT INTO schema_migrations (version, name, sha256) "
                       "VALUES ($1, $2, $3)",
                       3, NULL, values, NULL, NULL, 0);
    if (PQresultStatus(res) != PGRES_COMMAND_OK)
        st = server_error(conn, m->file, ST_INVALID, err);
    PQclear(res);
    return st;
}

static enum status
apply(PGconn *conn, int version, const struct migration *m, struct error *err)
{
    char *sql = malloc(m->len + 1);
    enum status st;

    if (sql == NULL)
        return error_set(err, ST_NOMEM, "migrate: no memory");
    memcpy(sql, m->sql, m->len);
    sql[m->len] = '\0';
    st = run(conn, "BEGIN", m->file, err);
    if (st == ST_OK)
        st = run(conn, sql, m->file, err);
    if (st == ST_OK)
        st = note_applied(conn, version, m, err);
    if (st == ST_OK)
        st = run(conn, "COMMIT", m->file, err);
    free(sql);
    return st; /* a transaction that failed ends with the connection */
}

static enum status
apply_missing(PGconn *conn, int *applied, struct error *err)
{
    int version;
    enum status st;

    /* The number is "lovage" in ASCII: nobody else's lock.  It is held until
     * the connection ends. */
    st = run(conn,
             "SET lock_timeout = '60s'; "
             "SELECT pg_advisory_lock(119225983264613)",
             "wait for another migration", err);
    if (st != ST_OK)
        return st;
    st = run(conn,
             "SET lock_timeout = '10s'; "
             "CREATE TABLE IF NOT EXISTS schema_migrations ("
             "version integer PRIMARY KEY, name text NOT NULL, "
             "sha256 text NOT NULL, "
             "applied_at timestamptz NOT NULL DEFAULT now())",
             "create schema_migrations", err);
    if (st == ST_OK)
        st = compare(conn, &version, err);
    while (st == ST_OK && migrations[version].file != NULL) {
        st = apply(conn, version + 1, &migrations[version], err);
        if (st == ST_OK)
            *applied += 1;
        version++;
    }
    return st;
}

enum status
migrate_run(const char *database_url, int *applied, struct error *err)
{
    PGconn *conn = NULL;
    enum status st;

    *applied = 0;
    st = connect_to(database_url, &conn, err);
    if (st != ST_OK)
        return st;
    st = apply_missing(conn, applied, err);
    PQfinish(conn);
    return st;
}

/* *there: is there a table schema_migrations at all? */
static enum status
find_table(PGconn *conn, bool *there, struct error *err)
{
    PGresult *res =
        PQexec(conn, "SELECT to_regclass('schema_migrations') IS NOT NULL");
    enum status st = ST_OK;

    if (PQresultStatus(res) == PGRES_TUPLES_OK)
        *there = strcmp(PQgetvalue(res, 0, 0), "t") == 0;
    else
        st = server_error(conn, "look for schema_migrations", ST_LOST, err);
    PQclear(res);
    return st;
}

enum status
migrate_check(const char *database_url, struct error *err)
{
    PGconn *conn = NULL;
    bool there = false;
    int version = 0;
    enum status st;

    st = connect_to(database_url, &conn, err);
    if (st != ST_OK)
        return st;
    st = find_table(conn, &there, err);
    if (st == ST_OK && there)
        st = compare(conn, &version, err);
    if (st == ST_OK && version != known_version())
        st = error_set(err, ST_INVALID,
                       "migrate: the schema is version %d, this program needs "
                       "version %d: run lovage migrate",
                       version, known_version());
    PQfinish(conn);
    return st;
}
