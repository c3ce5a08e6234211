#ifndef STORE_PG_MIGRATE_H
#define STORE_PG_MIGRATE_H

#include "base/buf.h"

/* Applies the numbered migrations that are missing, each in a transaction,
 * under an advisory lock: safe to run twice and at once.  Blocking: for the
 * command line and tests, never on a loop.  *applied: how many.  ST_LOST: no
 * connection; ST_INVALID: the database has a newer schema, or a migration was
 * changed after it was applied, or one failed (the ones before it stay). */
enum status migrate_run(const char *database_url, int *applied,
                        struct error *err);

/* ST_OK if the schema is the one this program was built for; ST_INVALID, saying
 * which is which, if not; ST_LOST without a connection.  Blocking. */
enum status migrate_check(const char *database_url, struct error *err);

#endif
