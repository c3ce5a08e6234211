# SPDX-License-Identifier: Apache-2.0
"""HTTP over a plain socket: sends any bytes, reads all answers."""

import json
import socket


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.body[:80]!r}>"


def connect(port, timeout=10.0):
    return socket.create_connection(("127.0.0.1", port), timeout)


def read_all(s, timeout=10.0):
    """The bytes until the server closes; the second value says if it did."""
    s.settimeout(timeout)
    data = b""
    try:
        while True:
            piece = s.recv(65536)
            if not piece:
                return data, True
            data += piece
    except socket.timeout:
        return data, False
    except ConnectionResetError:
        return data, True


def split(data, head_only=False):
    """The answers in a stream, by Content-Length."""
    answers = []
    while data:
        head, sep, data = data.partition(b"\r\n\r\n")
        assert sep, f"an answer without an end: {head!r}"
        first, *lines = head.decode("latin-1").split("\r\n")
        version, status = first.split(" ")[:2]
        assert version == "HTTP/1.1", first
        headers = {}
        for line in lines:
            name, colon, value = line.partition(": ")
            assert colon, line
            headers[name.lower()] = value
        size = int(headers.get("content-length", 0))
        if status == "100" or head_only:
            size = 0
        assert len(data) >= size, f"a short body: {data!r}"
        answers.append(Answer(int(status), headers, data[:size]))
        data = data[size:]
    return answers


def exchange(port, data, timeout=10.0, head_only=False):
    """Sends bytes; all answers, and whether the server closed."""
    with connect(port) as s:
        s.sendall(data)
        received, closed = read_all(s, timeout)
    return split(received, head_only), closed


def request(port, method, path, body=None, headers=None, timeout=20.0):
    """One well-formed request on a connection of its own."""
    if isinstance(body, (dict, list)):
        body = json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close"]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    lines += [f"{k}: {v}" for k, v in (headers or {}).items()]
    data = "\r\n".join(lines + ["", ""]).encode("latin-1") + (body or b"")
    answers, closed = exchange(port, data, timeout, method == "HEAD")
    assert closed and len(answers) == 1, (answers, closed)
    return answers[0]
