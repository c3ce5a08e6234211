#ifndef STORE_PG_RESULT_SQL_H
#define STORE_PG_RESULT_SQL_H

#include "base/config.h"
#include "store/pg/statements.h"

/* The SQL over Celery's own tables.  Their names are settings, so that it is
 * made when a backend is opened; all values are parameters. */
struct result_sql {
    /* Owned; NULL: no statement of a result backend.  [1]: for tables made
     * before Celery 5.7, which have no column for the children. */
    char *text[2][PG_KINDS];
    bool childless; /* which of them: the caller's to set */
};

/* ST_INVALID: database_table_names or database_table_schemas is no JSON object
 * of names. */
enum status result_sql_init(struct result_sql *s, const struct config *config,
                            struct error *err);
void result_sql_fini(struct result_sql *s);

#endif
