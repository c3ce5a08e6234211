#ifndef STORE_RPC_OPS_H
#define STORE_RPC_OPS_H

#include "store/result.h"

extern const struct result_ops rpc_result_ops;

#endif
