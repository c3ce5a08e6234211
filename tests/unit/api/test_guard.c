/* SPDX-License-Identifier: Apache-2.0 */
#include "api/guard.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <string.h>

static struct slice
text(const char *s)
{
    return (struct slice){s, strlen(s)};
}

/* The status that a whole head is refused with; 0: it is taken; -2: it is not
 * complete. */
static int
verdict(struct slice head, struct http_request *rq)
{
    struct guard_refusal why = {0, NULL};
    size_t seen = 0;
    long end = guard_scan(head.ptr, head.len, &seen, &why);

    if (end == 0)
        return -2;
    if (end > 0)
        guard_read((struct slice){head.ptr, (size_t)end}, 1000, rq, &why);
    return why.status;
}

static int
answer(const char *head)
{
    struct http_request rq;

    return verdict(text(head), &rq);
}

#define HOST "Host: a\r\n"

Test(guard, a_plain_request_is_read)
{
    static const char head[] =
        "POST /api/v1/tasks?limit=5&a=b HTTP/1.1\r\n" HOST
        "Content-Length:  12 \r\nX-Empty:\r\n\r\n";
    struct http_request rq;

    cr_assert_eq(verdict(text(head), &rq), 0);
    cr_assert_eq(rq.method, HTTP_POST);
    cr_assert_eq(rq.path.len, strlen("/api/v1/tasks"));
    cr_assert_eq(memcmp(rq.query.ptr, "limit=5&a=b", rq.query.len), 0);
    cr_assert_eq(rq.content_length, 12);
    cr_assert(rq.keep_alive);
    cr_assert_eq(http_header(&rq, "x-empty").len, 0);
    cr_assert_not_null(http_header(&rq, "X-EMPTY").ptr);
    cr_assert_null(http_header(&rq, "x-none").ptr);
}

struct line {
    char head[240];
    int status;
};

static struct line lines[] = {
    {"GET / HTTP/1.1\r\n" HOST "\r\n", 0},
    {"\r\nGET / HTTP/1.1\r\n" HOST "\r\n", 0},
    {"\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", 400},
    {" GET / HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET  / HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET / HTTP/1.1 \r\n" HOST "\r\n", 400},
    {"GET / HTTP/1.1 x\r\n" HOST "\r\n", 400},
    {"GET\t/ HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET / HTTP/1.2\r\n" HOST "\r\n", 505},
    {"GET / HTTP/2.0\r\n" HOST "\r\n", 505},
    {"GET / http/1.1\r\n" HOST "\r\n", 400},
    {"GET / HTTP/1.1\n" HOST "\r\n", 400},
    {"GET / HTTP/1.1\r" HOST "\r\n", 400},
    {"GET /a\\b HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /#a HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET http://a/ HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET * HTTP/1.1\r\n" HOST "\r\n", 400},
    {"PRI * HTTP/2.0\r\n\r\n", 400},
    {"G(T / HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET / HTTP/1.1\r\n\r\n", 400},
    {"GET / HTTP/1.0\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\n" HOST HOST "\r\n", 400},
    {"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "A: b\r\n c\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "A : b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST ": b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "A\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "A: b\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "A: b\rC: d\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 1000\r\n\r\n", 0},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 1001\r\n\r\n", 413},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: +2\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: -2\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 2abc\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 0x2\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 1e3\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 2, 2\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 9223372036854775808\r\n\r\n",
     400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 2\r\nContent-Length: "
     "2\r\n\r\n",
     400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 2\r\nTransfer-Encoding: "
     "chunked\r\n\r\n",
     400},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", 0},
    {"POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding : chunked\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n",
     501},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n", 501},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n"
     "Transfer-Encoding: identity\r\n\r\n",
     400},
    {"GET / HTTP/1.1\r\n" HOST "Expect: 200-ok\r\n\r\n", 417},
    {"GET / HTTP/1.1\r\n" HOST "Authorization: a\r\nauthorization: b\r\n"
     "\r\n",
     400},
    {"\x16\x03\x01", 400},
    {"GET / HTTP/1.1\r\n" HOST, -2},
};

