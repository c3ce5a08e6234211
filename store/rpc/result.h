#ifndef STORE_RPC_RESULT_H
#define STORE_RPC_RESULT_H

#include "base/id.h"
#include "base/list.h"
#include "base/map.h"
#include "base/turn.h"
#include "protocol/content.h"
#include "store/broker.h"
#include "store/parts.h"
#include "store/result.h"

/* The rpc backend, private to its files:
 *   result.c  opening and closing; its connections to the broker
 *   answer.c  sending outcomes to whoever sent the task
 *   inbox.c   what came to our own reply queue, and who waits for it
 *
 * It speaks to whatever broker_url names, over connections of its own: one that
 * publishes, when something is put first; one with a reply queue, when that is
 * asked for first.  What is put then goes out over that one too. */

enum {
    ANSWERS_MAX = 100000,
    ANSWERS_BYTES_MAX = 64 * 1024 * 1024,
    KEPT_MAX = 10000, /* outcomes that came and may be asked for */
    KEPT_BYTES_MAX = 64 * 1024 * 1024,
    DOCUMENT_MAX = 128 * 1024 * 1024 /* as RabbitMQ takes them */
};

struct peer {
    struct result_rpc *r;
    struct broker *b; /* NULL: not opened */
    bool ready;
};

struct result_rpc {
    struct result base;
    uv_loop_t *loop;
    const struct config *config; /* borrowed: until close */
    enum content content;
    const char *accept; /* comma list */
    struct peer sender, receiver;
    char reply_to[ID_LEN + 1];

    /* answers */
    struct list waiting; /* for a broker that is ready */
    struct list flying;  /* handed to it, not confirmed */
    struct list again;   /* not confirmed when its connection was lost */
    struct list ended;   /* to be told at the end of the turn */
    size_t answers, answers_bytes, flying_count;

    /* inbox */
    struct map by_id;
    struct list entries; /* all */
    struct list kept;    /* those with a document, oldest first */
    size_t kept_count, kept_bytes;
    struct list due;   /* whose watches are to be told at the end of the turn */
    struct list asked; /* to be answered at the end of the turn */

    struct turn turn;
    uv_timer_t deadline;
    uint64_t end_us; /* of closing */
    bool closing, finished;
    struct parts to_close;
};

/* result.c */
/* The one to publish with; NULL: none could be opened, it is logged. */
struct peer *rpc_outgoing(struct result_rpc *r);
struct peer *rpc_incoming(struct result_rpc *r);
void rpc_progress(struct result_rpc *r); /* when closing: done? */

/* answer.c */
void rpc_put(struct result *base, const struct task_state *ts, result_fn *fn,
             void *arg);
void rpc_published(struct result_rpc *r, void *cookie, enum status st);
void rpc_answers_send(struct result_rpc *r); /* the broker is ready */
void rpc_answers_turn(struct result_rpc *r);
void rpc_answers_free(struct result_rpc *r);

/* inbox.c */
void rpc_get(struct result *base, struct slice id, result_fn *fn, void *arg);
struct result_watch *rpc_watch(struct result *base, struct slice id,
                               result_fn *fn, void *arg);
void rpc_unwatch(struct result *base, struct result_watch *w);
void rpc_forget(struct result *base, struct slice id, result_fn *fn, void *arg);
void rpc_inbox_add(struct result_rpc *r, const struct message *m);
void rpc_inbox_turn(struct result_rpc *r);
void rpc_inbox_free(struct result_rpc *r);

#endif
