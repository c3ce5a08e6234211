/* SPDX-License-Identifier: Apache-2.0 */
/* What every result backend promises, kept by rpc:// over Redis, and what only
 * rpc:// does. */
#ifndef RESULT
#define RESULT rpc_redis
#endif
#include "tests/contract/test_result.c" /* the behaviours */
