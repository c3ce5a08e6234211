#ifndef TESTS_SUPPORT_TCP_PROXY_H
#define TESTS_SUPPORT_TCP_PROXY_H

#include <stdbool.h>

/* A TCP proxy on a thread of the test: the network that a test may break.  Each
 * function aborts when it fails. */
struct tcp_proxy;

struct tcp_proxy *tcp_proxy_new(int to_port);
void tcp_proxy_free(struct tcp_proxy *p);
int tcp_proxy_port(const struct tcp_proxy *p);

void tcp_proxy_cut(struct tcp_proxy *p); /* all connections, now */
/* Down: connections are cut and refused. */
void tcp_proxy_down(struct tcp_proxy *p, bool down);
/* Nothing passes in either direction, and nobody is told. */
void tcp_proxy_hold(struct tcp_proxy *p, bool hold);
/* Holds by itself when a client is about to send text (within one read of at
 * most 64 KiB); it has not gone out then.  Once. */
void tcp_proxy_hold_at(struct tcp_proxy *p, const char *text);
bool tcp_proxy_is_held(const struct tcp_proxy *p);

#endif
