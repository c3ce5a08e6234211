#ifndef STORE_REDIS_OPS_H
#define STORE_REDIS_OPS_H

#include "store/broker.h"
#include "store/result.h"

extern const struct broker_ops redis_broker_ops;
extern const struct result_ops redis_result_ops;

#endif
