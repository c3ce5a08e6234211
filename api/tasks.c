/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/tasks: submit, list, read, change and remove tasks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/check.h"
#include "api/handlers.h"
#include "api/rows.h"
#include "api/submission.h"
#include "base/clock.h"
#include "base/log.h"
#include "protocol/task.h"

enum {
    NAME_CHARS = 200,
    DESCRIPTION_CHARS = 10000,
    QUEUE_CHARS = 200,
    PRIORITY_MAX = 9,
    LIMIT_DEFAULT = 20,
    LIMIT_MAX = 100,
    DIGITS_MAX = 18 /* of an integer id: fewer than fit in a bigint */
};

static const double delay_max_s = 10.0 * 366 * 86400;

static const char *const statuses[] = {"PENDING", "STARTED",  "RETRY",
                                       "SUCCESS", "FAILURE",  "REVOKED",
                                       "IGNORED", "REJECTED", NULL};

static struct loc
in_body(const char *field)
{
    return (struct loc){"body", field, -1, NULL};
}

/* ---- answers ---- */

static void
answer_row(struct exchange *x, int status, const struct records_row *row)
{
    x->rs.status = status;
    rows_add(&x->rs.body, row);
}

/* The row that a call has given, or why it has none. */
static void
answer_rows(struct exchange *x, enum status st, struct hub_rows *rows)
{
    if (st != ST_OK || rows->count == 0)
        submission_refused(&x->rs, st != ST_OK ? st : ST_NOTFOUND);
    else
        answer_row(x, 200, &rows->rows[0]);
    free(rows);
}

/* ---- the path's id ---- */

static bool
is_uuid(const char *s)
{
    for (int i = 0; i < ID_LEN; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        bool hex = (s[i] >= '0' && s[i] <= '9') ||
                   (s[i] >= 'a' && s[i] <= 'f') || (s[i] >= 'A' && s[i] <= 'F');

        if (dash ? s[i] != '-' : !hex)
            return false;
    }
    return s[ID_LEN] == '\0';
}

/* The task that the path names: digits are the integer id, all else is a Celery
 * id.  A UUID is made lower case, as Celery writes it. */
static struct records_key
path_key(struct exchange *x)
{
    struct records_key key = {{NULL, 0}, 0};
    size_t n = strlen(x->id);

    if (strspn(x->id, "0123456789") == n) {
        if (n <= DIGITS_MAX && x->id[0] != '0')
            key.seq = strtoll(x->id, NULL, 10);
        return key; /* 0: there is none */
    }
    if (is_uuid(x->id))
        for (char *c = x->id; *c != '\0'; c++)
            if (*c >= 'A' && *c <= 'F')
                *c = (char)(*c | 0x20);
    key.id = (struct slice){x->id, n};
    return key;
}

/* ---- the body ---- */

/* What runs: task, args, kwargs, queue. */
static void
read_call(struct exchange *x, struct problems *p, bool create,
          struct submission *s)
{
    struct json_object *v;

    if (check_member(p, x->body, "task", create, &v))
        check_name(p, in_body("task"), v, TASK_NAME_MAX, &s->task);
    if (check_member(p, x->body, "args", false, &v) &&
        check_list(p, in_body("args"), v, 0, SIZE_MAX))
        s->args = v;
    if (check_member(p, x->body, "kwargs", false, &v) &&
        check_dict(p, in_body("kwargs"), v))
        s->kwargs = v;
    if (check_member(p, x->body, "queue", false, &v))
        check_name(p, in_body("queue"), v, QUEUE_CHARS, &s->queue);
}

/* expires: seconds from now, as Celery's apply_async takes them, or a time. */
static void
read_expires(struct exchange *x, struct problems *p, struct submission *s)
{
    struct json_object *v;
    double seconds;

    if (!check_member(p, x->body, "expires", false, &v))
        return;
    if (json_str(v).ptr != NULL) {
        s->has_expires = check_time(p, in_body("expires"), v, &s->expires_us);
    } else if (check_number(p, in_body("expires"), v, 0, delay_max_s,
                            &seconds)) {
        s->has_expires = true;
        s->expires_us = clock_unix_us() + (int64_t)(seconds * 1e6);
    }
}

/* When and how: countdown, eta, expires, priority. */
static void
read_options(struct exchange *x, struct problems *p, struct submission *s)
{
    struct json_object *v;
    double seconds;
    int64_t n;

    if (check_member(p, x->body, "countdown", false, &v) &&
        check_number(p, in_body("countdown"), v, 0, delay_max_s, &seconds)) {
        s->has_eta = seconds > 0;
        s->eta_us = clock_unix_us() + (int64_t)(seconds * 1e6);
    }
    if (check_member(p, x->body, "eta", false, &v)) {
        if (s->has_eta)
            problem_value(p, in_body("eta"),
                          "eta and countdown exclude each other", v);
        else
            s->has_eta = check_time(p, in_body("eta"), v, &s->eta_us);
    }
    read_expires(x, p, s);
    if (check_member(p, x->body, "priority", false, &v) &&
        check_int(p, in_body("priority"), v, 0, PRIORITY_MAX, &n))
        s->priority = (int)n;
}

