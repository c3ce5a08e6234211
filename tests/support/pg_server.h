#ifndef TESTS_SUPPORT_PG_SERVER_H
#define TESTS_SUPPORT_PG_SERVER_H

#include <stdbool.h>

/* A PostgreSQL server for one test: its own data, on a unix socket in a folder
 * of its own under /tmp.  initdb runs once a checkout, its outcome is kept
 * under build/.  It ends with the process that started it.  Each function
 * aborts the test when it fails. */
struct pg_server;

/* Running, without tables.  durable: with fsync, for tests of crashes. */
struct pg_server *pg_server_new(bool durable);
/* On a free port of 127.0.0.1 too: what "localhost" in the URL finds. */
struct pg_server *pg_server_new_tcp(void);
/* The first one with Lovage's schema. */
struct pg_server *pg_server_new_migrated(bool durable);
void pg_server_free(struct pg_server *s); /* stops it, removes the folder */

/* database_url; borrowed. */
const char *pg_server_url(const struct pg_server *s);
int pg_server_port(const struct pg_server *s); /* 5432 unless it is on TCP */

void pg_server_start(struct pg_server *s); /* and waits until it answers */
void pg_server_crash(struct pg_server *s); /* immediate shutdown */
void pg_server_freeze(struct pg_server *s, bool frozen); /* SIGSTOP, SIGCONT */

/* Runs SQL on a connection of its own.  pg_server_value: the first value of the
 * first row, "" if there is none; malloc'd. */
void pg_server_run(struct pg_server *s, const char *sql);
char *pg_server_value(struct pg_server *s, const char *sql);
long pg_server_number(struct pg_server *s, const char *sql);

#endif
