#ifndef API_SUBMISSION_H
#define API_SUBMISSION_H

#include "api/exchange.h"
#include "base/id.h"

/* A task to be sent: its row, and its message in kombu's envelope. */
struct submission {
    struct slice name, description;    /* the user's words */
    struct slice task, queue;          /* queue.ptr NULL: by task_routes */
    struct slice model;                /* ptr NULL: none */
    struct json_object *args, *kwargs; /* borrowed; NULL: [] and {} */
    bool has_eta, has_expires;
    int64_t eta_us, expires_us;
    int priority; /* -1: none */
};

#define SUBMISSION_INIT \
    {                   \
        .priority = -1  \
    }

/* Where it goes: to its queue, or to what the settings say of its task. */
enum status submission_route(const struct api *api, const struct submission *s,
                             struct task_route *out);

/* Whether its message waits in the outbox until eta_us. */
bool submission_is_far(const struct submission *s);

/* The message of task id, with its envelope. */
enum status submission_encode(const struct api *api, const struct submission *s,
                              const struct task_route *r, struct slice id,
                              struct message **out);

/* Commits a new task with its message; id gets its Celery id, and
 * body, unless NULL, the row's JSON. */
enum status submission_commit(struct api *api, const struct submission *s,
                              char id[ID_LEN + 1], struct buf *body);

/* Answers a failed call to the hub. */
void submission_refused(struct response *rs, enum status st);

#endif
