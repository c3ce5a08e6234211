/* SPDX-License-Identifier: Apache-2.0 */
/* A private PostgreSQL.  It refuses to run as root, so as root it runs as the
 * user "postgres", which can go into folders under /tmp but perhaps not into
 * the checkout: data is copied between them by us. */
#include "tests/support/pg_server.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <libpq-fe.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/pg/migrate.h"

enum {
    MAX_PATH = 256,
    MAX_ARGS = 40,
    START_TRIES = 1000 /* of 10 ms */
};

struct pg_server {
    char dir[MAX_PATH], data[MAX_PATH + 8], url[MAX_PATH + 64];
    int port;
    pid_t pid; /* 0: not running */
};

static void
fail(const char *what)
{
    fprintf(stderr, "pg_server: %s\n", what);
    abort();
}

static const char *
bin(const char *program, char out[MAX_PATH])
{
    glob_t g;

    if (glob("/usr/lib/postgresql/*/bin", 0, NULL, &g) != 0 || g.gl_pathc == 0)
        fail("no PostgreSQL server in /usr/lib/postgresql");
    snprintf(out, MAX_PATH, "%s/%s", g.gl_pathv[g.gl_pathc - 1], program);
    globfree(&g);
    return out;
}

static void
become_postgres(void)
{
    const struct passwd *pw;

    if (geteuid() != 0)
        return;
    pw = getpwnam("postgres");
    if (pw == NULL || setgroups(0, NULL) != 0 || setgid(pw->pw_gid) != 0 ||
        setuid(pw->pw_uid) != 0)
        _exit(126);
}

/* Starts a program, its output in the file log.  as_postgres: as that user if
 * we are root. */
static pid_t
spawn(bool as_postgres, const char *log, const char *const *args)
{
    char *argv[MAX_ARGS] = {NULL};
    pid_t parent = getpid(), pid;

    for (size_t i = 0; args[i] != NULL && i < MAX_ARGS - 1; i++)
        argv[i] = strdup(args[i]);
    pid = fork();
    if (pid == 0) {
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);

        dup2(fd, 1);
        dup2(fd, 2);
        if (as_postgres)
            become_postgres();
        /* After the change of user, which clears it. */
        prctl(PR_SET_PDEATHSIG, SIGQUIT);
        if (getppid() != parent)
            _exit(127);
        if (!as_postgres || chdir("/tmp") == 0)
            execv(argv[0], argv);
        _exit(127);
    }
    for (size_t i = 0; argv[i] != NULL; i++)
        free(argv[i]);
    if (pid < 0)
        fail("cannot fork");
    return pid;
}

static void
run(bool as_postgres, const char *const *args)
{
    int status;
    pid_t pid = spawn(as_postgres, "/dev/null", args);

    while (waitpid(pid, &status, 0) < 0)
        ;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail(args[0]);
}

static void
copy(const char *from, const char *to)
{
    const char *const args[] = {"/bin/cp", "-a", from, to, NULL};

    run(false, args);
}

static void
initdb(struct pg_server *s)
{
    char program[MAX_PATH];
    const char *const args[] = {bin("initdb", program),
                                "-D",
                                s->data,
                                "--no-sync",
                                "--auth=trust",
                                "--username=lovage",
                                "--encoding=UTF8",
                                "--locale=C",
                                "--wal-segsize=1",
                                NULL};

    run(true, args);
}

