#ifndef STORE_AMQP_OPS_H
#define STORE_AMQP_OPS_H

#include "store/broker.h"

/* RabbitMQ, and what speaks AMQP 0-9-1 like it. */
extern const struct broker_ops amqp_broker_ops;

#endif
