#ifndef STORE_PG_SQLSTATE_H
#define STORE_PG_SQLSTATE_H

#include "base/status.h"

#include <stdbool.h>

/* What an SQLSTATE (NULL: none came, the connection is gone) means for the
 * call: ST_AGAIN: the same may succeed later; ST_TIMEOUT: statement_timeout;
 * ST_DENIED: a row with that id exists; ST_LOST; ST_INVALID: never. */
enum status sqlstate_judge(const char *code);

/* Is the session no use after it?  A new one may find another server, and
 * prepares its statements anew. */
bool sqlstate_ends_session(const char *code);

#endif
