/* SPDX-License-Identifier: Apache-2.0 */
/* A private redis-server. */
#include "tests/support/redis_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"

enum { MAX_ARGS = 64, MAX_WORDS = 16, START_TRIES = 1000 /* of 10 ms */ };

struct redis_server {
    char dir[64], socket[96], url[160], socket_url[192], password[64];
    int port;
    char *flags[MAX_ARGS];
    pid_t pid; /* 0: not running */
    redisContext *control;
};

static void
fail(const char *what)
{
    fprintf(stderr, "redis_server: %s\n", what);
    abort();
}

int
redis_server_free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) != 0 ||
        getsockname(fd, (struct sockaddr *)&a, &n) != 0)
        fail("no free port");
    close(fd);
    return ntohs(a.sin_port);
}

static void
name_urls(struct redis_server *s)
{
    const char *p = s->password;
    const char *colon = *p ? ":" : "", *at = *p ? "@" : "";

    snprintf(s->url, sizeof s->url, "redis://%s%s%s127.0.0.1:%d/0", colon, p,
             at, s->port);
    snprintf(s->socket_url, sizeof s->socket_url, "redis+socket://%s%s%s%s",
             colon, p, at, s->socket);
}

static redisContext *
dial(struct redis_server *s)
{
    redisContext *c = redisConnectUnix(s->socket);
    redisReply *r;

    if (c == NULL || c->err != 0)
        goto fail;
    if (*s->password) {
        r = redisCommand(c, "AUTH %s", s->password);
        if (r != NULL)
            freeReplyObject(r);
    }
    r = redisCommand(c, "PING");
    if (r == NULL || r->type != REDIS_REPLY_STATUS) {
        if (r != NULL)
            freeReplyObject(r);
        goto fail;
    }
    freeReplyObject(r);
    return c;
fail:
    if (c != NULL)
        redisFree(c);
    return NULL;
}

static void
hang_up(struct redis_server *s)
{
    if (s->control != NULL)
        redisFree(s->control);
    s->control = NULL;
}

static void
run(struct redis_server *s)
{
    char port[16], log[96];
    const char *const words[] = {
        "redis-server", "--port", port,   "--bind", "127.0.0.1", "--unixsocket",
        s->socket,      "--dir",  s->dir, "--save", "",          "--appendonly",
        "no",           NULL};
    char *argv[MAX_ARGS + sizeof words / sizeof *words] = {NULL};
    int n = 0, fd;

    snprintf(port, sizeof port, "%d", s->port);
    snprintf(log, sizeof log, "%s/log", s->dir);
    for (; words[n] != NULL; n++)
        argv[n] = strdup(words[n]);
    for (int i = 0; s->flags[i] != NULL; i++)
        argv[n++] = s->flags[i];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(fd, 1);
    dup2(fd, 2);
    execvp(argv[0], argv);
    _exit(127);
}

static void
reap(struct redis_server *s, int sig)
{
    hang_up(s);
    if (s->pid == 0)
        return;
    kill(s->pid, sig);
    kill(s->pid, SIGCONT);
    while (waitpid(s->pid, NULL, 0) < 0)
        ;
    s->pid = 0;
    unlink(s->socket);
}

void
redis_server_spawn(struct redis_server *s)
{
    s->pid = fork();
    if (s->pid < 0)
        fail("cannot fork");
    if (s->pid == 0)
        run(s);
}

void
redis_server_wait(struct redis_server *s)
{
    for (int i = 0; i < START_TRIES; i++) {
        s->control = dial(s);
        if (s->control != NULL)
            return;
        if (waitpid(s->pid, NULL, WNOHANG) == s->pid)
            fail("redis-server ended at once");
        usleep(10000);
    }
    fail("redis-server does not answer");
}

void
redis_server_start(struct redis_server *s)
{
    redis_server_spawn(s);
    redis_server_wait(s);
}

