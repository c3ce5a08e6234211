#ifndef STORE_PG_MIGRATIONS_H
#define STORE_PG_MIGRATIONS_H

#include <stddef.h>

/* store/pg/migrations/NNNN_name.sql, put into the program by the Makefile: in
 * order, numbered from 1 without a gap.  The last one has sql NULL. */
struct migration {
    const char *file; /* "0001_init.sql" */
    const unsigned char *sql;
    size_t len;
};
extern const struct migration migrations[];

#endif
