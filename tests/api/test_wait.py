# SPDX-License-Identifier: Apache-2.0
"""Waiting for an answer through each result backend, and through none."""
# timeout: 400

import concurrent.futures
import json
import os
import pathlib
import re
import socket
import time

import pytest
import servers
import wire

QUERY = "/api/v1/llm/query"
WAITING = 500


class Side:
    """An api and a worker that share a backend; but for "disabled" the worker
    writes no records, so that only the backend can tell."""

    def __init__(self, broker, backend, database, worker_database=None):
        env = {
            "LOVAGE_API_THREADS": str(WAITING + 20),
            "LOVAGE_WORKER_SHUTDOWN_TIMEOUT": "1",
        }
        self.api = servers.Api(broker, database, backend=backend, env=env)
        self.worker = servers.Worker(
            broker,
            backend=backend,
            database=worker_database,
            include=False,
            env=env,
        )

    def __enter__(self):
        self.worker.__enter__()
        self.api.__enter__()
        return self

    def __exit__(self, *exc):
        self.api.__exit__(*exc)
        self.worker.__exit__(*exc)

    def ask(self, model="echo", **more):
        body = {"model": model, "prompt": "hello", "cache": False, **more}
        return wire.request(self.api.port, "POST", QUERY, body)

    def metric(self, name):
        text = wire.request(self.api.port, "GET", "/metrics").body.decode()
        return float(re.search(rf"^\w*{name} ([0-9.e+]+)$", text, re.M)[1])

    def files(self):
        return len(os.listdir(f"/proc/{self.api.pid}/fd"))

    def kib(self):
        status = pathlib.Path(f"/proc/{self.api.pid}/status").read_text()
        return int(re.search(r"^VmRSS:\s+(\d+)", status, re.M)[1])


@pytest.fixture(
    scope="module",
    params=["redis", "rpc-over-redis", "rpc-over-amqp", "db", "disabled"],
)
def side(request, postgres, redis):
    database = servers.migrate(postgres.database())
    broker, backend, worker_database = redis.url, redis.url, None
    if request.param == "db":
        backend = "db+" + postgres.database()
    elif request.param == "disabled":
        backend, worker_database = "disabled://", database
    elif request.param != "redis":
        backend = "rpc://"
    if request.param == "rpc-over-amqp":
        broker = request.getfixturevalue("rabbit").url
    with Side(broker, backend, database, worker_database) as s:
        s.name = request.param
        yield s


def test_the_answer_comes_to_who_waits(side):
    answer = side.ask()
    assert answer.status == 200, answer
    assert answer.json()["text"] == "hello"


def test_a_failure_comes_to_who_waits(side):
    answer = side.ask("echo?error=quota")
    assert answer.status == 502, answer
    assert answer.json()["error_class"] == "quota"


def test_many_who_wait_all_get_their_own(side):
    def ask(i):
        return side.ask(f"echo?latency_ms={20 * (i % 10)}&tokens={i + 1}")

    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(ask, range(40)))
    assert [a.status for a in answers] == [200] * 40
    models = [a.json()["model"] for a in answers]
    assert models == [f"echo?latency_ms={20 * (i % 10)}&tokens={i + 1}"
                      for i in range(40)]


def start_waiting(side, ms):
    body = {
        "model": f"echo?latency_ms={ms}",
        "prompt": "hello",
        "cache": False,
        "timeout": 60,
    }
    text = json.dumps(body).encode()
    head = f"POST {QUERY} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(text)}\r\n\r\n"
    clients = []
    for _ in range(WAITING):
        s = socket.create_connection(("127.0.0.1", side.api.port), 10)
        s.sendall(head.encode() + text)
        clients.append(s)
    servers.wait_for(
        lambda: side.metric("api_hub_calls") >= WAITING, 30, "all wait", 0.1
    )
    return clients


def test_clients_that_go_away_leave_nothing_behind(side, redis):
    files, kib = [], []
    for _ in range(2):
        clients = start_waiting(side, 5000 * servers.SLOW)
        for s in clients:
            s.close()
        servers.wait_for(
            lambda: side.metric("api_hub_calls") == 0, 20, "no calls", 0.1
        )
        time.sleep(0.2)
        files.append(side.files())
        kib.append(side.kib())
    assert files[1] <= files[0] + 5, files
    # AddressSanitizer keeps what is freed, up to 256 MiB.
    kept = 256 * 1024 if "address" in str(servers.lovage_bin()) else 0
    assert kib[1] < kib[0] + 16 * 1024 + kept, kib
    if side.name == "redis":
        assert redis.client().pubsub_channels("celery-task-meta-*") == []
    answer = side.ask()
    assert answer.status == 200, answer
