#ifndef API_ROWS_H
#define API_ROWS_H

#include "base/buf.h"
#include "store/pg/records.h"

/* Appends a task as our JSON shows it. */
void rows_add(struct buf *out, const struct records_row *row);

#endif
