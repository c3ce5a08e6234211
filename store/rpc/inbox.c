/* SPDX-License-Identifier: Apache-2.0 */
/* Our reply queue: what came and who waits for it.  An outcome may come before
 * anyone asks, so the latest ones are kept, the oldest giving way; there is no
 * other place where it could be asked for. */
#include "store/rpc/result.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "protocol/compress.h"

/* What is known of one task. */
struct entry {
    struct list node; /* in entries */
    struct list kept; /* in kept, with a document */
    struct list watches;
    struct result_rpc *r;
    struct json_object *doc; /* owned; NULL: nothing came so far */
    size_t bytes;
    struct list due; /* in due */
    bool ready, telling;
    struct slice id; /* in the memory after this struct */
};

struct result_watch {
    struct list node; /* in entry->watches */
    struct entry *e;
    result_fn *fn;
    void *arg;
};

struct question {
    struct list node; /* in asked */
    struct slice id;  /* in the memory after this struct */
    bool get;         /* or only told that all is well */
    result_fn *fn;
    void *arg;
};

/* ---- entries ---- */

static struct entry *
entry_of(struct result_rpc *r, struct slice id)
{
    struct entry *e = map_find(&r->by_id, id);
    char *memory;

    if (e != NULL)
        return e;
    e = malloc(sizeof *e + id.len + 1);
    if (e == NULL)
        return NULL;
    memory = (char *)(e + 1);
    if (id.len > 0)
        memcpy(memory, id.ptr, id.len);
    memory[id.len] = '\0';
    *e = (struct entry){.r = r, .id = {memory, id.len}};
    list_init(&e->node);
    list_init(&e->kept);
    list_init(&e->watches);
    list_init(&e->due);
    if (map_put(&r->by_id, e->id, e) != ST_OK) {
        free(e);
        return NULL;
    }
    list_add_tail(&r->entries, &e->node);
    return e;
}

static void
drop_document(struct entry *e)
{
    if (e->doc == NULL)
        return;
    json_object_put(e->doc);
    e->doc = NULL;
    e->ready = false;
    list_del(&e->kept);
    e->r->kept_count--;
    e->r->kept_bytes -= e->bytes;
}

static bool
is_due(const struct entry *e)
{
    return e->telling || !list_empty(&e->due);
}

static void
tell_later(struct entry *e)
{
    list_del(&e->due);
    list_add_tail(&e->r->due, &e->due);
    turn_ask(&e->r->turn);
}

/* Forgets it when there is nothing to remember. */
static void
tidy(struct entry *e)
{
    if (e->doc != NULL || !list_empty(&e->watches))
        return;
    list_del(&e->due);
    map_del(&e->r->by_id, e->id);
    list_del(&e->node);
    free(e);
}

static void
make_room(struct result_rpc *r)
{
    struct list passed; /* still to be told: not theirs to lose */

    list_init(&passed);
    while ((r->kept_count > KEPT_MAX || r->kept_bytes > KEPT_BYTES_MAX) &&
           !list_empty(&r->kept)) {
        struct entry *e = list_entry(r->kept.next, struct entry, kept);

        if (is_due(e)) {
            list_del(&e->kept);
            list_add_tail(&passed, &e->kept);
            continue;
        }
        drop_document(e);
        tidy(e);
    }
    while (!list_empty(&passed)) {
        struct list *last = passed.prev;

        list_del(last);
        list_add_head(&r->kept, last);
    }
}

/* ---- what comes ---- */

static enum status
decode(struct result_rpc *r, const struct message *m, struct json_object **doc,
       struct task_state *ts, struct error *err)
{
    struct slice body = {m->body, m->body_len};
    struct slice name = json_get_str(m->headers, "compression");
    struct slice type = slice_of(m->content_type);
    enum content c = CONTENT_JSON;
    enum status st = ST_OK;
    struct buf plain;

    buf_init(&plain, DOCUMENT_MAX);
    if (type.ptr != NULL)
        st = content_find(type, &c, err);
    if (st == ST_OK && !content_accepted(c, r->accept))
        st = error_set(err, ST_DENIED,
                       "content %s is not in result_accept_content",
                       content_mime(c));
    if (st == ST_OK && name.len > 0) {
        st = compress_unpack(name, body, &plain, err);
        body = (struct slice){plain.data, plain.len};
    }
    if (st == ST_OK)
        st = state_unpack(body, c, doc, ts, err);
    buf_fini(&plain);
    return st;
}

/* What comes after a final state is of an earlier delivery. */
static void
take(struct entry *e, struct json_object *doc, bool ready, size_t bytes)
{
    if (e->ready && !ready) {
        json_object_put(doc);
        return;
    }
    drop_document(e);
    e->doc = doc;
    e->bytes = bytes;
    e->ready = ready;
    list_add_tail(&e->r->kept, &e->kept);
    e->r->kept_count++;
    e->r->kept_bytes += bytes;
    if (ready && !list_empty(&e->watches))
        tell_later(e);
}

