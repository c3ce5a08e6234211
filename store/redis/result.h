#ifndef STORE_REDIS_RESULT_H
#define STORE_REDIS_RESULT_H

#include "base/list.h"
#include "base/map.h"
#include "base/turn.h"
#include "store/parts.h"
#include "store/redis/calls.h"
#include "store/result.h"

/* The Redis result backend, private to result.c, result_chord.c,
 * result_group.c and result_watch.c. */
struct result_redis {
    struct result base;
    uv_loop_t *loop;
    char *url;
    char *prefix;                /* global_keyprefix; "" */
    const struct config *config; /* borrowed */
    int64_t expires_s;
    enum content content;
    const char *accept; /* comma list; borrowed of the config */
    struct calls *calls;
    struct redis *pubsub; /* NULL until something is watched */
    struct map topics;    /* what is watched, by id */
    struct list all_topics;
    struct list requests, parts, groups; /* under way */
    struct list failed; /* requests to be told so at the turn's end */
    struct turn turn;
    bool closing, finished;
    uv_timer_t deadline;
    struct parts to_close;
};

/* Adds the key of a kind ("task", "taskset"), id and suffix (".j" or ""). */
void redis_result_key(const struct result_redis *r, struct redis_cmd *cmd,
                      const char *kind, struct slice id, const char *suffix);
/* Sends a command whose answer only tells success.  fn may be NULL. */
void redis_result_send(struct result_redis *r, enum call_kind kind,
                       struct redis_cmd *cmd, result_fn *fn, void *arg);
/* Drops cmd and calls fn with ST_BUSY at the end of the turn. */
void redis_result_refuse(struct result_redis *r, struct redis_cmd *cmd,
                         result_fn *fn, void *arg);
bool redis_result_full(const struct result_redis *r);
void redis_result_progress(struct result_redis *r);

/* result_watch.c */
struct result_watch *redis_watch(struct result *base, struct slice id,
                                 result_fn *fn, void *arg);
void redis_unwatch(struct result *base, struct result_watch *w);
void redis_watches_free(struct result_redis *r);

/* result_chord.c */
void redis_chord_size(struct result *base, struct slice group, int64_t size,
                      result_fn *fn, void *arg);
void redis_chord_part(struct result *base, struct slice group, int64_t index,
                      const struct task_state *part,
                      void (*fn)(void *arg, enum status st, bool ready,
                                 struct json_object *parts),
                      void *arg);
void redis_chord_done(struct result *base, struct slice group);
void redis_parts_free(struct result_redis *r);

/* result_group.c */
void redis_group_save(struct result *base, struct slice id,
                      struct json_object *tuple, result_fn *fn, void *arg);
void redis_group_get(struct result *base, struct slice id, result_group_fn *fn,
                     void *arg);
void redis_group_forget(struct result *base, struct slice id, result_fn *fn,
                        void *arg);
void redis_groups_free(struct result_redis *r);

#endif
