/* SPDX-License-Identifier: Apache-2.0 */
/* Streams over TLS, against openssl's own server with a CA made for the test.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/stream_client.h"

static char dir[] = "/tmp/lovage-tls-XXXXXX", ca[64];
static uv_loop_t loop;
static struct stream_client cl;
static struct stream_tls tls;
static struct stream_opts opts;
static pid_t server;
static int server_stdin;

/* A CA, a certificate that it made for localhost, and a file of 3 MiB. */
static const char make_files[] =
    "key() { openssl ecparam -name prime256v1 -genkey -noout -out $1; }\n"
    "key ca.key && key a.key &&\n"
    "openssl req -x509 -new -key ca.key -out ca.pem -days 2 -subj /CN=ca &&\n"
    "openssl req -new -key a.key -out a.csr -subj /CN=x &&\n"
    "echo subjectAltName=DNS:localhost >ext &&\n"
    "openssl x509 -req -in a.csr -CA ca.pem -CAkey ca.key -CAcreateserial \\\n"
    "  -out a.pem -days 2 -extfile ext &&\n"
    "echo subjectAltName=IP:127.0.0.1,DNS:other.example >ext &&\n"
    "openssl x509 -req -in a.csr -CA ca.pem -CAkey ca.key -CAcreateserial \\\n"
    "  -out ip.pem -days 2 -extfile ext &&\n"
    "dd if=/dev/zero of=big bs=1M count=3";

/* in: its standard input, or -1: nothing. */
static pid_t
shell(const char *script, int in)
{
    pid_t pid = fork();

    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);

        dup2(in >= 0 ? in : null, 0);
        dup2(null, 2);
        if (chdir(dir) != 0)
            _exit(1);
        execl("/bin/sh", "sh", "-c", script, (char *)NULL);
        _exit(1);
    }
    return pid;
}

static void
begin(void)
{
    int status;

    signal(SIGPIPE, SIG_IGN);
    cr_assert_not_null(mkdtemp(dir));
    cr_assert_gt(waitpid(shell(make_files, -1), &status, 0), 0);
    cr_assert_eq(status, 0, "openssl could not make certificates");
    snprintf(ca, sizeof(ca), "%s/ca.pem", dir);
    tls = (struct stream_tls){.ca_file = ca, .verify = true};
    opts = (struct stream_opts){.host = "localhost", .tls = &tls};
    uv_loop_init(&loop);
}

static void
end(void)
{
    char script[100];

    stream_client_fini(&cl);
    stream_loop_end(&loop);
    if (server > 0) {
        kill(server, SIGKILL);
        waitpid(server, NULL, 0);
    }
    snprintf(script, sizeof(script), "rm -rf %s", dir);
    waitpid(shell(script, -1), NULL, 0);
}

TestSuite(stream_tls, .init = begin, .fini = end);

static int
listen_somewhere(int *fd)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t n = sizeof(a);

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(*fd, (struct sockaddr *)&a, n), 0);
    cr_assert_eq(listen(*fd, 8), 0);
    getsockname(*fd, (struct sockaddr *)&a, &n);
    return ntohs(a.sin_port);
}

static bool
answers(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool ok;

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ok = connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
    close(fd);
    return ok;
}

/* Starts openssl's server in the mode that flags tell. */
static void
serve(const char *cert, const char *flags)
{
    char script[300];
    int fd, fds[2];

    opts.port = listen_somewhere(&fd);
    close(fd);
    cr_assert_eq(pipe(fds), 0);
    snprintf(script, sizeof(script),
             "exec openssl s_server -accept 127.0.0.1:%d -cert %s -key a.key "
             "-quiet %s >out",
             opts.port, cert, flags);
    server = shell(script, fds[0]);
    server_stdin = fds[1]; /* open until the end, or the server ends */
    for (int i = 0; i < 500 && !answers(opts.port); i++)
        stream_loop_for(&loop, 10);
}

static struct slice
slice(const char *s)
{
    return (struct slice){s, strlen(s)};
}

