/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTOCOL_LLM_ECHO_H
#define PROTOCOL_LLM_ECHO_H

#include "protocol/llm.h"

/* The built-in model "echo": it needs no network and answers with the prompt.
 * Its name may carry how it is to behave:
 *
 *     echo [ "?" key "=" value *( "&" key "=" value ) ]
 *
 *     latency_ms      0..600000   how long an answer takes; default 0
 *     tokens          1..100000   answers with so many words, repeating the
 *                                 prompt's; default: the prompt, once
 *     fail_rate       0..1        the share of calls that fail; default 0, or 1
 *                                 when error is given
 *     error           a class     how they fail: "server" (default),
 *                                 "rate_limit", "auth" ...: LLM_ERROR_MAP
 *     retry_after_ms  0..86400000 the provider's hint that comes with it
 *
 * For example echo?latency_ms=200&fail_rate=0.1&error=rate_limit.  A token is a
 * word. */
struct llm_echo {
    uint32_t latency_ms;
    int64_t tokens; /* -1: as many as the prompt has */
    double fail_rate;
    enum llm_error_class error;
    int64_t retry_after_ms; /* -1: no hint */
};

bool llm_echo_names(struct slice model); /* true: this is the echo's name */
/* The error names the key and its value. */
enum status llm_echo_parse(struct slice model, struct llm_echo *out,
                           struct error *err);

enum { LLM_ECHO_ROLL = 1000000 };
/* Answers q.  roll is uniform in [0, LLM_ECHO_ROLL): it decides on failing. */
void llm_echo_answer(const struct llm_echo *e, const struct llm_query *q,
                     uint32_t roll, struct llm_result *out);

#endif
