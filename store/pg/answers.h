#ifndef STORE_PG_ANSWERS_H
#define STORE_PG_ANSWERS_H

#include "store/pg/op.h"

/* Calls the callbacks of a batch that succeeded, of those ops that were not
 * told before.  An op that is to be asked again is left with told false, and
 * all others have it true afterwards.  *cursor: where the walk of PG_OPEN_IDS
 * stands. */
void answers_give(struct batch *b, const PGresult *rows, int64_t *cursor);

#endif
