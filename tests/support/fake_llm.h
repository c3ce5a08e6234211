/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SUPPORT_FAKE_LLM_H
#define TESTS_SUPPORT_FAKE_LLM_H

#include <sys/types.h>

/* fake_llm.py as a child of the test: see there for what it can do. */
struct fake_llm {
    pid_t pid;
    int in;        /* its standard input: it ends with us */
    char base[64]; /* "http://127.0.0.1:port" */
};

/* key NULL: none is asked for.  Fails the test if it does not start. */
void fake_llm_start(struct fake_llm *f, const char *key);
void fake_llm_stop(struct fake_llm *f);

#endif