/* A fresh cluster: made once under a lock, copied from then on. */
static void
make_data(struct pg_server *s)
{
    char version[MAX_PATH], cache[MAX_PATH], tmp[MAX_PATH + 16];
    const char *v = bin("", version) + strlen("/usr/lib/postgresql/");
    int lock;

    snprintf(cache, sizeof(cache), "build/pg-cache-%.*s-1",
             (int)strcspn(v, "/"), v);
    mkdir("build", 0777);
    lock = open("build/pg-cache.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (lock < 0 || flock(lock, LOCK_EX) != 0)
        fail("cannot lock build/pg-cache.lock");
    if (access(cache, F_OK) != 0) {
        initdb(s);
        snprintf(tmp, sizeof(tmp), "%s.%d", cache, (int)getpid());
        copy(s->data, tmp);
        if (rename(tmp, cache) != 0)
            fail("cannot keep the cluster under build/");
    } else {
        copy(cache, s->data);
    }
    close(lock);
}

static PGconn *
connect_to(struct pg_server *s)
{
    return PQconnectdb(s->url);
}

static void
stop(struct pg_server *s, int sig)
{
    int status;

    if (s->pid == 0)
        return;
    kill(s->pid, sig);
    kill(s->pid, SIGCONT);
    while (waitpid(s->pid, &status, 0) < 0)
        ;
    s->pid = 0;
}

void
pg_server_start(struct pg_server *s)
{
    char program[MAX_PATH], log[MAX_PATH + 8];
    const char *const args[] = {bin("postgres", program), "-D", s->data, NULL};

    snprintf(log, sizeof(log), "%s/log", s->dir);
    s->pid = spawn(true, log, args);
    for (int i = 0; i < START_TRIES; i++) {
        PGconn *conn = connect_to(s);
        bool up = PQstatus(conn) == CONNECTION_OK;

        PQfinish(conn);
        if (up)
            return;
        usleep(10000);
    }
    fail("the server does not start");
}

static int
free_port(void)
{
    struct sockaddr_in sin = {.sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sin);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (bind(fd, (struct sockaddr *)&sin, len) != 0 ||
        getsockname(fd, (struct sockaddr *)&sin, &len) != 0)
        fail("no free port");
    close(fd);
    return ntohs(sin.sin_port);
}

static void
configure(const struct pg_server *s, bool durable, bool tcp)
{
    char path[MAX_PATH + 32];
    FILE *f;

    snprintf(path, sizeof(path), "%s/postgresql.conf", s->data);
    f = fopen(path, "a");
    if (f == NULL)
        fail("cannot write postgresql.conf");
    fprintf(f, "unix_socket_directories = '%s'\n", s->dir);
    fprintf(f, "listen_addresses = '%s'\n", tcp ? "127.0.0.1" : "");
    fprintf(f, "port = %d\n", s->port);
    fprintf(f, "fsync = %s\n", durable ? "on" : "off");
    fprintf(f, "full_page_writes = %s\n", durable ? "on" : "off");
    fprintf(f, "shared_buffers = 64MB\nmax_connections = 40\n"
               "max_wal_size = 256MB\nlog_error_verbosity = terse\n");
    fclose(f);
}

static struct pg_server *
new_server(bool durable, bool tcp)
{
    struct pg_server *s = calloc(1, sizeof(*s));
    const struct passwd *pw = getpwnam("postgres");

    if (s == NULL)
        fail("no memory");
    s->port = tcp ? free_port() : 5432;
    snprintf(s->dir, sizeof(s->dir), "/tmp/lovage-pg-XXXXXX");
    if (mkdtemp(s->dir) == NULL)
        fail("cannot make a folder");
    if (geteuid() == 0 &&
        (pw == NULL || chown(s->dir, pw->pw_uid, pw->pw_gid) != 0))
        fail("there is no user postgres");
    snprintf(s->data, sizeof(s->data), "%s/data", s->dir);
    snprintf(s->url, sizeof(s->url),
             "postgresql:///postgres?host=%s&user=lovage&port=%d", s->dir,
             s->port);
    make_data(s);
    configure(s, durable, tcp);
    pg_server_start(s);
    return s;
}

struct pg_server *
pg_server_new(bool durable)
{
    return new_server(durable, false);
}

struct pg_server *
pg_server_new_tcp(void)
{
    return new_server(false, true);
}

struct pg_server *
pg_server_new_migrated(bool durable)
{
    struct pg_server *s = pg_server_new(durable);
    struct error err;
    int applied;

    if (migrate_run(s->url, &applied, &err) != ST_OK)
        fail(err.text);
    return s;
}

void
pg_server_free(struct pg_server *s)
{
    const char *const args[] = {"/bin/rm", "-rf", s->dir, NULL};

    stop(s, SIGQUIT);
    run(false, args);
    free(s);
}

const char *
pg_server_url(const struct pg_server *s)
{
    return s->url;
}

int
pg_server_port(const struct pg_server *s)
{
    return s->port;
}

void
pg_server_crash(struct pg_server *s)
{
    stop(s, SIGQUIT);
}

void
pg_server_freeze(struct pg_server *s, bool frozen)
{
    char text[MAX_PATH];
    DIR *proc = opendir("/proc");
    const struct dirent *e;
    int sig = frozen ? SIGSTOP : SIGCONT;

    /* The postmaster and its children: they are its direct ones. */
    kill(s->pid, sig);
    while (proc != NULL && (e = readdir(proc)) != NULL) {
        FILE *f;
        int pid, ppid;

        snprintf(text, sizeof(text), "/proc/%.20s/stat", e->d_name);
        f = fopen(text, "r");
        if (f == NULL)
            continue;
        if (fscanf(f, "%d %*s %*c %d", &pid, &ppid) == 2 && ppid == s->pid)
            kill(pid, sig);
        fclose(f);
    }
    closedir(proc);
}

char *
pg_server_value(struct pg_server *s, const char *sql)
{
    PGconn *conn = connect_to(s);
    PGresult *res = PQexec(conn, sql);
    char *value;

    if (PQresultStatus(res) != PGRES_TUPLES_OK &&
        PQresultStatus(res) != PGRES_COMMAND_OK) {
        fprintf(stderr, "%s: %s", sql, PQerrorMessage(conn));
        abort();
    }
    value = strdup(PQntuples(res) > 0 ? PQgetvalue(res, 0, 0) : "");
    PQclear(res);
    PQfinish(conn);
    return value;
}

void
pg_server_run(struct pg_server *s, const char *sql)
{
    free(pg_server_value(s, sql));
}

long
pg_server_number(struct pg_server *s, const char *sql)
{
    char *value = pg_server_value(s, sql);
    long n = strtol(value, NULL, 10);

    free(value);
    return n;
}
