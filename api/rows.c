/* SPDX-License-Identifier: Apache-2.0 */
/* A task as our JSON shows it. */
#include "api/rows.h"

#include <inttypes.h>
#include <string.h>

#include "base/json.h"
#include "protocol/iso8601.h"

static void
add_key(struct buf *out, const char *key)
{
    buf_add(out, (struct slice){",\"", 2});
    buf_add(out, (struct slice){key, strlen(key)});
    buf_add(out, (struct slice){"\":", 2});
}

static void
add_null(struct buf *out)
{
    buf_add(out, (struct slice){"null", 4});
}

static void
add_string(struct buf *out, const char *key, struct slice s)
{
    add_key(out, key);
    if (s.ptr == NULL)
        add_null(out);
    else
        json_add_string(out, s);
}

/* A column that holds JSON text. */
static void
add_raw(struct buf *out, const char *key, struct slice s)
{
    add_key(out, key);
    if (s.len == 0)
        add_null(out);
    else
        buf_add(out, s);
}

static void
add_int(struct buf *out, const char *key, int64_t n)
{
    add_key(out, key);
    buf_addf(out, "%" PRId64, n);
}

static void
add_time(struct buf *out, const char *key, int64_t unix_us)
{
    char text[ISO8601_MAX];

    add_key(out, key);
    if (unix_us == 0)
        add_null(out);
    else
        buf_addf(out, "\"%s\"", iso8601_format(unix_us, text));
}

static void
add_usage(struct buf *out, const struct records_row *row)
{
    add_key(out, "usage");
    if (row->total_tokens < 0)
        add_null(out);
    else
        buf_addf(out,
                 "{\"prompt_tokens\":%" PRId64 ",\"completion_tokens\":%" PRId64
                 ",\"total_tokens\":%" PRId64 "}",
                 row->prompt_tokens, row->completion_tokens, row->total_tokens);
}

void
rows_add(struct buf *out, const struct records_row *row)
{
    if (row->seq > 0)
        buf_addf(out, "{\"id\":%" PRId64, row->seq);
    else
        buf_addf(out, "{\"id\":null");
    add_string(out, "task_id", row->id);
    add_string(out, "name", row->name);
    add_string(out, "description", row->description);
    add_string(out, "task", row->task);
    add_raw(out, "args", row->args);
    add_raw(out, "kwargs", row->kwargs);
    add_string(out, "queue", row->queue);
    add_string(out, "status", row->status);
    add_raw(out, "result", row->result);
    add_string(out, "error", row->error);
    add_string(out, "traceback", row->traceback);
    add_int(out, "retries", row->retries);
    add_string(out, "worker", row->worker);
    add_string(out, "model", row->model);
    add_usage(out, row);
    add_time(out, "created_at", row->created_us);
    add_time(out, "updated_at", row->updated_us);
    add_time(out, "started_at", row->started_us);
    add_time(out, "finished_at", row->finished_us);
    buf_add(out, (struct slice){"}", 1});
}
