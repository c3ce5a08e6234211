#ifndef STORE_PARTS_H
#define STORE_PARTS_H

#include "base/turn.h"

/* What must be closed before its owner may be freed.  The owner fills this in
 * when it begins to close, and then closes its parts: each function counts one,
 * and all parts answer later, from the loop.  After the last one free(owner) is
 * called, then closed(arg). */
struct parts {
    void (*free)(void *owner);
    void *owner;
    void (*closed)(void *arg); /* NULL: nobody wants to know */
    void *arg;
    unsigned left;
};

/* As the last two arguments of a close(): parts_gone, parts_add(p). */
void *parts_add(struct parts *p);
void parts_gone(void *parts);

/* h's data is used. */
void parts_close_handle(struct parts *p, uv_handle_t *h);
void parts_close_turn(struct parts *p, struct turn *t);

#endif