static void
read_words(struct exchange *x, struct problems *p, bool create,
           struct submission *s)
{
    struct json_object *v;

    if (check_member(p, x->body, "name", create, &v))
        check_string(p, in_body("name"), v, 1, NAME_CHARS, &s->name);
    if (check_member(p, x->body, "description", false, &v))
        check_string(p, in_body("description"), v, 0, DESCRIPTION_CHARS,
                     &s->description);
}

/* ---- create ---- */

void
tasks_create(struct exchange *x)
{
    struct submission s = SUBMISSION_INIT;
    struct problems p = {NULL, 0};
    char id[ID_LEN + 1], location[80];
    enum status st;

    read_words(x, &p, true, &s);
    read_call(x, &p, true, &s);
    read_options(x, &p, &s);
    if (problems_answer(&p, &x->rs))
        return;
    st = submission_commit(x->api, &s, id, &x->rs.body);
    if (st != ST_OK) {
        submission_refused(&x->rs, st);
        return;
    }
    x->rs.status = 201;
    snprintf(location, sizeof(location), "/api/v1/tasks/%s", id);
    response_header(&x->rs, "Location", location);
}

/* ---- list and read ---- */

static void
filter_word(struct exchange *x, const char *name, struct problems *p,
            struct slice *out)
{
    struct slice s = query_get(&x->query, name, p);

    if (s.len > 0)
        *out = s;
}

static void
filter_status(struct exchange *x, struct problems *p, struct slice *out)
{
    struct slice s = query_get(&x->query, "status", p);
    struct json_object *v;

    if (s.ptr == NULL)
        return;
    v = json_new_str(s);
    /* check_word's slice would die with v. */
    if (check_word(p, (struct loc){"query", "status", -1, NULL}, v, statuses,
                   out))
        *out = s;
    json_object_put(v);
}

static void
answer_list(struct exchange *x, const struct hub_rows *rows,
            const struct records_filter *f)
{
    struct buf *b = &x->rs.body;

    buf_addf(b, "{\"items\":[");
    for (size_t i = 0; i < rows->count; i++) {
        if (i > 0)
            buf_add(b, (struct slice){",", 1});
        rows_add(b, &rows->rows[i]);
    }
    buf_addf(b, "],\"total\":%lld,\"limit\":%lld,\"skip\":%lld}",
             (long long)rows->total, (long long)f->limit, (long long)f->skip);
}

void
tasks_list(struct exchange *x)
{
    struct records_filter f = {.limit = LIMIT_DEFAULT};
    struct problems p = {NULL, 0};
    struct hub_rows *rows = NULL;
    enum status st;

    filter_status(x, &p, &f.status);
    filter_word(x, "task", &p, &f.task);
    filter_word(x, "queue", &p, &f.queue);
    filter_word(x, "model", &p, &f.model);
    filter_word(x, "q", &p, &f.search);
    f.limit = query_int(&x->query, "limit", 1, LIMIT_MAX, LIMIT_DEFAULT, &p);
    f.skip = query_int(&x->query, "skip", 0, INT64_MAX - 1, 0, &p);
    if (problems_answer(&p, &x->rs))
        return;
    st = hub_list(x->api->hub, &f, &rows);
    if (st != ST_OK)
        submission_refused(&x->rs, st);
    else
        answer_list(x, rows, &f);
    free(rows);
}

void
tasks_get(struct exchange *x)
{
    struct hub_rows *rows = NULL;
    enum status st = hub_get(x->api->hub, path_key(x), &rows);

    answer_rows(x, st, rows);
}

/* ---- change ---- */

