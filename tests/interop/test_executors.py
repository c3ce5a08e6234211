# SPDX-License-Identifier: Apache-2.0
"""The processes that run blocking tasks: what they inherit, when they end."""

import http.server
import os
import signal
import threading

import pytest

import servers
from conftest import Caller  # of this folder


class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # the connection is kept

    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args):
        pass


@pytest.fixture
def page():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def tour(app, broker, redis, queue):
    """start(flag, ...): a worker with the tour's tasks, and a sender to it."""
    workers = []

    def start(*argv):
        worker = servers.Worker(
            broker.url,
            *argv,
            backend=redis.url,
            queues=queue,
            concurrency=1,
            include="examples/tour",
        )
        workers.append(worker.__enter__())
        client = Caller(app)
        return worker, lambda name, *args: client.send(
            f"tour.{name}", *args, queue=queue
        )

    yield start
    for worker in workers:
        worker.__exit__()


def sockets(pid):
    fds = os.listdir(f"/proc/{pid}/fd")
    return [
        f for f in fds if "socket" in os.readlink(f"/proc/{pid}/fd/{f}")
    ]


def test_an_executor_has_no_connection_of_its_node(tour, page):
    worker, send = tour()
    assert send("fetch", page).get(timeout=15)["status"] == 200
    before = worker.executors()
    assert len(before) == 1
    assert sockets(before[0]) == ["3"]
    os.kill(before[0], signal.SIGKILL)
    after = servers.wait_for(
        lambda: [p for p in worker.executors() if p != before[0]], 10, "a new one"
    )
    assert send("noop").get(timeout=15) is None  # it is ready
    assert sockets(after[0]) == ["3"]


def test_an_executor_is_replaced_after_so_many_tasks(tour):
    worker, send = tour("--max-tasks-per-child=2")
    pids = [send("pid").get(timeout=15) for _ in range(6)]
    assert pids[0] == pids[1] != pids[2] == pids[3] != pids[4] == pids[5]


def test_an_executor_that_has_grown_is_replaced(tour):
    worker, send = tour("--max-memory-per-child=1")  # KiB: always over it
    pids = [send("pid").get(timeout=15) for _ in range(3)]
    assert len(set(pids)) == 3