Test(stream_tls, a_verified_peer_is_spoken_with)
{
    serve("a.pem", "-rev");
    stream_client_open(&cl, &loop, &opts);
    stream_client_write(&cl, slice("abc\n"));
    stream_loop_until_size(&loop, &cl.got.len, 4);
    cr_expect_eq(memcmp(cl.got.data, "cba\n", 4), 0);
    stream_client_write(&cl, slice("12345\n"));
    stream_loop_until_size(&loop, &cl.got.len, 10);
    cr_expect_eq(stream_backlog(cl.s), 0);
}

Test(stream_tls, tls_1_2_will_do)
{
    serve("a.pem", "-rev -tls1_2");
    stream_client_open(&cl, &loop, &opts);
    stream_client_write(&cl, slice("abc\n"));
    stream_loop_until_size(&loop, &cl.got.len, 4);
}

Test(stream_tls, older_tls_will_not)
{
    serve("a.pem", "-rev -tls1_1 -cipher ALL:@SECLEVEL=0");
    stream_client_open(&cl, &loop, &opts);
    stream_loop_until(&loop, &cl.lost, 1);
    cr_expect_eq(cl.connected, 0);
}

Test(stream_tls, an_address_is_verified_as_an_address)
{
    opts.host = "127.0.0.1";
    serve("ip.pem", "-rev");
    stream_client_open(&cl, &loop, &opts);
    stream_loop_until(&loop, &cl.connected, 1);
}

Test(stream_tls, another_hosts_certificate_is_denied)
{
    serve("ip.pem", "-rev");
    stream_client_open(&cl, &loop, &opts);
    stream_client_write(&cl, slice("secret\n"));
    stream_loop_until(&loop, &cl.lost, 1);
    cr_expect_eq(cl.connected, 0);
    cr_expect_eq(cl.why.code, ST_DENIED);
    cr_expect_not_null(
        strstr(cl.why.text, "certificate refused: hostname mismatch"), "%s",
        cl.why.text);
}

Test(stream_tls, a_name_does_not_stand_for_an_address)
{
    opts.host = "127.0.0.1";
    serve("a.pem", "-rev");
    stream_client_open(&cl, &loop, &opts);
    stream_loop_until(&loop, &cl.lost, 1);
    cr_expect_eq(cl.why.code, ST_DENIED);
    cr_expect_not_null(strstr(cl.why.text, "IP address mismatch"));
}

Test(stream_tls, an_unknown_ca_is_denied)
{
    tls.ca_file = NULL; /* the system's */
    serve("a.pem", "-rev");
    stream_client_open(&cl, &loop, &opts);
    stream_loop_until(&loop, &cl.lost, 1);
    cr_expect_eq(cl.why.code, ST_DENIED);
    cr_expect_eq(cl.connected, 0);
}

Test(stream_tls, unverified_any_certificate_will_do)
{
    tls = (struct stream_tls){.verify = false};
    opts.host = "127.0.0.1";
    serve("a.pem", "-rev");
    stream_client_open(&cl, &loop, &opts);
    stream_client_write(&cl, slice("abc\n"));
    stream_loop_until_size(&loop, &cl.got.len, 4);
}

Test(stream_tls, a_client_certificate_is_shown)
{
    char cert[64], key[64];

    snprintf(cert, sizeof(cert), "%s/ip.pem", dir);
    snprintf(key, sizeof(key), "%s/a.key", dir);
    serve("a.pem", "-rev -Verify 1 -verify_return_error -CAfile ca.pem");
    tls.cert_file = cert;
    tls.key_file = key;
    stream_client_open(&cl, &loop, &opts);
    stream_client_write(&cl, slice("abc\n"));
    stream_loop_until_size(&loop, &cl.got.len, 4);
}

Test(stream_tls, megabytes_arrive_whole_also_with_pauses)
{
    serve("a.pem", "-HTTP");
    stream_client_open(&cl, &loop, &opts);
    stream_client_write(&cl, slice("GET /big HTTP/1.0\r\n\r\n"));
    for (int i = 0; cl.lost == 0; i++) {
        uv_run(&loop, UV_RUN_ONCE);
        if (cl.s != NULL && i % 3 == 0) {
            stream_pause(cl.s, true);
            stream_loop_for(&loop, 1);
            if (cl.s != NULL)
                stream_pause(cl.s, false);
        }
    }
    /* openssl takes "big" for a file of headers and contents. */
    cr_expect_geq(cl.got.len, 3u << 20);
    cr_expect_not_null(strstr(cl.why.text, "closed by the peer"));
}

