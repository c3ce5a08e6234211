/* SPDX-License-Identifier: Apache-2.0 */
/* What every result backend promises, kept by db+postgresql://. */
#define RESULT pg
#include "tests/contract/test_result.c" /* the behaviours */
