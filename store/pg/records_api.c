/* SPDX-License-Identifier: Apache-2.0 */
/* The calls of records.h that the api makes: submit, read, change. */
#include "store/pg/records.h"

#include <stdlib.h>
#include <string.h>

#include "store/pg/internal.h"

enum { MAX_PAGE = 1000, MAX_PATTERN = 1000 };

static struct op_value
op_seq(struct records_key key)
{
    return op_int(key.id.ptr != NULL ? -1 : key.seq);
}

/* A pattern of LIKE that finds s anywhere. */
static struct slice
pattern(struct slice s, char out[2 * MAX_PATTERN + 2])
{
    size_t n = 0;

    if (s.ptr == NULL)
        return s;
    out[n++] = '%';
    for (size_t i = 0; i < s.len && i < MAX_PATTERN; i++) {
        if (strchr("%_\\", s.ptr[i]) != NULL && s.ptr[i] != '\0')
            out[n++] = '\\';
        out[n++] = s.ptr[i];
    }
    out[n++] = '%';
    return (struct slice){out, n};
}

void
records_submit(struct records *r, const struct records_new *n,
               records_submit_fn *fn, void *arg)
{
    const struct op_value v[] = {
        op_text(n->id),    op_text(n->name),  op_text(n->description),
        op_text(n->task),  op_text(n->args),  op_text(n->kwargs),
        op_text(n->queue), op_text(n->model), op_text(n->message),
        op_int(n->due_us),
    };

    records_ask(r, PG_SUBMIT, v, (union op_fn){.submitted = fn}, arg);
}

void
records_get(struct records *r, struct records_key key, records_rows_fn *fn,
            void *arg)
{
    const struct op_value v[] = {op_text(key.id), op_seq(key)};

    records_ask(r, PG_GET, v, (union op_fn){.rows = fn}, arg);
}

void
records_ended(struct records *r, struct slice id, records_rows_fn *fn,
              void *arg)
{
    const struct op_value v[] = {op_text(id),
                                 op_seq((struct records_key){id, 0})};

    records_ask(r, PG_ENDED, v, (union op_fn){.rows = fn}, arg);
}

void
records_list(struct records *r, const struct records_filter *f,
             records_rows_fn *fn, void *arg)
{
    char like[2 * MAX_PATTERN + 2];
    const struct op_value v[] = {
        op_text(f->status),
        op_text(f->task),
        op_text(f->queue),
        op_text(f->model),
        op_text(pattern(f->search, like)),
        op_int(f->skip < 0 ? 0 : f->skip),
        op_int(f->limit < 0          ? 0
               : f->limit > MAX_PAGE ? MAX_PAGE
                                     : f->limit),
    };

    records_ask(r, f->oldest_first ? PG_LIST_OLDEST : PG_LIST_NEWEST, v,
                (union op_fn){.rows = fn}, arg);
}

void
records_update(struct records *r, struct records_key key,
               const struct records_change *c, records_rows_fn *fn, void *arg)
{
    bool deep = c->task.ptr != NULL || c->args.ptr != NULL ||
                c->kwargs.ptr != NULL || c->queue.ptr != NULL ||
                c->message.ptr != NULL;
    const struct op_value v[] = {
        op_text(key.id),     op_seq(key),
        op_text(c->name),    op_text(c->description),
        op_text(c->task),    op_text(c->args),
        op_text(c->kwargs),  op_text(c->queue),
        op_text(c->message), op_int(deep),
        op_int(c->due_us),
    };

    records_ask(r, PG_UPDATE, v, (union op_fn){.rows = fn}, arg);
}

void
records_delete(struct records *r, struct records_key key, records_rows_fn *fn,
               void *arg)
{
    const struct op_value v[] = {op_text(key.id), op_seq(key)};

    records_ask(r, PG_DELETE, v, (union op_fn){.rows = fn}, arg);
}

void
records_revoke(struct records *r, struct slice id, records_fn *fn, void *arg)
{
    const struct op_value v[] = {op_text(id)};

    records_ask(r, PG_REVOKE, v, (union op_fn){.done = fn}, arg);
}

void
records_open_ids(struct records *r, size_t n, uint32_t age_ms,
                 records_lost_fn *fn, void *arg)
{
    const struct op_value v[] = {op_int((int64_t)n), op_int(age_ms),
                                 op_int(records_cursor(r))};

    records_ask(r, PG_OPEN_IDS, v, (union op_fn){.ids = fn}, arg);
}
