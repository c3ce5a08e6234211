#ifndef TESTS_SUPPORT_REDIS_RIG_H
#define TESTS_SUPPORT_REDIS_RIG_H

#include "tests/support/broker_impl_redis.h"

/* Looks into the Redis of a broker under test. */

#define SEP "\x06\x16"

#define REDIS(suite, behaviour)             \
    static void behaviour(struct rig *r);   \
    Test(suite, behaviour, .timeout = 120)  \
    {                                       \
        struct rig rig;                     \
        rig_init(&rig, &broker_impl_redis); \
        behaviour(&rig);                    \
        rig_fini(&rig);                     \
    }                                       \
    static void behaviour(struct rig *r)

/* The answer to a command; good until the next call. */
char *redis_rig_ask(struct rig *r, const char *command);
char *redis_rig_do(struct rig *r, const char *const *words);
long redis_rig_number(struct rig *r, const char *command);
#define DO(r, ...) redis_rig_do(r, (const char *[]){__VA_ARGS__, NULL})

/* An envelope as kombu writes it, for queue q; good until the next call. */
const char *redis_rig_envelope(int n, const char *tag);
void redis_rig_push(struct rig *r, const char *key, const char *text);
void redis_rig_settle(struct rig *r, int i, enum verdict v);
/* broker_transport_options, before rig_open. */
void redis_rig_options(struct rig *r, const char *json);

#endif
