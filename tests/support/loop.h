#ifndef TESTS_SUPPORT_LOOP_H
#define TESTS_SUPPORT_LOOP_H

#include <stdbool.h>
#include <uv.h>

/* Runs the loop until done(arg), or for at most ms; says whether it was done.
 * done may be NULL: just runs for ms. */
bool loop_until(uv_loop_t *loop, bool (*done)(void *arg), void *arg, int ms);

/* Runs what is left to close, then closes; aborts if something stays. */
void loop_end(uv_loop_t *loop);

#endif
