/* SPDX-License-Identifier: Apache-2.0 */
/* The SQL over Celery's own tables (celery-wire.md 5.4).
 *
 * In these texts {task} and {group} are the tables, {task.seq} and {group.seq}
 * the sequences of their ids, each quoted and with its schema; the same with a
 * "!" are string constants with that text, and {task.index} and {group.index}
 * names of indexes.  Fields with a ":" are shares of the column "children",
 * empty for tables without it.  An id is only taken from a sequence for a row
 * that is new: it is an integer, and a task may be put many times. */
#include "store/pg/result_sql.h"

#include <stdlib.h>

#include "base/json.h"

enum { SQL_MAX = 16 * 1024, NAME_LEN = 63 };

#define NOW_UTC "(now() AT TIME ZONE 'UTC')"

/* As SQLAlchemy makes them for Celery 5.7: older ones mind no column that they
 * do not know, and newer ones fail without it.  Whoever else is doing the same
 * has its way: then the name is taken when we come to it. */
#define IF_MISSING(name, create)                              \
    "IF to_regclass({" name "!}) IS NULL THEN BEGIN " create  \
    " EXCEPTION WHEN duplicate_table OR unique_violation OR " \
    "duplicate_object THEN NULL; END; END IF; "
#define CREATE                                                                \
    "DO $do$ BEGIN " IF_MISSING("task.seq", "CREATE SEQUENCE {task.seq};")    \
        IF_MISSING("task",                                                    \
                   "CREATE TABLE {task} (id INTEGER NOT NULL, task_id "       \
                   "VARCHAR(155), status VARCHAR(50), result BYTEA, "         \
                   "date_done TIMESTAMP WITHOUT TIME ZONE, traceback TEXT, "  \
                   "children BYTEA, "                                         \
                   "name VARCHAR(155), args BYTEA, kwargs BYTEA, worker "     \
                   "VARCHAR(155), retries INTEGER, queue VARCHAR(155), "      \
                   "stamps BYTEA, "                                           \
                   "PRIMARY KEY (id), UNIQUE (task_id)); "                    \
                   "CREATE INDEX {task.index} ON {task} (date_done);")        \
            IF_MISSING("group.seq", "CREATE SEQUENCE {group.seq};")           \
                IF_MISSING("group",                                           \
                           "CREATE TABLE {group} (id INTEGER NOT NULL, "      \
                           "taskset_id "                                      \
                           "VARCHAR(155), result BYTEA, date_done TIMESTAMP " \
                           "WITHOUT TIME "                                    \
                           "ZONE, PRIMARY KEY (id), UNIQUE (taskset_id)); "   \
                           "CREATE INDEX {group.index} ON {group} "           \
                           "(date_done);") "END $do$"

#define DONE                                                          \
    "CASE WHEN o.done IS NOT NULL THEN timestamp 'epoch' + o.done * " \
    "interval '1 microsecond' END"
#define PUT(more_params, more_names, more_new, more_set, more_excluded)      \
    "WITH o AS MATERIALIZED (SELECT * FROM unnest($1::text[], $2::text[], "  \
    "$3::bytea[], $4::text[], $5::bigint[], $6::bytea[]" more_params         \
    ") AS o(id, status, result, traceback, done, children" more_names ")), " \
    "u AS (UPDATE {task} t SET status = o.status, result = o.result, "       \
    "date_done = " DONE ", traceback = o.traceback{:set}" more_set           \
    " FROM o WHERE t.task_id = o.id AND t.status IS DISTINCT FROM "          \
    "'SUCCESS') "                                                            \
    "INSERT INTO {task} AS t (id, task_id, status, result, date_done, "      \
    "traceback{:name}" more_names ") SELECT nextval({task.seq!}), o.id, "    \
    "o.status, o.result, " DONE ", o.traceback{:new}" more_new               \
    " FROM o WHERE NOT EXISTS (SELECT FROM {task} x WHERE x.task_id = o.id)" \
    " ON CONFLICT (task_id) DO UPDATE SET status = excluded.status, "        \
    "result = excluded.result, date_done = excluded.date_done, "             \
    "traceback = excluded.traceback{:excluded}" more_excluded                \
    " WHERE t.status IS DISTINCT FROM 'SUCCESS'"

#define COLUMNS                                                         \
    "SELECT o.i, t.status, t.result, t.traceback, (extract(epoch FROM " \
    "t.date_done) * 1000000)::bigint, {:get}"
#define EXTENDED_COLUMNS \
    ", t.name, t.args, t.kwargs, t.worker, t.retries, t.queue"
#define FROM_IDS                                                 \
    " FROM unnest($1::text[]) WITH ORDINALITY AS o(id, i) JOIN " \
    "{task} t ON t.task_id = o.id"
