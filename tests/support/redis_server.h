#ifndef TESTS_SUPPORT_REDIS_SERVER_H
#define TESTS_SUPPORT_REDIS_SERVER_H

#include <stdbool.h>

/* A Redis server for one test: in a folder of its own under /tmp, on a free
 * loopback port and on a unix socket.  It ends with the process that started
 * it.  Each function aborts the test when it fails. */
struct redis_server;

/* flags as on redis-server's command line, NULL-terminated; NULL: none. */
struct redis_server *redis_server_new(const char *const *flags);
void
redis_server_free(struct redis_server *s); /* stops it, removes the folder */

/* Borrowed.  url: over TCP; with a password if there is one. */
const char *redis_server_url(const struct redis_server *s);
const char *redis_server_socket_url(const struct redis_server *s);
int redis_server_free_port(void); /* free just now */
int redis_server_port(const struct redis_server *s);
/* What stands between redis:// and @ in the URL; NULL: nothing. */
void redis_server_auth(struct redis_server *s, const char *password);

void
redis_server_start(struct redis_server *s); /* and waits until it answers */
void redis_server_spawn(struct redis_server *s); /* does not wait */
void redis_server_wait(struct redis_server *s);  /* until it answers */
void redis_server_stop(struct redis_server *s);  /* TERM: saves what it can */
void redis_server_kill(struct redis_server *s);  /* KILL */
void redis_server_freeze(struct redis_server *s, bool frozen);
double redis_server_cpu_s(const struct redis_server *s); /* used so far */

/* Runs a command, its words separated by one blank ("%b" style is not needed:
 * words holding blanks go through redis_server_do).  The answer as text,
 * elements separated by newlines, nil as "(nil)"; malloc'd. */
char *redis_server_ask(struct redis_server *s, const char *command);
long redis_server_number(struct redis_server *s, const char *command);
/* The same, of up to 16 words; NULL-terminated. */
char *redis_server_do(struct redis_server *s, const char *const *words);

#endif
