/* SPDX-License-Identifier: Apache-2.0 */
/* Calls and batches: from arguments to PostgreSQL's binary parameters. */
#include "store/pg/op.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/pg/storable.h"

enum {
    MAX_ID = 155,               /* Celery's own limit */
    MAX_SHORT = 512,            /* what stands in an index */
    MAX_TEXT = 1024 * 1024,     /* an error, a traceback, a description */
    MAX_JSON = 8 * 1024 * 1024, /* arguments, a result */
    MAX_MESSAGE = 64 * 1024 * 1024,
    ARRAY_HEADER = 20
};

/* For arguments and results that are too large to record.  What the task
 * itself gets or gives is in the message and the result backend. */
static const char too_large[] = "\"(too large to be recorded)\"";

/* ---- copying ---- */

/* Lower case: the array letters and those of single values mean the same. */
static char
letter(const struct statement *s, size_t i)
{
    char c = s->params[i];

    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool
is_number(char c)
{
    return c == 'i' || c == 'n' || c == 'b';
}

/* The length of the value as it is stored, written to out unless NULL. */
static size_t
store(char c, struct slice s, char *out)
{
    switch (c) {
    case 's':
        return storable_text(s, MAX_SHORT, out);
    case 't':
        return storable_text(s, MAX_TEXT, out);
    case 'j':
        if (s.len <= MAX_JSON)
            return storable_json(s, out);
        s = (struct slice){too_large, sizeof(too_large) - 1};
        break;
    default:
        break;
    }
    if (out != NULL)
        memcpy(out, s.ptr, s.len);
    return s.len;
}

/* Can the value be stored at all? */
static enum status
check(char c, struct op_value v)
{
    struct slice s = {v.ptr, (size_t)v.n};

    if (c == 'k' && (v.ptr == NULL || s.len == 0 || s.len > MAX_ID))
        return ST_INVALID;
    if (v.ptr == NULL)
        return ST_OK;
    if (c != 'j' && s.len > MAX_MESSAGE)
        return c == 't' ? ST_OK : ST_TOOBIG;
    if ((c == 'k' || c == 'm' || (c == 'j' && s.len <= MAX_JSON)) &&
        !storable(s))
        return ST_INVALID;
    return ST_OK;
}

static enum status
measure(const struct statement *s, const struct op_value *v, size_t *bytes)
{
    *bytes = 0;
    for (size_t i = 0; s->params[i] != '\0'; i++) {
        char c = letter(s, i);
        enum status st;

        if (is_number(c))
            continue;
        st = check(c, v[i]);
        if (st != ST_OK)
            return st;
        if (v[i].ptr != NULL)
            *bytes += store(c, (struct slice){v[i].ptr, (size_t)v[i].n}, NULL);
    }
    return ST_OK;
}

static void
copy(struct op *op, const struct statement *s, const struct op_value *v)
{
    size_t n = strlen(s->params);
    char *to = (char *)&op->v[n];

    for (size_t i = 0; i < n; i++) {
        op->v[i] = v[i];
        if (is_number(letter(s, i)) || v[i].ptr == NULL)
            continue;
        op->v[i].ptr = to;
        op->v[i].n = (int64_t)store(
            letter(s, i), (struct slice){v[i].ptr, (size_t)v[i].n}, to);
        to += op->v[i].n;
    }
}

struct op *
op_new(enum pg_kind kind, const struct op_value *v)
{
    const struct statement *s = statement_get(kind);
    size_t bytes = 0, head = sizeof(struct op);
    enum status refused = measure(s, v, &bytes);
    struct op *op;

    if (refused != ST_OK)
        bytes = 0;
    head += strlen(s->params) * sizeof(*v);
    op = malloc(head + bytes);
    if (op == NULL) { /* enough to say so later */
        refused = ST_NOMEM;
        op = malloc(sizeof(*op));
        if (op == NULL)
            return NULL;
    }
    *op = (struct op){.kind = kind, .refused = refused, .bytes = head + bytes};
    list_init(&op->node);
    list_init(&op->timed);
    if (refused == ST_OK)
        copy(op, s, v);
    return op;
}

struct op *
op_ask(enum pg_kind kind, const struct op_value *v, union op_fn fn, void *arg,
       uint64_t no)
{
    struct op *op = op_new(kind, v);

    if (op == NULL) {
        log_critical("out of memory", NULL);
        abort();
    }
    op->fn = fn;
    op->arg = arg;
    op->no = no;
    return op;
}

void
op_free(struct op *op)
{
    list_del(&op->node);
    list_del(&op->timed);
    free(op);
}

void
op_fail(struct op *op, enum status st)
{
    if (op->fn.done == NULL)
        return;
    switch (op->kind) {
    case PG_SUBMIT:
    case PG_SUBMIT_AGAIN:
        op->fn.submitted(op->arg, st, NULL);
        break;
    case PG_GET:
    case PG_ENDED:
    case PG_LIST_NEWEST:
    case PG_LIST_OLDEST:
    case PG_UPDATE:
    case PG_DELETE:
        op->fn.rows(op->arg, st, NULL, 0, 0);
        break;
    case PG_TAKE:
        op->fn.taken(op->arg, st, NULL, 0);
        break;
    case PG_DEPTH:
        op->fn.depth(op->arg, st, 0);
        break;
    case PG_CLAIM:
        op->fn.claimed(op->arg, st, CLAIM_ELSEWHERE, 0);
        break;
    case PG_BURY:
    case PG_OPEN_IDS:
        op->fn.ids(op->arg, st, NULL, 0);
        break;
    default:
        op->fn.done(op->arg, st);
    }
}

/* ---- binary parameters: PostgreSQL's network byte order ---- */

static char *
put32(char *p, uint32_t n)
{
    for (int i = 3; i >= 0; i--, n >>= 8)
        p[i] = (char)(n & 0xff);
    return p + 4;
}

static char *
put64(char *p, uint64_t n)
{
    return put32(put32(p, (uint32_t)(n >> 32)), (uint32_t)n);
}

static uint32_t
type_oid(char c)
{
    switch (c) {
    case 'b':
        return 16;
    case 'y':
        return 17;
    case 'i':
    case 'n':
        return 20;
    case 'j':
        return 114;
    default:
        return 25; /* text */
    }
}

static bool
is_null(char c, struct op_value v)
{
    return is_number(c) ? c == 'n' && v.n == -1 : v.ptr == NULL;
}

static size_t
value_size(char c, struct op_value v)
{
    if (is_null(c, v))
        return 0;
    return c == 'b' ? 1 : is_number(c) ? 8 : (size_t)v.n;
}

static char *
put_value(char *p, char c, struct op_value v)
{
    if (c == 'b') {
        *p = v.n != 0;
        return p + 1;
    }
    if (is_number(c))
        return put64(p, (uint64_t)v.n);
    memcpy(p, v.ptr, (size_t)v.n);
    return p + v.n;
}

static size_t
array_size(const struct batch *b, char c, size_t i)
{
    size_t size = ARRAY_HEADER;

    for (size_t k = 0; k < b->n; k++)
        size += 4 + value_size(c, b->ops[k]->v[i]);
    return size;
}

static char *
put_array(char *p, const struct batch *b, char c, size_t i)
{
    p = put32(p, 1); /* dimension */
    p = put32(p, 1); /* there may be nulls */
    p = put32(p, type_oid(c));
    p = put32(p, (uint32_t)b->n);
    p = put32(p, 1); /* the first index */
    for (size_t k = 0; k < b->n; k++) {
        struct op_value v = b->ops[k]->v[i];

        if (is_null(c, v)) {
            p = put32(p, UINT32_MAX);
            continue;
        }
        p = put32(p, (uint32_t)value_size(c, v));
        p = put_value(p, c, v);
    }
    return p;
}

enum status
batch_encode(struct batch *b, char **memory)
{
    const struct statement *s = statement_get(b->call.kind);
    size_t n = strlen(s->params), sizes[SESSION_PARAMS], total = 0;
    char *p;

    for (size_t i = 0; i < n; i++) {
        char c = letter(s, i);

        sizes[i] = c == s->params[i] ? array_size(b, c, i)
                                     : value_size(c, b->ops[0]->v[i]);
        if (sizes[i] > INT_MAX)
            return ST_TOOBIG;
        total += sizes[i];
    }
    *memory = p = malloc(total + 1);
    if (p == NULL)
        return ST_NOMEM;
    for (size_t i = 0; i < n; i++) {
        char c = letter(s, i);
        struct op_value v = b->ops[0]->v[i];

        b->call.values[i] = p;
        b->call.lengths[i] = (int)sizes[i];
        if (c == s->params[i])
            p = put_array(p, b, c, i);
        else if (is_null(c, v))
            b->call.values[i] = NULL;
        else
            p = put_value(p, c, v);
    }
    return ST_OK;
}

/* ---- batches ---- */

static struct slice
op_id(const struct op *op)
{
    return (struct slice){op->v[0].ptr, (size_t)op->v[0].n};
}

static int
compare_ids(struct slice a, struct slice b)
{
    int c = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);

    return c != 0 ? c : (a.len > b.len) - (a.len < b.len);
}

int
op_compare_ids(const void *a, const void *b)
{
    const struct op *const *x = a, *const *y = b;
    int c = compare_ids(op_id(*x), op_id(*y));

    return c != 0 ? c : ((*x)->no > (*y)->no) - ((*x)->no < (*y)->no);
}

struct batch *
batch_new(struct op *const *ops, size_t n)
{
    struct batch *b = calloc(1, sizeof(*b) + n * sizeof(*b->ops));

    if (b == NULL)
        return NULL;
    b->call.kind = ops[0]->kind;
    b->n = n;
    memcpy(b->ops, ops, n * sizeof(*b->ops));
    return b;
}

void
batch_free(struct batch *b)
{
    free(b);
}

struct op *
batch_find(const struct batch *b, struct slice id)
{
    size_t lo = 0, hi = b->n;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        int c = compare_ids(id, op_id(b->ops[mid]));

        if (c == 0)
            return b->ops[mid];
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}
