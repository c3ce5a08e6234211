#ifndef STORE_PG_RESULT_SQL_H
#define STORE_PG_RESULT_SQL_H

#include "base/config.h"
#include "store/pg/statements.h"

/* The SQL over Celery's own tables.  Their names are settings, so that it is
 * made when a backend is opened; all values are parameters. */
struct result_sql {
    char *text[PG_KINDS]; /* owned; NULL: no statement of a result backend */
};

/* ST_INVALID: database_table_names or database_table_schemas is no JSON object
 * of names. */
enum status result_sql_init(struct result_sql *s, const struct config *config,
                            struct error *err);
void result_sql_fini(struct result_sql *s);

#endif
