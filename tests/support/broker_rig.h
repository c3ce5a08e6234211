#ifndef TESTS_SUPPORT_BROKER_RIG_H
#define TESTS_SUPPORT_BROKER_RIG_H

#include <uv.h>

#include "store/broker.h"

/* What the contract suite needs of a broker's server. */
struct broker_impl {
    const char *name;
    void *(*start)(void);
    void (*stop)(void *server);
    const char *(*url)(void *server);
    const char *(*wrong_url)(void *server); /* with a wrong password */
    void (*restart)(void *server);          /* what it has stays */
    void (*down)(void *server, bool down);
    void (*cut)(void *server); /* all connections */
    void (*freeze)(void *server, bool frozen);
    /* Puts bytes that are no message on a queue. */
    void (*inject)(void *server, const char *queue, const char *bytes);
    bool tags_void; /* by a lost connection */
    int restarts;   /* how often a test may do that: it may be slow */
};

enum { RIG_MAX = 30000 };

struct rig_delivery {
    uint64_t tag;
    int n; /* the number in the body; -1: no message */
    bool redelivered;
    char queue[48];
};

/* A server, a loop and one consumer on it, with all that has happened. */
struct rig {
    const struct broker_impl *impl;
    void *server;
    uv_loop_t loop;
    struct config config;
    struct broker *b;
    struct topology *topology; /* set before opening; or NULL */
    const char *instance, *adopt;
    struct rig_delivery *got; /* RIG_MAX */
    int got_count;
    bool ack_at_once;
    int ready, lost, failed, closed;
    bool tags_void;
    enum status lost_code;
    int published_ok, published_lost, published_bad;
    int fanouts;
    char fanout_exchange[48];
    long depth;
    enum status depth_status;
    bool depth_told;
};

void rig_init(struct rig *r, const struct broker_impl *impl);
void rig_fini(struct rig *r);
/* Another consumer or publisher on the server of owner. */
void rig_init_beside(struct rig *r, struct rig *owner, const char *instance);

void rig_open(struct rig *r); /* and waits for ready */
enum status rig_open_url(struct rig *r, const char *url, struct error *err);
void rig_close(struct rig *r, uint32_t flush_ms); /* and waits for closed */
void rig_consume(struct rig *r, const char *queue, unsigned prefetch);

/* A task message whose argument is n. */
enum status rig_send(struct rig *r, const char *queue, int n, int priority);
void rig_publish(struct rig *r, const char *queue,
                 int n); /* must be accepted */

bool rig_wait_got(struct rig *r, int count, int ms);
bool rig_wait_published(struct rig *r, int count, int ms);
bool rig_wait_ready(struct rig *r, int count, int ms);
bool rig_wait_lost(struct rig *r, int count, int ms);
void rig_run(struct rig *r, int ms);
long rig_depth(struct rig *r, const char *queue);
struct message *rig_message(const char *exchange, const char *key, int n);

#endif
