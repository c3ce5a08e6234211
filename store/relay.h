#ifndef STORE_RELAY_H
#define STORE_RELAY_H

#include "store/broker.h"
#include "store/pg/records.h"

/* The outbox relay: carries committed messages from PostgreSQL to the broker.
 * Every process that has both runs one; they do not collide.
 *
 * What was committed just now is published at once (relay_push).  Its row is
 * deleted only two seconds after the broker's confirmation, so that a broker
 * that crashes with unsaved writes gets the message again.  A sweep every
 * second takes what others left behind: rows of processes that died, rows
 * that came due, and everything after a broker's absence. */
struct relay;

/* Publishes on b, with its own cookies; both must outlive the relay. */
enum status relay_open(struct relay **out, uv_loop_t *loop, struct records *r,
                       struct broker *b, struct error *err);
/* No call to records or the broker comes after this.  closed(arg), once.  What
 * was not confirmed is published by another relay, or the next one. */
void relay_close(struct relay *y, void (*closed)(void *arg), void *arg);

/* m: the message of a row that is committed, due and untaken; borrowed.  Over
 * the bound nothing happens: the sweep finds the row. */
void relay_push(struct relay *y, int64_t outbox_id, const struct message *m);

/* To be called from broker_events.published: true if the cookie was the
 * relay's, and it is dealt with. */
bool relay_published(struct relay *y, void *cookie, enum status st);
/* From broker_events.ready: what waited goes out. */
void relay_ready(struct relay *y);
/* From broker_events.lost. */
void relay_lost(struct relay *y);

size_t relay_backlog(const struct relay *y); /* pushed and not confirmed */

#endif