#define IF_READY " AND t.status IN ('SUCCESS', 'FAILURE', 'REVOKED')"

/* A little at a time, so that no row is locked for long; two at it do not meet.
 * What it counts says whether there may be more. */
#define EXPIRED(table)                                         \
    "DELETE FROM " table " WHERE id IN (SELECT id FROM " table \
    " WHERE $1::bigint > 0 AND date_done < " NOW_UTC           \
    " - $1::bigint * interval '1 second' "                     \
    "LIMIT 10000 FOR UPDATE SKIP LOCKED) RETURNING 1"

static const struct {
    enum pg_kind kind;
    const char *plain, *extended; /* extended NULL: the same */
} templates[] = {
    {PG_RESULT_CREATE, CREATE, NULL},
    {PG_RESULT_PUT, PUT("", "", "", "", ""), NULL},
    {PG_RESULT_PUT_EXTENDED,
     PUT(", $7::text[], $8::bytea[], $9::bytea[], $10::text[], "
         "$11::bigint[], $12::text[]",
         ", name, args, kwargs, worker, retries, queue",
         ", o.name, o.args, o.kwargs, o.worker, o.retries, o.queue",
         ", name = o.name, args = o.args, kwargs = o.kwargs, worker = "
         "o.worker, retries = o.retries, queue = o.queue",
         ", name = excluded.name, args = excluded.args, kwargs = "
         "excluded.kwargs, worker = excluded.worker, retries = "
         "excluded.retries, queue = excluded.queue"),
     NULL},
    {PG_RESULT_GET, COLUMNS FROM_IDS, COLUMNS EXTENDED_COLUMNS FROM_IDS},
    {PG_RESULT_READY, COLUMNS FROM_IDS IF_READY,
     COLUMNS EXTENDED_COLUMNS FROM_IDS IF_READY},
    {PG_RESULT_FORGET, "DELETE FROM {task} WHERE task_id = ANY ($1::text[])",
     NULL},
    {PG_RESULT_CLEANUP,
     "WITH t AS (" EXPIRED("{task}") "), g AS (" EXPIRED(
         "{group}") ") SELECT count(*) FROM (SELECT FROM t UNION ALL SELECT "
                    "FROM g) AS x",
     NULL},
    {PG_GROUP_SAVE,
     "INSERT INTO {group} (id, taskset_id, result, date_done) SELECT "
     "nextval({group.seq!}), o.id, o.result, " NOW_UTC
     " FROM unnest($1::text[], $2::bytea[]) AS o(id, result) ON CONFLICT "
     "(taskset_id) DO UPDATE SET result = excluded.result, date_done = "
     "excluded.date_done",
     NULL},
    {PG_GROUP_GET,
     "SELECT o.i, g.result FROM unnest($1::text[]) WITH ORDINALITY AS "
     "o(id, i) JOIN {group} g ON g.taskset_id = o.id",
     NULL},
    {PG_GROUP_FORGET, "DELETE FROM {group} WHERE taskset_id = ANY ($1::text[])",
     NULL},
};

/* ---- names ---- */

/* "schema"."name", or "name".  A name longer than PostgreSQL's would be cut by
 * it, and then be another. */
static enum status
quote(struct slice schema, struct slice name, char *out, size_t size)
{
    struct slice parts[] = {schema, name};
    struct buf b;

    buf_init_fixed(&b, out, size);
    for (size_t i = 0; i < 2; i++) {
        if (parts[i].len == 0)
            continue;
        if (parts[i].len > NAME_LEN)
            return ST_INVALID;
        buf_addf(&b, i > 0 && schema.len > 0 ? ".\"" : "\"");
        for (size_t k = 0; k < parts[i].len; k++)
            buf_addf(&b, parts[i].ptr[k] == '"' ? "\"\"" : "%c",
                     parts[i].ptr[k]);
        buf_addf(&b, "\"");
    }
    return b.failed ? ST_INVALID : ST_OK;
}

/* What SQLAlchemy calls the index on date_done. */
static enum status
quote_index(struct slice table, char *out, size_t size)
{
    char name[NAME_LEN + 32];
    struct buf b;

    buf_init_fixed(&b, name, sizeof(name));
    buf_addf(&b, "ix_%.*s_date_done", (int)table.len, table.ptr);
    if (b.failed)
        return ST_INVALID;
    if (b.len > NAME_LEN)
        b.len = NAME_LEN;
    return quote((struct slice){NULL, 0}, (struct slice){name, b.len}, out,
                 size);
}

static enum status
name_one(struct json_object *tables, struct json_object *schemas,
         const char *kind, const char *dflt, const char *seq, char out[3][256])
{
    struct slice table = json_get_str(tables, kind);
    struct slice schema = json_get_str(schemas, kind);
    enum status st;

    if (table.len == 0)
        table = slice_of(dflt);
    st = quote(schema, table, out[0], 256);
    if (st == ST_OK)
        st = quote(schema, slice_of(seq), out[1], 256);
    return st == ST_OK ? quote_index(table, out[2], 256) : st;
}

