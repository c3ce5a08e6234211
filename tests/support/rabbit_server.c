/* SPDX-License-Identifier: Apache-2.0 */
/* A RabbitMQ for a test program. */
#include "tests/support/rabbit_server.h"

#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const char variable[] = "LOVAGE_TEST_RABBIT";
static const char *const queues[] = {"q", "q1", "q2", "w[1]@x.celery.pidbox"};

static struct {
    pid_t pid;
    int input; /* of the helper; its end ends it */
} helper;

static void
fail(const char *what)
{
    fprintf(stderr, "rabbit_server: %s\n", what);
    abort();
}

void
rabbit_server_begin(void)
{
    int in[2], out[2];
    char line[600] = "";
    size_t len = 0;

    if (pipe(in) != 0 || pipe(out) != 0)
        fail("no pipe");
    helper.pid = fork();
    if (helper.pid < 0)
        fail("no process");
    if (helper.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[1]);
        close(out[0]);
        execl("/usr/bin/python3", "python3", "-B",
              "tests/support/rabbit_peer.py", (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    helper.input = in[1];
    while (len < sizeof line - 1 && memchr(line, '\n', len) == NULL) {
        ssize_t n = read(out[0], line + len, sizeof line - 1 - len);
        if (n <= 0)
            fail("it did not start");
        len += (size_t)n;
    }
    close(out[0]);
    line[strcspn(line, "\n")] = '\0';
    if (setenv(variable, line, 1) != 0)
        fail("no environment");
}

void
rabbit_server_end(void)
{
    close(helper.input);
    while (waitpid(helper.pid, NULL, 0) < 0)
        ;
}

/* ---- asking ---- */

/* What the helper has printed. */
static const struct printed {
    int port, tls_port;
    char certificates[100], control[100];
} * printed(void)
{
    static struct printed p;
    const char *text = getenv(variable);

    if (text == NULL || sscanf(text, "%d %d %99s %99s", &p.port, &p.tls_port,
                               p.certificates, p.control) != 4)
        fail("it is not running");
    return &p;
}

int
rabbit_server_port(void)
{
    return printed()->port;
}

int
rabbit_server_tls_port(void)
{
    return printed()->tls_port;
}

const char *
rabbit_server_certificates(void)
{
    return printed()->certificates;
}

char *
rabbit_server_ask(const char *command)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t size = 65536, len = 0;
    char *answer = calloc(1, size);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ssize_t n;

    snprintf(a.sun_path, sizeof a.sun_path, "%s", printed()->control);
    if (answer == NULL || fd < 0 ||
        connect(fd, (struct sockaddr *)&a, sizeof a) != 0 ||
        dprintf(fd, "%s\n", command) < 0)
        fail("it cannot be asked");
    while ((n = read(fd, answer + len, size - 1 - len)) > 0)
        len += (size_t)n;
    close(fd);
    return answer;
}

void
rabbit_server_tell(const char *command)
{
    char *answer = rabbit_server_ask(command);

    if (strncmp(answer, "failed", 6) == 0)
        fail(answer);
    free(answer);
}

/* ---- over AMQP ---- */

static void
check(amqp_rpc_reply_t r, const char *what)
{
    if (r.reply_type != AMQP_RESPONSE_NORMAL)
        fail(what);
}

static amqp_connection_state_t
dial(void)
{
    amqp_connection_state_t c = amqp_new_connection();
    amqp_socket_t *s = amqp_tcp_socket_new(c);

    if (amqp_socket_open(s, "127.0.0.1", rabbit_server_port()) != 0)
        fail("no connection");
    check(amqp_login(c, "/", 0, AMQP_DEFAULT_FRAME_SIZE, 0,
                     AMQP_SASL_METHOD_PLAIN, "guest", "guest"),
          "login");
    amqp_channel_open(c, 1);
    check(amqp_get_rpc_reply(c), "channel");
    return c;
}

static void
hang_up(amqp_connection_state_t c)
{
    amqp_connection_close(c, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(c);
}

void
rabbit_server_clean(void)
{
    amqp_connection_state_t c = dial();

    for (size_t i = 0; i < sizeof queues / sizeof *queues; i++) {
        amqp_queue_delete(c, 1, amqp_cstring_bytes(queues[i]), 0, 0);
        check(amqp_get_rpc_reply(c), "queue.delete");
    }
    hang_up(c);
}

void
rabbit_server_delete(const char *queue)
{
    amqp_connection_state_t c = dial();

    amqp_queue_delete(c, 1, amqp_cstring_bytes(queue), 0, 0);
    check(amqp_get_rpc_reply(c), "queue.delete");
    hang_up(c);
}

void
rabbit_server_declare(const char *queue, const char *argument, int number,
                      const char *text)
{
    amqp_connection_state_t c = dial();
    amqp_table_entry_t e = {.key = amqp_cstring_bytes(argument)};
    amqp_table_t arguments = {1, &e};

    e.value.kind = text == NULL ? AMQP_FIELD_KIND_I32 : AMQP_FIELD_KIND_UTF8;
    if (text == NULL)
        e.value.value.i32 = number;
    else
        e.value.value.bytes = amqp_cstring_bytes(text);
    amqp_queue_declare(c, 1, amqp_cstring_bytes(queue), 0, 1, 0, 0, arguments);
    check(amqp_get_rpc_reply(c), "queue.declare");
    hang_up(c);
}

void *
rabbit_server_hog(const char *queue)
{
    amqp_connection_state_t c = dial();

    amqp_basic_consume(c, 1, amqp_cstring_bytes(queue), amqp_empty_bytes, 0, 0,
                       1, amqp_empty_table);
    check(amqp_get_rpc_reply(c), "basic.consume");
    return c;
}

void
rabbit_server_let_go(void *hog)
{
    hang_up(hog);
}

void
rabbit_server_inject(const char *queue, const char *bytes)
{
    amqp_connection_state_t c = dial();
    amqp_bytes_t q = amqp_cstring_bytes(queue);
    amqp_basic_properties_t p = {._flags = AMQP_BASIC_USER_ID_FLAG,
                                 .user_id = amqp_cstring_bytes("guest")};

    amqp_queue_declare(c, 1, q, 0, 1, 0, 0, amqp_empty_table);
    check(amqp_get_rpc_reply(c), "queue.declare");
    if (amqp_basic_publish(c, 1, amqp_empty_bytes, q, 0, 0, &p,
                           amqp_cstring_bytes(bytes)) != 0)
        fail("publish");
    hang_up(c);
}
