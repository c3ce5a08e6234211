/* SPDX-License-Identifier: Apache-2.0 */
/* Waits until the parts of something are closed. */
#include "store/parts.h"

#include <stddef.h>

void *
parts_add(struct parts *p)
{
    p->left++;
    return p;
}

void
parts_gone(void *parts)
{
    struct parts p = *(struct parts *)parts; /* may go with its owner */

    if (--((struct parts *)parts)->left > 0)
        return;
    p.free(p.owner);
    if (p.closed != NULL)
        p.closed(p.arg);
}

static void
on_handle_closed(uv_handle_t *h)
{
    parts_gone(h->data);
}

void
parts_close_handle(struct parts *p, uv_handle_t *h)
{
    h->data = parts_add(p);
    uv_close(h, on_handle_closed);
}

void
parts_close_turn(struct parts *p, struct turn *t)
{
    t->arg = parts_add(p); /* it runs no more */
    turn_close(t, parts_gone);
}