Test(stream_tls, closed_flushed_all_of_it_arrives)
{
    const size_t size = 2 << 20;
    char *bytes = malloc(size), path[64];
    struct stat out = {.st_size = 0};

    memset(bytes, 'x', size);
    serve("a.pem", "");
    stream_client_open(&cl, &loop, &opts);
    stream_client_write(&cl, (struct slice){bytes, size});
    stream_close_flushed(cl.s, 5000);
    cl.s = NULL;
    uv_run(&loop, UV_RUN_DEFAULT);
    snprintf(path, sizeof(path), "%s/out", dir);
    for (int i = 0; i < 500 && out.st_size < (off_t)size; i++) {
        stream_loop_for(&loop,
                        10); /* the server writes it after it has closed */
        cr_assert_eq(stat(path, &out), 0);
    }
    cr_expect_eq(out.st_size, (off_t)size);
    free(bytes);
}

Test(stream_tls, a_peer_that_never_answers_is_given_up_in_time)
{
    int fd;

    opts.port = listen_somewhere(&fd);
    opts.host = "127.0.0.1";
    opts.connect_timeout_ms = 100;
    stream_client_open(&cl, &loop, &opts);
    stream_loop_until(&loop, &cl.lost, 1);
    cr_expect_eq(cl.why.code, ST_TIMEOUT);
    cr_expect_not_null(
        strstr(cl.why.text, "the TLS handshake took more than 100 ms"));
    close(fd);
}

Test(stream_tls, a_peer_that_speaks_no_tls_is_lost)
{
    int fd, peer;

    opts.port = listen_somewhere(&fd);
    opts.host = "127.0.0.1";
    stream_client_open(&cl, &loop, &opts);
    stream_loop_for(&loop, 20);
    peer = accept(fd, NULL, NULL);
    cr_assert_geq(peer, 0);
    cr_assert_eq(write(peer, "-ERR hello\r\n-ERR hello\r\n", 24), 24);
    stream_loop_until(&loop, &cl.lost, 1);
    cr_expect_eq(cl.why.code, ST_LOST);
    cr_expect_not_null(strstr(cl.why.text, "TLS handshake: "));
    close(peer);
    close(fd);
}

Test(stream_tls, closed_when_connected_it_leaves_nothing)
{
    cl.close_when_connected = true;
    serve("a.pem", "-rev");
    stream_client_open(&cl, &loop, &opts);
    stream_loop_until(&loop, &cl.connected, 1);
}

Test(stream_tls, closed_on_data_it_leaves_nothing)
{
    cl.close_on_data = true;
    serve("a.pem", "-rev");
    stream_client_open(&cl, &loop, &opts);
    stream_client_write(&cl, slice("abc\n"));
    stream_loop_until(&loop, &cl.pieces, 1);
}

Test(stream_tls, files_that_cannot_be_used_are_told_at_once_by_name)
{
    static const struct stream_events ev;
    struct stream *s = NULL;
    struct error err;
    char key[64];

    opts.port = 1;
    tls.ca_file = "/no/such/ca";
    cr_expect_eq(stream_open(&s, &loop, &opts, &ev, NULL, &err), ST_INVALID);
    cr_expect_not_null(strstr(err.text, "CA file /no/such/ca: "), "%s",
                       err.text);
    tls.ca_file = ca;
    tls.cert_file = "/no/such/cert";
    cr_expect_eq(stream_open(&s, &loop, &opts, &ev, NULL, &err), ST_INVALID);
    cr_expect_not_null(strstr(err.text, "certificate /no/such/cert: "));
    snprintf(key, sizeof(key), "%s/ca.key", dir); /* not the certificate's */
    tls.cert_file = ca;
    tls.key_file = "/no/such/key";
    cr_expect_eq(stream_open(&s, &loop, &opts, &ev, NULL, &err), ST_INVALID);
    cr_expect_not_null(strstr(err.text, "key /no/such/key: "));
    cr_expect_null(s);
}
