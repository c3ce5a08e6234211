#ifndef TESTS_SUPPORT_RESULT_RIG_H
#define TESTS_SUPPORT_RESULT_RIG_H

#include <uv.h>

#include "store/result.h"

/* What the contract suite needs of a result backend's server. */
struct result_impl {
    const char *name;
    void *(*start)(void);
    void (*stop)(void *server);
    const char *(*url)(void *server);
    void (*down)(void *server, bool down); /* what it has stays */
    void (*cut)(void *server);             /* all connections */
    bool rpc;        /* url() is a broker's, rpc:// the backend */
    bool queue_dies; /* of replies, with a connection that is cut */
};

extern const struct result_impl result_impl_redis, result_impl_pg;
extern const struct result_impl result_impl_rpc_redis, result_impl_rpc_amqp;

/* A server, a loop and one backend on it, with what was last told. */
struct result_rig {
    const struct result_impl *impl;
    void *server;
    uv_loop_t loop;
    struct config config;
    struct result *r;
    int calls; /* of result_rig_note */
    enum status status;
    char text[4096]; /* "STATUS result"; "" for nothing stored */
    int parts;       /* calls of result_rig_part */
    bool part_ready;
    char part_text[4096];
};

/* Ends the test, visibly, unless the backend can do it: of enum result_can. */
#define RESULT_RIG_NEEDS(r, what)                                       \
    do {                                                                \
        if (!result_rig_can((r), (what)))                               \
            cr_skip_test("%s cannot do that: " #what, (r)->impl->name); \
    } while (0)

/* False: the rig is finished, too. */
bool result_rig_can(struct result_rig *r, unsigned what);
/* The server of result_impl_pg. */
struct pg_server *result_rig_pg(struct result_rig *r);

void result_rig_init(struct result_rig *r, const struct result_impl *impl);
void result_rig_fini(struct result_rig *r);
void result_rig_open(struct result_rig *r);
void result_rig_close(struct result_rig *r, uint32_t flush_ms);

/* Callbacks; arg is the rig. */
void result_rig_note(void *arg, enum status st, const struct task_state *ts);
void result_rig_group(void *arg, enum status st, struct json_object *tuple);
void result_rig_part(void *arg, enum status st, bool ready,
                     struct json_object *parts);

bool result_rig_wait(struct result_rig *r, int calls, int ms);
bool result_rig_wait_parts(struct result_rig *r, int parts, int ms);
void result_rig_run(struct result_rig *r, int ms);

#endif
