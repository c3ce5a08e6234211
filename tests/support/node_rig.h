#ifndef TESTS_SUPPORT_NODE_RIG_H
#define TESTS_SUPPORT_NODE_RIG_H

#include "worker/node.h"

/* A node without processes: its broker and its result backend are here, and
 * keep what they are told.  Its executors are never started: only inline and
 * async tasks run. */
enum { RIG_MAX = 64 };

struct rig_verdict {
    uint64_t tag;
    enum verdict verdict;
};

struct node_rig {
    struct node *n;
    struct config config;
    struct broker broker;
    struct result result;
    uint64_t tag; /* of the last delivery */
    struct rig_verdict verdicts[RIG_MAX];
    size_t verdict_count;
    /* Published messages: {"headers": ..., "body": ...}; stored states and
     * parts of chords: {"id": ..., "status": ..., "result": ...}. */
    struct json_object *sent, *stored, *parts;
    enum status publish_st;    /* what publishing says; ST_OK: it works */
    const char *refused_task;  /* only of messages of this one; NULL: of all */
    enum status chord_st;      /* what setting a chord's size says */
    struct json_object *ready; /* NULL: no chord is complete; else its parts */
    struct turn turn;
    struct list answers; /* made at the end of the turn */
};

/* Before it the test may set members of config with node_rig_set(). */
void node_rig_init(struct node_rig *r);
void node_rig_fini(struct node_rig *r); /* shuts the node down, warm */
void node_rig_set(struct node_rig *r, const char *setting, const char *value);
void node_rig_task(const char *name, lovage_kind kind, lovage_run_fn *run,
                   bool late);

/* Delivers a message of protocol 2 with these headers and this body; its tag.
 * Turns the loop until nothing is left to do at once. */
uint64_t node_rig_deliver(struct node_rig *r, const char *headers,
                          const char *body);
void node_rig_turn(struct node_rig *r, int ms);
/* What was told of tag; -1: nothing yet. */
int node_rig_verdict(const struct node_rig *r, uint64_t tag);
/* The last state stored for id; NULL: none. */
struct json_object *node_rig_stored(const struct node_rig *r, const char *id);

#endif
