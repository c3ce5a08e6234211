# SPDX-License-Identifier: Apache-2.0
"""Results in both directions: over each backend, broker and serializer."""
# timeout: 400

import json

import celery
import pytest
from celery.exceptions import TaskRevokedError
from celery.result import AsyncResult

import servers
from conftest import Caller, RabbitBroker, RedisBroker  # of this folder


class Way:
    """How messages and results go; with a worker of each language."""

    def __init__(self, broker, backend, **conf):
        self.broker = broker
        self.backend = backend or broker.url
        self.rpc = self.backend == "rpc://"
        self.conf = {"result_extended": True, **conf}
        self.env = {
            "LOVAGE_BROKER_URL": broker.url,
            "LOVAGE_RESULT_BACKEND": self.backend,
            "LOVAGE_TASK_STORE_ERRORS_EVEN_IF_IGNORED": "true",
        }
        for name, value in self.conf.items():
            text = ",".join(value) if isinstance(value, list) else str(value)
            self.env[f"LOVAGE_{name.upper()}"] = text

    def __enter__(self):
        self.app = celery.Celery(broker=self.broker.url, backend=self.backend)
        self.app.conf.update(task_default_queue="c", **self.conf)
        self.worker = servers.Worker(
            self.broker.url, backend=self.backend, queues="c", env=self.env
        )
        self.pyworker = servers.CeleryWorker(
            self.broker.url,
            backend=self.backend,
            queues="py",
            env={"TEST_CONF": json.dumps(self.conf)},
        )
        self.worker.__enter__()
        self.pyworker.__enter__()
        self.client = Caller(self.app)
        return self

    def __exit__(self, *exc):
        self.pyworker.__exit__(*exc)
        running = self.worker.running()
        tail = self.worker.tail()
        self.worker.__exit__(*exc)
        self.app.close()
        assert running, tail

    def lovage(self, *argv):
        return servers.lovage(*argv, env=self.env)


MSGPACK = {"result_serializer": "msgpack", "accept_content": ["json", "msgpack"]}
WAYS = {
    "redis": lambda redis, _: Way(redis(), None),
    "redis-msgpack": lambda redis, _: Way(redis(), None, **MSGPACK),
    "rpc-over-redis": lambda redis, _: Way(redis(), "rpc://"),
    "rpc-over-amqp": lambda _, rabbit: Way(rabbit(), "rpc://"),
    "rpc-over-amqp-msgpack": lambda _, rabbit: Way(
        rabbit(), "rpc://", result_compression="zlib", **MSGPACK
    ),
}


@pytest.fixture(scope="module", params=WAYS)
def way(request):
    def redis():
        return RedisBroker(request.getfixturevalue("redis"))

    def rabbit():
        return RabbitBroker(request.getfixturevalue("rabbit"))

    with WAYS[request.param](redis, rabbit) as w:
        yield w


@pytest.fixture
def client(way):
    return way.client


VALUES = [
    None,
    True,
    "n\u00ef \U0001f600",
    [1, -1, 2**63 - 1, -(2**63), 2**64 - 1, 1.5, -0.25, 1e300],
    {"a": {"b": [[], {}, [None]]}, "": "x" * 70_000},
    list(range(20_000)),
]


# ---- Celery asks, Lovage answers ----


def test_values_come_back(client):
    for value in VALUES:
        assert client.call("interop.echo", value)["args"] == [value]


def test_messages_in_msgpack_are_read(way, client):
    how = {"serializer": "msgpack"}
    if "msgpack" not in way.conf.get("accept_content", ["json"]):
        result = client.send("interop.add", 1, 2, **how)
        assert client.call("interop.add", 3, 4) == 7
        assert result.state == "PENDING"
        return
    for value in VALUES:
        back = client.call("interop.echo", value, **how)
        assert back["args"] == [value]
    back = client.call("interop.echo", "x" * 9999, compression="zlib", **how)
    assert back["args"] == ["x" * 9999]
    assert client.call("interop.retry_until", 2, **how)
    link = client.app.signature("interop.add", (10,)).set(queue="c")
    result = client.send("interop.add", 1, 2, link=link, **how)
    assert result.get(timeout=client.timeout) == 3
    assert result.children[0].get(timeout=client.timeout) == 13