void
rpc_inbox_add(struct result_rpc *r, const struct message *m)
{
    struct json_object *doc = NULL;
    struct task_state ts;
    struct error err = {.text = ""};
    struct entry *e;

    if (decode(r, m, &doc, &ts, &err) != ST_OK) {
        log_warning("a reply does not decode", "id=%s reason=%s",
                    m->correlation_id != NULL ? m->correlation_id : "",
                    err.text);
        return;
    }
    if (ts.id.ptr == NULL)
        ts.id = slice_of(m->correlation_id);
    e = ts.id.len > 0 ? entry_of(r, ts.id) : NULL;
    if (e == NULL) {
        log_warning("a reply of no task, or no memory for it", NULL);
        json_object_put(doc);
        return;
    }
    /* What a value takes in memory is a multiple of its text. */
    take(e, doc, state_is_ready(ts.status), sizeof *e + 4 * m->body_len);
    make_room(r);
}

/* ---- who waits ---- */

static void
move_all(struct list *to, struct list *from)
{
    list_init(to);
    while (!list_empty(from))
        list_add_tail(to, list_pop(from));
}

/* Watches may come and go while it tells. */
static void
tell(struct entry *e)
{
    struct result_rpc *r = e->r;
    struct json_object *doc = json_object_get(e->doc);
    struct task_state ts;
    struct list told;

    move_all(&told, &e->watches);
    e->telling = true;
    if (state_read(doc, &ts, NULL) != ST_OK)
        ts = (struct task_state){.status = slice_of("")};
    ts.id = e->id;
    while (!r->closing && !list_empty(&told)) {
        struct result_watch *w =
            list_entry(list_pop(&told), struct result_watch, node);
        result_fn *fn = w->fn;
        void *arg = w->arg;

        free(w);
        fn(arg, ST_OK, &ts);
    }
    while (!list_empty(&told)) /* closed by one of them */
        list_add_tail(&e->watches, list_pop(&told));
    e->telling = false;
    json_object_put(doc);
}

static void
answer(struct result_rpc *r, const struct question *q)
{
    const struct entry *e = q->get ? map_find(&r->by_id, q->id) : NULL;
    struct json_object *doc = NULL;
    struct task_state ts;

    if (q->fn == NULL)
        return;
    if (e == NULL || e->doc == NULL || state_read(e->doc, &ts, NULL) != ST_OK) {
        q->fn(q->arg, ST_OK, NULL);
        return;
    }
    doc = json_object_get(e->doc);
    ts.id = q->id;
    q->fn(q->arg, ST_OK, &ts);
    json_object_put(doc);
}

void
rpc_inbox_turn(struct result_rpc *r)
{
    struct list due, asked;

    move_all(&due, &r->due);
    move_all(&asked, &r->asked);
    while (!r->closing && !list_empty(&due))
        tell(list_entry(list_pop(&due), struct entry, due));
    while (!list_empty(&asked)) {
        struct question *q =
            list_entry(list_pop(&asked), struct question, node);

        if (!r->closing)
            answer(r, q);
        free(q);
    }
    while (!list_empty(&due))
        list_del(due.next);
}

struct result_watch *
rpc_watch(struct result *base, struct slice id, result_fn *fn, void *arg)
{
    struct result_rpc *r = (struct result_rpc *)base;
    struct result_watch *w = calloc(1, sizeof *w);
    struct entry *e;

    if (w == NULL || rpc_incoming(r) == NULL)
        goto fail;
    e = entry_of(r, id);
    if (e == NULL)
        goto fail;
    *w = (struct result_watch){.e = e, .fn = fn, .arg = arg};
    list_add_tail(&e->watches, &w->node);
    if (e->ready)
        tell_later(e);
    return w;
fail:
    free(w);
    return NULL;
}

void
rpc_unwatch(struct result *base, struct result_watch *w)
{
    struct entry *e = w->e;

    (void)base;
    list_del(&w->node);
    free(w);
    if (!e->telling)
        tidy(e);
}

/* ---- who asks ---- */

static void
ask(struct result_rpc *r, struct slice id, bool get, result_fn *fn, void *arg)
{
    struct question *q = malloc(sizeof *q + id.len + 1);
    char *memory;

    if (q == NULL) { /* nobody can be told */
        log_error("no memory to ask the result backend", NULL);
        return;
    }
    memory = (char *)(q + 1);
    if (id.len > 0)
        memcpy(memory, id.ptr, id.len);
    memory[id.len] = '\0';
    *q = (struct question){
        .id = {memory, id.len}, .get = get, .fn = fn, .arg = arg};
    list_init(&q->node);
    list_add_tail(&r->asked, &q->node);
    turn_ask(&r->turn);
}

void
rpc_get(struct result *base, struct slice id, result_fn *fn, void *arg)
{
    ask((struct result_rpc *)base, id, true, fn, arg);
}

void
rpc_forget(struct result *base, struct slice id, result_fn *fn, void *arg)
{
    struct result_rpc *r = (struct result_rpc *)base;
    struct entry *e = map_find(&r->by_id, id);

    if (e != NULL && !is_due(e)) {
        drop_document(e);
        tidy(e);
    }
    ask(r, id, false, fn, arg);
}

void
rpc_inbox_free(struct result_rpc *r)
{
    list_for_each_safe (n, &r->entries) {
        struct entry *e = list_entry(n, struct entry, node);

        list_for_each_safe (m, &e->watches) {
            list_del(m);
            free(list_entry(m, struct result_watch, node));
        }
        drop_document(e);
        tidy(e);
    }
    while (!list_empty(&r->asked))
        free(list_entry(list_pop(&r->asked), struct question, node));
}
