/* SPDX-License-Identifier: Apache-2.0 */
/* Which of PostgreSQL's errors are worth another try. */
#include "store/pg/sqlstate.h"

#include <stddef.h>
#include <string.h>

/* A code, or the class that it begins with. */
struct meaning {
    const char *code;
    enum status status;
    bool ends_session;
};

static const struct meaning meanings[] = {
    {"08", ST_AGAIN, true},      /* connection exception */
    {"53", ST_AGAIN, false},     /* no memory, disk or connections */
    {"0A000", ST_AGAIN, true},   /* a plan that a migration made stale */
    {"23505", ST_DENIED, false}, /* unique violation */
    {"25006", ST_AGAIN, true},   /* read-only: a standby */
    {"26000", ST_AGAIN, true},   /* no such prepared statement */
    {"40001", ST_AGAIN, false},  /* serialization */
    {"40P01", ST_AGAIN, false},  /* deadlock */
    {"55P03", ST_AGAIN, false},  /* lock not available */
    {"57014", ST_TIMEOUT, false},
    {"57P", ST_AGAIN, true},    /* shutdown, crash, starting up */
    {"58030", ST_AGAIN, false}, /* I/O error */
};

static const struct meaning *
find(const char *code)
{
    for (size_t i = 0; i < sizeof(meanings) / sizeof(*meanings); i++)
        if (strncmp(code, meanings[i].code, strlen(meanings[i].code)) == 0)
            return &meanings[i];
    return NULL;
}

enum status
sqlstate_judge(const char *code)
{
    const struct meaning *m;

    if (code == NULL)
        return ST_LOST;
    m = find(code);
    return m != NULL ? m->status : ST_INVALID;
}

bool
sqlstate_ends_session(const char *code)
{
    const struct meaning *m = code != NULL ? find(code) : NULL;

    return code == NULL || (m != NULL && m->ends_session);
}
