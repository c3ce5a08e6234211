# SPDX-License-Identifier: Apache-2.0
"""78 hostile framings: each gets the status it should, and nothing that is
hidden behind it is answered as a request of its own."""

import pytest
import wire

BODY = b'{"name": "n", "task": "t"}'
SIZE = str(len(BODY)).encode()
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"  # would be answered 404
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
CL = b"Content-Length: " + SIZE
TE = b"Transfer-Encoding: chunked"


def post(*headers, body=b"", version=b"HTTP/1.1", host=b"Host: x"):
    lines = [b"POST /api/v1/tasks " + version]
    if host:
        lines.append(host)
    return b"\r\n".join([*lines, *headers, b"", b""]) + body


def get(*headers, target=b"/healthz", version=b"HTTP/1.1", host=b"Host: x"):
    lines = [b"GET " + target + b" " + version]
    if host:
        lines.append(host)
    return b"\r\n".join([*lines, *headers, b"", b""])


def chunks(text):
    return post(TE, body=text)


CLOSE = b"Connection: close"
MANY = [b"X-%d: y" % i for i in range(63)]  # and Host: 64 headers

# name, bytes, the statuses of all answers
CASES = [
    # where the body ends is said twice
    ("cl-te", post(CL, TE, body=CHUNKED), [400]),
    ("te-cl", post(TE, CL, body=CHUNKED), [400]),
    ("te-cl0", post(TE, b"Content-Length: 0", body=CHUNKED), [400]),
    ("cl-2-0", post(CL, b"Content-Length: 0", body=BODY), [400]),
    ("cl-0-2", post(b"Content-Length: 0", CL, body=BODY), [400]),
    ("cl-equal", post(CL, CL, body=BODY), [400]),
    ("cl-equal-case", post(CL, CL.lower(), body=BODY), [400]),
    ("cl-list", post(b"Content-Length: 2, 2", body=b"{}"), [400]),
    ("te-te", post(TE, TE, body=CHUNKED), [400]),
    (
        "te-identity-te",
        post(b"Transfer-Encoding: identity", TE, body=CHUNKED),
        [400],
    ),
    (
        "te-te-identity",
        post(TE, b"Transfer-Encoding: identity", body=CHUNKED),
        [400],
    ),
    (
        "te-identity-cl",
        post(b"Transfer-Encoding: identity", CL, body=BODY),
        [400],
    ),
    ("te-te-cl", post(TE, TE, CL, body=CHUNKED), [400]),
    # a length that is none
    ("cl-plus", post(b"Content-Length: +2", body=b"{}"), [400]),
    ("cl-minus", post(b"Content-Length: -2", body=b"{}"), [400]),
    ("cl-abc", post(b"Content-Length: 2abc", body=b"{}"), [400]),
    ("cl-hex", post(b"Content-Length: 0x2", body=b"{}"), [400]),
    ("cl-exp", post(b"Content-Length: 1e3", body=b"{}"), [400]),
    ("cl-float", post(b"Content-Length: 2.0", body=b"{}"), [400]),
    ("cl-empty", post(b"Content-Length:", body=b"{}"), [400]),
    ("cl-blank-inside", post(b"Content-Length: 2 6", body=BODY), [400]),
    ("cl-2^63", post(b"Content-Length: 9223372036854775808"), [400]),
    ("cl-2^64+2", post(b"Content-Length: 18446744073709551618"), [400]),
    ("cl-20MB", post(b"Content-Length: 20971520"), [413]),
    # a coding that is none, or not ours
    ("te-gzip", post(b"Transfer-Encoding: gzip", body=b"x"), [501]),
    (
        "te-gzip-chunked",
        post(b"Transfer-Encoding: gzip, chunked", body=CHUNKED),
        [501],
    ),
    (
        "te-chunked-identity",
        post(b"Transfer-Encoding: chunked, identity", body=CHUNKED),
        [501],
    ),
    ("te-xchunked", post(b"Transfer-Encoding: xchunked", body=CHUNKED), [501]),
    ("te-quoted", post(b'Transfer-Encoding: "chunked"', body=CHUNKED), [501]),
    ("te-empty", post(b"Transfer-Encoding:", body=CHUNKED), [400]),
    ("te-vtab", post(b"Transfer-Encoding: \x0bchunked", body=CHUNKED), [400]),
    ("te-1.0", post(TE, body=CHUNKED, version=b"HTTP/1.0"), [400]),
    # a header that one parser sees and another does not
    ("te-blank-colon", post(b"Transfer-Encoding : chunked", body=CHUNKED), [400]),
    ("cl-blank-colon", post(b"Content-Length : 26", body=BODY), [400]),
    ("tab-colon", post(b"X\t: y", CL, body=BODY), [400]),
    ("empty-name", post(b": a", TE, body=CHUNKED), [400]),
    ("empty-name-cl", post(b": a", CL, body=BODY), [400]),
    ("no-colon", post(b"Hello", CL, body=BODY), [400]),
    ("folded", post(b"X: a", b" b", CL, body=BODY), [400]),
    ("folded-tab", post(b"X: a", b"\tb", CL, body=BODY), [400]),
    ("folded-te", post(b"Transfer-Encoding:", b" chunked", body=CHUNKED), [400]),
    ("first-line-folded", post(b"X: y", host=b" Host: x"), [400]),
    ("te-header-65", post(*MANY, TE, body=CHUNKED), [431]),
    ("authorization-header-68", get(*MANY, b"a: b", b"Authorization: x"), [431]),
    ("name-high-byte", get(b"X\xff: y"), [400]),
    ("name-nul", get(b"X\0: y"), [400]),
    ("value-nul", get(b"X: y\0z"), [400]),
    ("value-del", get(b"X: y\x7f"), [400]),
    # line ends
    ("lf-request-line", b"GET /healthz HTTP/1.1\nHost: x\r\n\r\n", [400]),
    ("lf-header", b"GET /healthz HTTP/1.1\r\nHost: x\nX: y\r\n\r\n", [400]),
    ("lf-end", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\n", [400]),
    ("lf-only", b"GET /healthz HTTP/1.1\nHost: x\n\n", [400]),
    ("cr-only", b"GET /healthz HTTP/1.1\rHost: x\r\r", [400]),
    ("cr-in-value", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n", [400]),
    ("two-empty-lines-first", b"\r\n\r\n" + get(CLOSE), [400]),
    # chunks
    ("chunk-0x", chunks(b"0x2\r\n{}\r\n0\r\n\r\n"), [400]),
    ("chunk-plus", chunks(b"+2\r\n{}\r\n0\r\n\r\n"), [400]),
    ("chunk-17-digits", chunks(b"00000000000000002\r\n{}\r\n0\r\n\r\n"), [400]),
    ("chunk-extension", chunks(b"2;a=b\r\n{}\r\n0\r\n\r\n"), [400]),
    ("chunk-lf", chunks(b"2\n{}\n0\n\n"), [400]),
    ("chunk-too-long", chunks(b"2\r\n{}}\r\n0\r\n\r\n"), [400]),
    ("chunk-trailer", chunks(b"2\r\n{}\r\n0\r\nX: y\r\n\r\n"), [400]),
    ("chunk-huge", chunks(b"ffffffff\r\n{}\r\n"), [413]),
    # the request line and Host
    ("no-host", get(host=None), [400]),
    ("two-hosts", get(b"Host: y"), [400]),
    ("two-authorizations", get(b"Authorization: a", b"Authorization: b"), [400]),
    ("percent-00", get(CLOSE, target=b"/api/v1/tasks/%00"), [400]),
    ("backslash", get(target=b"/api\\v1/tasks"), [400]),
    ("absolute-form", get(target=b"http://evil/healthz"), [400]),
    ("version-x", get(version=b"HTTP/1.1 x"), [400]),
    ("version-1.2", get(version=b"HTTP/1.2"), [505]),
    ("version-2.0", get(version=b"HTTP/2.0"), [505]),
    ("head-20k", get(b"X: " + b"y" * 20480), [400]),
    ("target-20k", get(target=b"/" + b"a" * 20480), [400]),
    ("tls-hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"r" * 50, [400]),
    ("http2-preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400]),
    ("expect-other", post(b"Expect: 200-ok", CL, body=BODY), [417]),
    # what is right is answered: pipelined requests, one after the other
    ("pipelined", get() + post(CL, body=BODY) + get(CLOSE), [200, 201, 200]),
]


def test_there_are_78_cases():
    assert len(CASES) == len({name for name, _, _ in CASES}) == 78


@pytest.mark.parametrize(
    "data, statuses", [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_hostile(api, data, statuses):
    refused = statuses[-1] >= 400
    answers, closed = wire.exchange(api.port, data + HIDDEN * refused)
    assert [a.status for a in answers] == statuses
    assert closed
    if refused:
        assert answers[-1].headers["connection"] == "close"
        assert set(answers[-1].json()) == {"detail"}


def test_a_refusal_is_the_same_byte_by_byte(api):
    data = post(b"Transfer-Encoding : chunked", body=CHUNKED)
    with wire.connect(api.port) as s:
        for i in range(len(data)):
            try:
                s.sendall(data[i : i + 1])
            except OSError:
                break
        answers, closed = wire.read_all(s)
    assert [a.status for a in wire.split(answers)] == [400] and closed


def test_chunks_are_read_however_they_are_cut(api):
    half = len(BODY) // 2
    body = b"%x\r\n%s\r\n%X\r\n%s\r\n0\r\n\r\n" % (
        half,
        BODY[:half],
        len(BODY) - half,
        BODY[half:],
    )
    data = post(TE, body=body) + get(CLOSE)
    for step in (1, 7, len(data)):
        with wire.connect(api.port) as s:
            for i in range(0, len(data), step):
                s.sendall(data[i : i + step])
            answers, closed = wire.read_all(s)
        assert [a.status for a in wire.split(answers)] == [201, 200] and closed


def test_a_body_that_ends_early_is_400(api):
    with wire.connect(api.port) as s:
        s.sendall(post(b"Content-Length: 100", body=BODY))
        s.shutdown(1)
        answers, closed = wire.read_all(s)
    assert [a.status for a in wire.split(answers)] == [400] and closed


def test_a_client_that_expects_is_told_to_go_on(api):
    with wire.connect(api.port) as s:
        s.sendall(post(b"Expect: 100-continue", CL, CLOSE))
        assert s.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        s.sendall(BODY)
        answers, closed = wire.read_all(s)
    assert [a.status for a in wire.split(answers)] == [201] and closed


def test_nothing_of_a_body_too_large_is_read(api):
    with wire.connect(api.port) as s:
        s.sendall(post(b"Content-Length: 20971520", b"Expect: 100-continue"))
        answers, closed = wire.read_all(s)
    assert [a.status for a in wire.split(answers)] == [413] and closed


def test_a_refused_body_does_not_reset_the_connection(api):
    """The answer arrives although the client is still sending."""
    with wire.connect(api.port) as s:
        s.sendall(post(b"Content-Length: 20971520"))
        s.sendall(b"x" * 300000)
        answers, closed = wire.read_all(s)
    assert [a.status for a in wire.split(answers)] == [413] and closed