def test_hundreds_of_results_come_back(client):
    results = [client.send("interop.inline_add", i, 1) for i in range(300)]
    got = [r.get(timeout=client.timeout) for r in results]
    assert got == list(range(1, 301))


def test_an_exception_is_raised_again(client):
    result = client.send("interop.fail", "ValueError", "builtins", "boom", 42)
    with pytest.raises(ValueError) as e:
        result.get(timeout=client.timeout)
    assert e.value.args == ("boom", 42)
    assert "in the interop plugin" in result.traceback


def test_states_on_the_way_are_seen(way, client):
    seen = {}

    def note(meta):
        seen[meta["status"]] = meta["result"]

    result = client.send("interop.tracked_nap", 0.2)
    result.get(timeout=client.timeout, on_message=note)
    assert seen["STARTED"]["hostname"] == way.worker.hostname
    result = client.send("interop.progress", 0.2)
    result.get(timeout=client.timeout, on_message=note)
    assert seen["PROGRESS"] == {"done": 50}


def test_an_expired_task_is_told_as_revoked(client):
    result = client.send("interop.add", 1, 1, expires=-1)
    with pytest.raises(TaskRevokedError):
        result.get(timeout=client.timeout)


def test_children_are_told(client):
    link = client.app.signature("interop.add", (10,)).set(queue="c")
    result = client.send("interop.add", 1, 2, link=link)
    assert result.get(timeout=client.timeout) == 3
    assert result.children[0].get(timeout=client.timeout) == 13


def test_the_extended_fields_are_told(way, client):
    result = client.send("interop.add", 1, kwargs={"y": 2})
    assert result.get(timeout=client.timeout) == 3
    assert result.name == "interop.add"
    assert (result.args, result.kwargs) == ([1], {"y": 2})
    assert (result.worker, result.queue) == (way.worker.hostname, "c")
    assert result.retries == 0


def test_an_ignored_result_is_not_told_but_its_error_is(client):
    quiet = client.send("interop.add", 1, 2, ignore_result=True)
    failed = client.send("interop.fail", "KeyError", "builtins", "x",
                         ignore_result=True)
    again = AsyncResult(failed.id, app=client.app)
    with pytest.raises(KeyError):
        again.get(timeout=client.timeout)
    assert AsyncResult(quiet.id, app=client.app).state == "PENDING"


def test_a_chord_is_done_or_clearly_refused(way, client):
    add = client.app.signature("interop.add", (1, 2)).set(queue="c")
    total = client.app.signature("interop.sum").set(queue="c")
    if not way.rpc:
        result = celery.chord([add, add], total, app=client.app)()
        assert result.get(timeout=client.timeout) == 6
        return
    with pytest.raises(NotImplementedError):
        celery.chord([add, add], total, app=client.app)()
    chord = celery.chord([add, add], total, app=client.app)
    result = client.send("interop.add", 1, 2, link=chord)
    with pytest.raises(NotImplementedError, match="does not support chords"):
        result.get(timeout=client.timeout)


# ---- Lovage asks, Celery answers ----


def test_lovage_waits_for_a_python_worker(way):
    done = way.lovage("call", "py.add", "--args=[1, 2]", "-Q", "py", "--wait")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1] == "3"


def test_lovage_shows_a_python_exception(way):
    done = way.lovage("call", "py.fail", '--args=["bad"]', "-Q", "py", "--wait")
    assert done.returncode == 1
    assert "ValueError('bad', 42)" in done.stderr


def test_lovage_waits_for_its_own_worker(way):
    done = way.lovage("call", "interop.add", "--args=[1, 2]", "-Q", "c", "-w")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1] == "3"


def test_an_older_result_can_be_asked_for_or_not(way, client):
    result = client.send("py.add", 1, 2, queue="py")
    assert result.get(timeout=client.timeout) == 3
    done = way.lovage("result", result.id, "--timeout=10")
    if way.rpc:
        assert done.returncode == 1
        assert "go to who sent the task" in done.stderr
    else:
        assert done.stdout.strip() == "3"
