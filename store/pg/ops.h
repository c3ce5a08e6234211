#ifndef STORE_PG_OPS_H
#define STORE_PG_OPS_H

#include "store/result.h"

extern const struct result_ops pg_result_ops;

#endif
