# SPDX-License-Identifier: Apache-2.0
"""Clients that send slowly, or nothing, hold a thread only so long."""

import contextlib
import socket
import threading
import time

import pytest
import servers
import wire

CLIENTS = 60
TIMEOUT = 3.0  # the api's api_request_timeout (conftest.py)
HEAD = b"POST /api/v1/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"


class Trickle(threading.Thread):
    """One byte every 100 ms until the server closes; when it did, and what it
    said."""

    def __init__(self, port, first, byte):
        super().__init__(daemon=True)
        self.port, self.first, self.byte = port, first, byte
        self.took = None
        self.statuses = None

    def run(self):
        with wire.connect(self.port) as s:
            begin = time.monotonic()
            s.sendall(self.first)
            s.settimeout(0.1)
            data = b""
            while time.monotonic() - begin < 30:
                try:
                    piece = s.recv(4096)
                    data += piece
                    if not piece:
                        break
                except TimeoutError:
                    try:
                        s.sendall(self.byte)
                    except OSError:
                        break
                except OSError:
                    break
            self.took = time.monotonic() - begin
            self.statuses = [a.status for a in wire.split(data)]


@pytest.mark.parametrize(
    "first, byte",
    [(HEAD + b"\r\n", b"x"), (HEAD + b"X: ", b"y"), (HEAD, b"")],
    ids=["body", "head", "silent"],
)
def test_slow_clients_are_cut_off_and_hold_up_nobody(api, call, first, byte):
    slow = [Trickle(api.port, first, byte) for _ in range(CLIENTS)]
    for t in slow:
        t.start()
    time.sleep(0.5)
    begin = time.monotonic()
    assert call("GET", "/healthz").status == 200
    assert time.monotonic() - begin < 1.0 * servers.SLOW
    for t in slow:
        t.join(40)
    assert {tuple(t.statuses) for t in slow} == {(408,)}
    assert max(t.took for t in slow) < TIMEOUT + 2.0 * servers.SLOW


def test_more_idle_connections_than_threads_do_not_stop_the_server(api, call):
    """A thread waits at most the keep-alive time for an idle client."""
    idle = [wire.connect(api.port) for _ in range(CLIENTS)]
    try:
        begin = time.monotonic()
        assert call("GET", "/healthz").status == 200
        assert time.monotonic() - begin < 1.0 * servers.SLOW
    finally:
        for s in idle:
            s.close()


def test_threads_that_are_all_taken_are_not_kept_by_keep_alive(redis, shared_database):
    env = {"LOVAGE_API_THREADS": "4"}
    with servers.Api(redis.url, shared_database, env=env) as api:
        request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        begin = time.monotonic()
        clients = [wire.connect(api.port) for _ in range(12)]
        for s in clients:
            s.sendall(request)
        for s in clients:
            assert s.recv(100).startswith(b"HTTP/1.1 200 ")
            s.close()
        assert time.monotonic() - begin < 3 * servers.SLOW


def read_slowly(port, path, ended):
    """20 kB/s, until the server closes or the test ends."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", port))
        s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        with contextlib.suppress(OSError):
            while s.recv(2048) and not ended.wait(0.1):
                pass


def test_clients_that_read_slowly_do_not_keep_their_threads(redis, shared_database):
    row = {"name": "x", "task": "slow.reader", "args": ["y" * 60000]}
    path = "/api/v1/tasks?task=slow.reader&limit=100"  # 6 MB: 6 s more
    ended = threading.Event()
    env = {"LOVAGE_API_THREADS": "2", "LOVAGE_API_REQUEST_TIMEOUT": TIMEOUT}
    with servers.Api(redis.url, shared_database, env=env) as api:
        for _ in range(100):
            assert wire.request(api.port, "POST", "/api/v1/tasks", row).status == 201
        readers = [
            threading.Thread(target=read_slowly, args=(api.port, path, ended))
            for _ in range(2)
        ]
        for t in readers:
            t.start()
        time.sleep(1)
        begin = time.monotonic()
        answer = wire.request(api.port, "GET", "/healthz", timeout=20 * servers.SLOW)
        ended.set()
        assert answer.status == 200
        assert 2 < time.monotonic() - begin < (TIMEOUT + 8) * servers.SLOW
        for t in readers:
            t.join()