ParameterizedTestParameters(guard, what_could_be_read_in_two_ways_is_refused)
{
    return cr_make_param_array(struct line, lines,
                               sizeof(lines) / sizeof(lines[0]));
}

ParameterizedTest(struct line *l, guard,
                  what_could_be_read_in_two_ways_is_refused)
{
    cr_assert_eq(answer(l->head), l->status, "%d, not %d: %s", answer(l->head),
                 l->status, l->head);
}

Test(guard, every_cut_of_a_head_gives_the_same_verdict)
{
    static const char head[] = "GET /a HTTP/1.1\r\nHost: a\r\nB: c\r\n\r\nrest";
    size_t whole = sizeof(head) - 1 - 4;

    for (size_t cut = 0; cut <= whole; cut++) {
        struct guard_refusal why = {0, NULL};
        size_t seen = 0;
        long first = guard_scan(head, cut, &seen, &why);

        if (cut < whole)
            cr_assert_eq(first, 0, "cut at %zu", cut);
        cr_assert_eq(guard_scan(head, sizeof(head) - 1, &seen, &why),
                     (long)whole, "cut at %zu", cut);
    }
}

Test(guard, a_lone_cr_is_seen_across_a_cut)
{
    struct guard_refusal why = {0, NULL};
    size_t seen = 0;

    cr_assert_eq(guard_scan("GET / HTTP/1.1\rX", 15, &seen, &why), 0);
    cr_assert_eq(guard_scan("GET / HTTP/1.1\rX", 16, &seen, &why), -1);
    cr_assert_eq(why.status, 400);
}

Test(guard, the_65th_header_is_one_too_many)
{
    struct http_request rq;
    struct buf b;

    buf_init(&b, GUARD_HEAD_MAX);
    buf_addf(&b, "GET / HTTP/1.1\r\n" HOST);
    for (int i = 1; i < 64; i++)
        buf_addf(&b, "X-%d: y\r\n", i);
    buf_addf(&b, "\r\n");
    cr_assert_eq(verdict((struct slice){b.data, b.len}, &rq), 0);
    cr_assert_eq(rq.header_count, 64);
    b.len -= 2;
    buf_addf(&b, "Transfer-Encoding: chunked\r\n\r\n");
    cr_assert_eq(verdict((struct slice){b.data, b.len}, &rq), 431);
    buf_fini(&b);
}

Test(guard, a_head_that_never_ends_is_refused)
{
    static char head[GUARD_HEAD_MAX];
    struct guard_refusal why = {0, NULL};
    size_t seen = 0;

    memset(head, 'a', sizeof(head));
    cr_assert_eq(guard_scan(head, sizeof(head) - 1, &seen, &why), 0);
    cr_assert_eq(guard_scan(head, sizeof(head), &seen, &why), -1);
    cr_assert_eq(why.status, 400);
}

Test(guard, a_client_says_whether_it_stays)
{
    struct http_request rq;

    cr_assert_eq(
        verdict(text("GET / HTTP/1.1\r\n" HOST "Connection: te, Close\r\n\r\n"),
                &rq),
        0);
    cr_assert_not(rq.keep_alive);
    cr_assert_eq(verdict(text("GET / HTTP/1.0\r\n\r\n"), &rq), 0);
    cr_assert_not(rq.keep_alive);
    cr_assert_eq(
        verdict(text("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), &rq),
        0);
    cr_assert(rq.keep_alive);
}

Test(guard, a_chunk_size_is_hexadecimal_digits_and_nothing_else)
{
    static const char *const bad[] = {"",   "0x2", "+2", "-2",       "2;a=b",
                                      " 2", "g",   "2 ", "123456789"};
    static const char odd[] = {0x12, 0x11};

    cr_assert_eq(guard_chunk_size(text("0")), 0);
    cr_assert_eq(guard_chunk_size(text("fF")), 255);
    cr_assert_eq(guard_chunk_size(text("ffffffff")), 4294967295);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_eq(guard_chunk_size(text(bad[i])), -1, "%s", bad[i]);
    cr_assert_eq(guard_chunk_size((struct slice){odd, 2}), -1);
}