static bool
same(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* A status is what happens to a task, not what a client says: only the one that
 * it has is taken.  False: answered. */
static bool
check_status(struct exchange *x, struct slice status,
             const struct records_row *row)
{
    if (status.ptr == NULL || same(status, row->status))
        return true;
    response_error(&x->rs, 409,
                   "The status follows the task; DELETE revokes it");
    return false;
}

/* args and kwargs that stay are those of the row; ST_DENIED: it has only words
 * that they were too large to be recorded. */
static enum status
complete(struct submission *s, const struct records_row *row,
         struct json_object **args, struct json_object **kwargs)
{
    enum status st = ST_OK;

    if (s->task.ptr == NULL)
        s->task = row->task;
    if (s->queue.ptr == NULL)
        s->queue = row->queue;
    if (s->args == NULL && row->args.len > 0) {
        st = json_parse(row->args, JSON_DEPTH, args, NULL);
        s->args = *args;
    }
    if (st == ST_OK && s->kwargs == NULL && row->kwargs.len > 0) {
        st = json_parse(row->kwargs, JSON_DEPTH, kwargs, NULL);
        s->kwargs = *kwargs;
    }
    if (st == ST_OK && (json_str(s->args).ptr || json_str(s->kwargs).ptr))
        st = ST_DENIED;
    return st;
}

/* The text of a column that changes; ptr NULL: it does not. */
static struct slice
changed_json(struct json_object *v, struct buf *b)
{
    if (v == NULL)
        return (struct slice){NULL, 0};
    json_add(b, v);
    return (struct slice){b->data, b->len};
}

/* Writes the message anew, because what runs has changed. */
static void
change_call(struct exchange *x, struct submission *s,
            const struct records_row *row, struct hub_rows **out)
{
    struct records_change c = {.name = s->name,
                               .description = s->description,
                               .task = s->task,
                               .queue = s->queue};
    struct json_object *old_args = NULL, *old_kwargs = NULL;
    struct task_route route = TASK_ROUTE_INIT;
    struct buf args, kwargs;
    struct message *m = NULL;
    enum status st;

    buf_init(&args, 32 << 20);
    buf_init(&kwargs, 32 << 20);
    if (s->has_eta)
        c.due_us = submission_is_far(s) ? s->eta_us : clock_unix_us();
    c.args = changed_json(s->args, &args);
    c.kwargs = changed_json(s->kwargs, &kwargs);
    st = complete(s, row, &old_args, &old_kwargs);
    if (st == ST_OK)
        st = submission_route(x->api, s, &route);
    if (st == ST_OK)
        st = submission_encode(x->api, s, &route, row->id, &m);
    if (st == ST_OK) {
        c.message = (struct slice){m->envelope, m->envelope_len};
        st = hub_update(x->api->hub, (struct records_key){row->id, 0}, &c, out);
    }
    answer_rows(x, st, *out);
    *out = NULL;
    message_free(m);
    buf_fini(&args);
    buf_fini(&kwargs);
    json_object_put(old_args);
    json_object_put(old_kwargs);
}

static void
change_words(struct exchange *x, const struct submission *s,
             struct records_key key, struct hub_rows **out)
{
    struct records_change c = {.name = s->name, .description = s->description};
    enum status st = hub_update(x->api->hub, key, &c, out);

    answer_rows(x, st, *out);
    *out = NULL;
}

static void
update(struct exchange *x, struct submission *s, struct slice status)
{
    struct records_key key = path_key(x);
    struct hub_rows *old = NULL, *rows = NULL;
    enum status st = hub_get(x->api->hub, key, &old);

    if (st != ST_OK || old->count == 0)
        submission_refused(&x->rs, st != ST_OK ? st : ST_NOTFOUND);
    else if (!check_status(x, status, &old->rows[0]))
        ;
    else if (s->task.ptr != NULL || s->queue.ptr != NULL || s->args != NULL ||
             s->kwargs != NULL || s->has_eta || s->has_expires ||
             s->priority >= 0)
        change_call(x, s, &old->rows[0], &rows);
    else if (s->name.ptr != NULL || s->description.ptr != NULL)
        change_words(x, s, key, &rows);
    else
        answer_row(x, 200, &old->rows[0]);
    free(old);
}

/* A member that is there may not be null: PUT does not remove anything. */
static void
refuse_nulls(struct exchange *x, struct problems *p)
{
    static const char *const fields[] = {"name",   "task",  "args",
                                         "kwargs", "queue", "status"};

    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        struct json_object *v = NULL;

        if (json_object_object_get_ex(x->body, fields[i], &v) && v == NULL)
            problem_value(p, in_body(fields[i]), "null is not allowed", NULL);
    }
}

void
tasks_update(struct exchange *x)
{
    struct submission s = SUBMISSION_INIT;
    struct problems p = {NULL, 0};
    struct slice status = {NULL, 0};
    struct json_object *v;

    refuse_nulls(x, &p);
    read_words(x, &p, false, &s);
    read_call(x, &p, false, &s);
    read_options(x, &p, &s);
    if (check_member(&p, x->body, "status", false, &v))
        check_word(&p, in_body("status"), v, statuses, &status);
    if (!problems_answer(&p, &x->rs))
        update(x, &s, status);
}

/* ---- remove ---- */

/* Answers with the row as it was. ?terminate=true also ends a task that runs,
 * as Celery's revoke(terminate=True) does. */
void
tasks_delete(struct exchange *x)
{
    struct problems p = {NULL, 0};
    struct hub_rows *rows = NULL;
    bool terminate = query_bool(&x->query, "terminate", false, &p);
    enum status st;

    if (problems_answer(&p, &x->rs))
        return;
    st = hub_delete(x->api->hub, path_key(x), &rows);
    /* Removed and never run again in any case; the workers are told so that
     * they drop what they hold. */
    if (st == ST_OK && rows->count == 1 &&
        !state_is_ready(rows->rows[0].status) &&
        hub_revoke(x->api->hub, rows->rows[0].id, terminate) != ST_OK)
        log_warning("workers not told of a revoked task", "id=%s", x->id);
    answer_rows(x, st, rows);
}
