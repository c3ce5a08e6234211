#ifndef WORKER_SHM_H
#define WORKER_SHM_H

#include "protocol/task.h"

#include <stdatomic.h>

/* What a node tells its supervisor through shared memory, so that it survives
 * the node: who it is, that its loop turns, and which tasks it runs.  The
 * supervisor makes the page (a memfd, fd 3 of the node). */
enum {
    SHM_FD = 3,
    SHM_MAGIC = 0x4c6f7634,
    SHM_INSTANCE_MAX = 300,
    SHM_REPLY_MAX = 127, /* of rpc clients; longer ones are not told */
    SHM_SLOTS = 4096     /* running tasks that can be told; more are not */
};

/* What a slot holds: a task that runs, acknowledged early or late. */
enum shm_use { SHM_FREE, SHM_EARLY, SHM_LATE };

struct shm_slot {
    char id[TASK_ID_MAX + 1];
    char reply_to[SHM_REPLY_MAX + 1]; /* who is told of its end; "": nobody */
    uint8_t use;     /* enum shm_use; set after the id, cleared before it */
    uint16_t deaths; /* of nodes and executors that ran it */
};

struct shm_page {
    uint32_t magic;
    int32_t supervisor;              /* its process id */
    uint32_t index;                  /* of the node, from 1 */
    char instance[SHM_INSTANCE_MAX]; /* the node's, for the broker */
    char dead[SHM_INSTANCE_MAX];     /* the one before: to be adopted */
    _Atomic uint64_t heartbeat_us;   /* CLOCK_MONOTONIC; 0: starting */
    _Atomic uint32_t ready;          /* it has been connected */
    uint32_t lost_count;             /* slots of the dead, below */
    struct shm_slot lost[SHM_SLOTS];
    struct shm_slot slots[SHM_SLOTS];
};

/* The supervisor's: *fd is to be inherited by the node as SHM_FD. */
enum status shm_create(struct shm_page **out, int *fd, struct error *err);
/* The node's.  Without a supervisor it gets a page of its own. */
enum status shm_attach(struct shm_page **out, struct error *err);

/* The node's free slots.  One node a process. */
struct shm_table {
    struct shm_page *page;
    uint16_t free[SHM_SLOTS];
    size_t count;
};
void shm_table_init(struct shm_table *t, struct shm_page *page);
/* -1: none is free. */
int shm_enter(struct shm_table *t, struct slice id, struct slice reply_to,
              enum shm_use use, unsigned deaths);
void shm_leave(struct shm_table *t, int slot); /* -1 is fine */

/* The supervisor's, after the node's death: what ran becomes what is lost. */
void shm_bury(struct shm_page *page);

#endif