struct redis_server *
redis_server_new(const char *const *flags)
{
    struct redis_server *s = calloc(1, sizeof *s);

    if (s == NULL)
        fail("no memory");
    strcpy(s->dir, "/tmp/lovage-redis-XXXXXX");
    if (mkdtemp(s->dir) == NULL)
        fail("cannot make a folder in /tmp");
    snprintf(s->socket, sizeof s->socket, "%s/sock", s->dir);
    for (int i = 0; flags != NULL && flags[i] != NULL; i++) {
        s->flags[i] = strdup(flags[i]);
        if (i > 0 && strcmp(flags[i - 1], "--requirepass") == 0)
            snprintf(s->password, sizeof s->password, "%s", flags[i]);
    }
    s->port = redis_server_free_port();
    name_urls(s);
    redis_server_start(s);
    return s;
}

void
redis_server_free(struct redis_server *s)
{
    char command[128];
    int status;

    if (s == NULL)
        return;
    reap(s, SIGKILL);
    snprintf(command, sizeof command, "rm -rf %s", s->dir);
    status = system(command);
    (void)status;
    for (int i = 0; s->flags[i] != NULL; i++)
        free(s->flags[i]);
    free(s);
}

const char *
redis_server_url(const struct redis_server *s)
{
    return s->url;
}

const char *
redis_server_socket_url(const struct redis_server *s)
{
    return s->socket_url;
}

int
redis_server_port(const struct redis_server *s)
{
    return s->port;
}

void
redis_server_auth(struct redis_server *s, const char *password)
{
    snprintf(s->password, sizeof s->password, "%s", password);
    name_urls(s);
}

void
redis_server_stop(struct redis_server *s)
{
    reap(s, SIGTERM);
}

void
redis_server_kill(struct redis_server *s)
{
    reap(s, SIGKILL);
}

void
redis_server_freeze(struct redis_server *s, bool frozen)
{
    kill(s->pid, frozen ? SIGSTOP : SIGCONT);
}

double
redis_server_cpu_s(const struct redis_server *s)
{
    unsigned long user = 0, sys = 0;
    char path[64];
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)s->pid);
    f = fopen(path, "r");
    if (f == NULL ||
        fscanf(f, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
               &user, &sys) != 2)
        fail("cannot read the time of redis-server");
    fclose(f);
    return (double)(user + sys) / (double)sysconf(_SC_CLK_TCK);
}

static void
print(struct buf *out, const redisReply *r)
{
    switch (r->type) {
    case REDIS_REPLY_INTEGER:
        buf_addf(out, "%lld", r->integer);
        break;
    case REDIS_REPLY_NIL:
        buf_addf(out, "(nil)");
        break;
    case REDIS_REPLY_ARRAY:
        for (size_t i = 0; i < r->elements; i++) {
            if (i > 0)
                buf_add(out, (struct slice){"\n", 1});
            print(out, r->element[i]);
        }
        break;
    default:
        buf_add(out, (struct slice){r->str, (size_t)r->len});
    }
}

char *
redis_server_do(struct redis_server *s, const char *const *words)
{
    size_t lens[MAX_WORDS];
    const char *argv[MAX_WORDS];
    redisReply *r;
    struct buf out;
    char *text;
    int n = 0;

    for (; words[n] != NULL && n < MAX_WORDS; n++) {
        argv[n] = words[n];
        lens[n] = strlen(words[n]);
    }
    if (s->control == NULL)
        s->control = dial(s);
    if (s->control == NULL)
        fail("redis-server is not there");
    r = redisCommandArgv(s->control, n, argv, lens);
    if (r == NULL)
        fail("redis-server does not answer");
    buf_init(&out, 64 * 1024 * 1024);
    print(&out, r);
    freeReplyObject(r);
    if (buf_take(&out, &text, NULL) != ST_OK)
        fail("a long answer");
    return text;
}

char *
redis_server_ask(struct redis_server *s, const char *command)
{
    const char *words[MAX_WORDS + 1] = {NULL};
    char *copy = strdup(command), *rest = copy, *answer;

    for (int n = 0; n < MAX_WORDS && rest != NULL; n++)
        words[n] = strsep(&rest, " ");
    answer = redis_server_do(s, words);
    free(copy);
    return answer;
}

long
redis_server_number(struct redis_server *s, const char *command)
{
    char *text = redis_server_ask(s, command);
    long n = strtol(text, NULL, 10);

    free(text);
    return n;
}
