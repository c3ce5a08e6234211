/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORKER_LLM_ASK_H
#define WORKER_LLM_ASK_H

#include "worker/llm/flight.h"

/* A question to one model: answered from the cache, by a flight of its own, or
 * by one that somebody else has started for the same question. */
struct ask;

/* fn is called once, not before this returns; *out dies with that call. Nothing
 * is shared or cached when the spec says so. */
enum status ask_start(const struct flight_plan *plan, flight_fn *fn, void *arg,
                      struct ask **out);
/* fn is not called any more; the flight ends with the last who waits for it. */
void ask_cancel(struct ask *a);

#endif
