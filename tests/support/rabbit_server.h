#ifndef TESTS_SUPPORT_RABBIT_SERVER_H
#define TESTS_SUPPORT_RABBIT_SERVER_H

/* One RabbitMQ for a whole test program, because it takes seconds to start.
 * The program starts it before its tests and they find it by the environment;
 * they run one after the other.  Each function aborts when it fails. */

void rabbit_server_begin(void); /* in the program's main */
void rabbit_server_end(void);

int rabbit_server_port(void);
int rabbit_server_tls_port(void); /* with a certificate for 127.0.0.1 */
/* A folder with ca.pem, and client.pem and client.key of guest. */
const char *rabbit_server_certificates(void);

/* kill, start, restart, freeze, thaw, or "ctl" and words for rabbitmqctl, which
 * takes a second.  The answer; malloc'd. */
char *rabbit_server_ask(const char *command);
void rabbit_server_tell(const char *command); /* which must succeed */

/* Removes the queues of the last test and what is in them. */
void rabbit_server_clean(void);
void rabbit_server_delete(const char *queue);

/* A durable queue with one argument: a number, or else a text. */
void rabbit_server_declare(const char *queue, const char *argument, int number,
                           const char *text);

/* Consumes queue so that nobody else can, until the connection is closed. */
void *rabbit_server_hog(const char *queue);
void rabbit_server_let_go(void *hog);

/* Puts bytes on a queue, which is declared as Celery does; no properties. */
void rabbit_server_inject(const char *queue, const char *bytes);

#endif