static enum status
read_object(const char *setting, const char *text, struct json_object **out,
            struct error *err)
{
    struct error why;

    if (json_parse(slice_of(text), 4, out, &why) != ST_OK ||
        !json_object_is_type(*out, json_type_object))
        return error_set(err, ST_INVALID, "%s is no JSON object", setting);
    return ST_OK;
}

static enum status
read_names(const struct config *config, char names[6][256], struct error *err)
{
    struct json_object *tables = NULL, *schemas = NULL;
    enum status st = read_object("database_table_names",
                                 config->database_table_names, &tables, err);

    if (st == ST_OK)
        st = read_object("database_table_schemas",
                         config->database_table_schemas, &schemas, err);
    if (st == ST_OK && (name_one(tables, schemas, "task", "celery_taskmeta",
                                 "task_id_sequence", names) != ST_OK ||
                        name_one(tables, schemas, "group", "celery_tasksetmeta",
                                 "taskset_id_sequence", names + 3) != ST_OK))
        st = error_set(err, ST_INVALID,
                       "database_table_names, database_table_schemas: a name "
                       "has more than %d bytes",
                       NAME_LEN);
    json_object_put(tables);
    json_object_put(schemas);
    return st;
}

/* ---- templates ---- */

/* A name, or with literal a string constant that holds it. */
static void
add_name(struct buf *b, const char *name, bool literal)
{
    if (!literal) {
        buf_add(b, slice_of(name));
        return;
    }
    buf_addf(b, "'");
    for (; *name != '\0'; name++)
        buf_addf(b, *name == '\'' ? "''" : "%c", *name);
    buf_addf(b, "'");
}

/* What stands for the column of the children, and for its lack. */
static void
add_children(struct buf *b, struct slice field, bool childless)
{
    static const char *const shares[][3] = {
        {":name", ", children", ""},
        {":new", ", o.children", ""},
        {":set", ", children = o.children", ""},
        {":excluded", ", children = excluded.children", ""},
        {":get", "t.children", "NULL::bytea"},
    };

    for (size_t i = 0; i < sizeof(shares) / sizeof(*shares); i++)
        if (slice_is(field, shares[i][0]))
            buf_add(b, slice_of(shares[i][childless ? 2 : 1]));
}

static void
add_field(struct buf *b, struct slice field, char names[6][256], bool childless)
{
    static const char *const fields[] = {"task",  "task.seq",  "task.index",
                                         "group", "group.seq", "group.index"};
    bool literal = field.len > 0 && field.ptr[field.len - 1] == '!';

    add_children(b, field, childless);
    field.len -= literal;
    for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++)
        if (slice_is(field, fields[i]))
            add_name(b, names[i], literal);
}

static enum status
expand(const char *template, char names[6][256], bool childless, char **out)
{
    struct buf b;
    enum status st;

    buf_init(&b, SQL_MAX);
    while (*template != '\0') {
        size_t n = strcspn(template, "{");

        buf_add(&b, (struct slice){template, n});
        template += n;
        if (*template == '{') {
            n = strcspn(++template, "}");
            add_field(&b, (struct slice){template, n}, names, childless);
            template += n + 1;
        }
    }
    st = buf_take(&b, out, NULL);
    buf_fini(&b);
    return st;
}

static enum status
expand_all(struct result_sql *s, bool extended, char names[6][256])
{
    enum status st = ST_OK;

    for (size_t i = 0;
         i < sizeof(templates) / sizeof(*templates) && st == ST_OK; i++) {
        enum pg_kind kind = templates[i].kind;
        const char *text = extended && templates[i].extended != NULL
                               ? templates[i].extended
                               : templates[i].plain;

        st = expand(text, names, false, &s->text[0][kind]);
        if (st == ST_OK)
            st = expand(text, names, true, &s->text[1][kind]);
    }
    return st;
}

enum status
result_sql_init(struct result_sql *s, const struct config *config,
                struct error *err)
{
    char names[6][256];
    enum status st = read_names(config, names, err);

    *s = (struct result_sql){0};
    if (st == ST_OK && expand_all(s, config->result_extended, names) != ST_OK)
        st = error_set(err, ST_NOMEM, "result backend: no memory");
    if (st != ST_OK)
        result_sql_fini(s);
    return st;
}

void
result_sql_fini(struct result_sql *s)
{
    for (int i = 0; i < 2; i++)
        for (enum pg_kind k = 0; k < PG_KINDS; k++) {
            free(s->text[i][k]);
            s->text[i][k] = NULL;
        }
}
