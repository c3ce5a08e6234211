#ifndef TESTS_SUPPORT_BROKER_IMPL_REDIS_H
#define TESTS_SUPPORT_BROKER_IMPL_REDIS_H

#include "tests/support/broker_rig.h"

/* Redis, with an append-only file that is synced at each write: it has
 * everything after a restart. */
extern const struct broker_impl broker_impl_redis;

#endif
