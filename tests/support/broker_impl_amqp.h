#ifndef TESTS_SUPPORT_BROKER_IMPL_AMQP_H
#define TESTS_SUPPORT_BROKER_IMPL_AMQP_H

#include "tests/support/broker_rig.h"
#include "tests/support/tcp_proxy.h"

/* The program's RabbitMQ through a proxy of each test's own. */
extern const struct broker_impl broker_impl_amqp;

/* server: the rig's. */
struct tcp_proxy *broker_impl_amqp_proxy(void *server);

#endif
