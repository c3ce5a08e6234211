#ifndef BASE_TURN_H
#define BASE_TURN_H

#include <stdbool.h>
#include <uv.h>

/* "Once, at the end of this turn of the loop": how everything that is asked
 * for in one turn comes to travel in one batch.  A uv_idle_t that runs once:
 * while it is active the loop does not sleep. */
struct turn {
    uv_idle_t idle;
    void (*fn)(void *arg);
    void (*closed)(void *arg);
    void *arg;
};

void turn_init(struct turn *t, uv_loop_t *loop, void (*fn)(void *), void *arg);
/* May be repeated: fn still runs once.  A request from within fn is for the
 * next turn. */
void turn_ask(struct turn *t);

/* fn is not called after this; may be repeated.  closed(arg) is called when the
 * memory of t may go; it may be NULL when the loop is about to end anyway. */
void turn_close(struct turn *t, void (*closed)(void *arg));

#endif
