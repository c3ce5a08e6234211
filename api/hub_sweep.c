/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks that were run by workers without our records, Python's above all: the
 * result backend knows how they ended, and the records learn it from there. */
#include "api/hub_loop.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

enum {
    SWEEP_IDS = 200,
    SWEEP_AGE_MS = 5000,
    RESULT_MAX = 16 << 20,
    ERROR_MAX = 64 << 10
};

struct look_up {
    struct hub *hub;
    hub_noted_fn *fn;
    void *arg;
    char id[160];
};

static void
end(struct look_up *l, bool news)
{
    l->fn(l->arg, news);
    free(l);
}

static void
written(void *arg, enum status st)
{
    end(arg, st == ST_OK);
}

/* A failure's result is its exception: told as one line, as the worker does. */
static void
note(struct look_up *l, const struct task_state *ts)
{
    struct records_outcome o = {.id = {l->id, strlen(l->id)},
                                .status = ts->status,
                                .traceback = ts->traceback,
                                .worker = ts->worker,
                                .retries = ts->retries,
                                .prompt_tokens = -1,
                                .completion_tokens = -1,
                                .total_tokens = -1};
    bool good =
        ts->status.len == 7 && memcmp(ts->status.ptr, "SUCCESS", 7) == 0;
    struct buf result, error;

    buf_init(&result, RESULT_MAX);
    buf_init(&error, ERROR_MAX);
    if (!good)
        state_exception_repr(ts->result, &error);
    else if (ts->result_text.ptr != NULL)
        buf_add(&result, ts->result_text);
    else
        json_add(&result, ts->result);
    if (result.failed || error.failed)
        log_warning("result not recorded", "id=%s", l->id);
    if (result.len > 0 && !result.failed)
        o.result = (struct slice){result.data, result.len};
    if (error.len > 0 && !error.failed)
        o.error = (struct slice){error.data, error.len};
    records_note(l->hub->records, &o, written, l);
    buf_fini(&result);
    buf_fini(&error);
}

static void
asked(void *arg, enum status st, const struct task_state *ts)
{
    struct look_up *l = arg;

    if (st == ST_OK && ts != NULL && state_is_ready(ts->status))
        note(l, ts);
    else
        end(l, false);
}

void
hub_look_up(struct hub *h, struct slice id, hub_noted_fn *fn, void *arg)
{
    struct look_up *l = calloc(1, sizeof(*l));

    if (l == NULL || id.len >= sizeof(l->id) || h->result == NULL ||
        !h->result->ops->up(h->result)) {
        free(l);
        fn(arg, false);
        return;
    }
    *l = (struct look_up){.hub = h, .fn = fn, .arg = arg};
    memcpy(l->id, id.ptr, id.len);
    h->result->ops->get(h->result, id, asked, l);
}

static void
swept(void *arg, bool news)
{
    struct hub *h = arg;

    (void)news;
    h->lookups--;
}

static void
open_ids(void *arg, enum status st, const struct slice *ids, size_t n)
{
    struct hub *h = arg;

    if (st == ST_OK)
        h->lookups += n;
    for (size_t i = 0; st == ST_OK && i < n; i++)
        hub_look_up(h, ids[i], swept, h);
}

static void
counted(void *arg, enum status st, int64_t n)
{
    struct hub *h = arg;

    if (st != ST_OK)
        return;
    h->outbox_depth = n;
    h->submitted = 0;
}

void
hub_sweep(struct hub *h)
{
    if (!records_up(h->records))
        return;
    outbox_depth(h->records, counted, h);
    if (h->result != NULL && h->lookups == 0 && h->result->ops->up(h->result))
        records_open_ids(h->records, SWEEP_IDS, SWEEP_AGE_MS, open_ids, h);
}
