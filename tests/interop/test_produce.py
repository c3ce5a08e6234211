# SPDX-License-Identifier: Apache-2.0
"""An unmodified Python producer, tasks in C, results read by AsyncResult."""

import datetime
import math
import time

import pytest

import servers

pytestmark = pytest.mark.usefixtures("worker")


@pytest.mark.parametrize("task", ["add", "inline_add", "async_add", "late_add"])
def test_every_kind_of_task_returns_its_value(client, task):
    assert client.call(f"interop.{task}", 2, 3) == 5


def test_keyword_arguments_arrive(client):
    assert client.call("interop.add", kwargs={"x": 4, "y": 5}) == 9
    assert client.call("interop.add", 4, kwargs={"y": -6}) == -2


VALUES = [
    None,
    True,
    0,
    -1,
    2**53 + 1,
    2**63,
    -(2**64),
    10**40,
    0.1,
    1.0,
    -0.0,
    1e300,
    5e-324,
    math.inf,
    -math.inf,
    "",
    "plain",
    "žluťoučký kůň, 漢字, 🥕, \u2028, \"quoted\" \\ / \b\f\n\r\t\x7f",
    "\x00",
    [],
    {},
    [[], [{}], {"a": {"b": [1, 2.5, None, False]}}],
    {"": 0, "ключ": "значение"},
    "x" * 1_000_000,
    list(range(10_000)),
]


@pytest.mark.parametrize("task", ["echo", "inline_echo"])
@pytest.mark.parametrize("value", VALUES, ids=lambda v: repr(v)[:20])
def test_values_come_back_unchanged(client, task, value):
    back = client.call(f"interop.{task}", value, kwargs={"k": value})
    assert back == {"args": [value], "kwargs": {"k": value}}
    got = back["args"][0]
    assert type(got) is type(value)
    if isinstance(value, float):
        assert math.copysign(1, got) == math.copysign(1, value)


def test_nan_comes_back(client):
    assert math.isnan(client.call("interop.echo", math.nan)["args"][0])


def test_async_result_has_all_fields(client):
    before = datetime.datetime.now(datetime.timezone.utc)
    result = client.send("interop.add", 1, 1)
    assert result.get(timeout=client.timeout) == 2
    assert (result.state, result.result) == ("SUCCESS", 2)
    assert result.successful() and not result.failed()
    assert result.traceback is None
    assert result.children == []
    age = result.date_done - before
    assert datetime.timedelta(0) <= age < datetime.timedelta(seconds=30)


def test_the_stored_document_has_the_members_that_celery_writes(client):
    result = client.send("interop.add", 1, 1)
    result.get(timeout=client.timeout)
    meta = result.backend.get_task_meta(result.id)
    assert {"status", "result", "traceback", "children", "date_done"} <= set(meta)
    assert meta["task_id"] == result.id
    ttl = result.backend.client.ttl(f"celery-task-meta-{result.id}")
    assert 86000 < ttl <= 86400


def test_root_and_parent_are_recorded_in_the_request(client):
    first = client.send("interop.request", "id")
    assert first.get(timeout=client.timeout) == first.id
    root = client.send("interop.request", "root_id")
    assert root.get(timeout=client.timeout) == root.id
    assert client.call("interop.request", "parent_id") is None
    assert client.call("interop.request", "retries") == 0


def test_the_request_says_where_the_message_came_from(client, worker):
    info = client.call("interop.request", "delivery_info", priority=6)
    assert info["routing_key"] == "c"
    assert info["priority"] == 6
    assert client.call("interop.request", "hostname") == worker.hostname
    assert client.call("interop.request", "origin").startswith("gen")


def test_custom_headers_reach_the_task(client):
    seen = client.call("interop.request", "headers", headers={"tenant": "a-1"})
    assert seen["tenant"] == "a-1"


def test_a_countdown_is_waited_for(client):
    begin = time.monotonic()
    assert client.call("interop.add", 1, 2, countdown=1) == 3
    assert 0.9 < time.monotonic() - begin < 1 + 3 * servers.SLOW


@pytest.mark.parametrize("hours", [None, 5.5, -8])
def test_an_eta_of_any_time_zone_is_waited_for(client, hours):
    zone = hours and datetime.timezone(datetime.timedelta(hours=hours))
    eta = datetime.datetime.now(datetime.timezone.utc).astimezone(zone)
    eta += datetime.timedelta(seconds=1)
    begin = time.monotonic()
    if hours is None:  # naive means UTC
        eta = datetime.datetime.utcnow() + datetime.timedelta(seconds=1)
    assert client.call("interop.add", 1, 2, eta=eta) == 3
    assert 0.9 < time.monotonic() - begin < 1 + 3 * servers.SLOW


def test_later_tasks_overtake_one_with_an_eta(client):
    slow = client.send("interop.add", 1, 1, countdown=3)
    assert client.call("interop.add", 2, 2) == 4
    assert slow.state == "PENDING"
    slow.revoke()


def test_an_ignored_result_is_not_stored(client):
    for result in (
        client.send("interop.quiet", 1, 1),
        client.send("interop.add", 1, 1, ignore_result=True),
    ):
        client.call("interop.add", 0, 0)  # it is done, too, before long
        time.sleep(0.3)
        key = f"celery-task-meta-{result.id}"
        assert client.app.backend.client.get(key) is None


@pytest.mark.parametrize("method", ["zlib", "gzip", "bzip2", "lzma"])
def test_compressed_messages_are_read(client, method):
    text = "compress me " * 10_000
    back = client.call("interop.echo", text, compression=method)
    assert back["args"] == [text]


def test_messages_of_protocol_1_are_read(client):
    client.app.conf.task_protocol = 1
    client.app.amqp.__dict__.pop("_create_task_sender", None)
    client.app.__dict__.pop("amqp", None)
    try:
        result = client.send("interop.add", 20, kwargs={"y": 22}, countdown=0.3)
        assert result.get(timeout=client.timeout) == 42
        with pytest.raises(ValueError):
            client.call("interop.fail", "ValueError", "builtins", "v1")
    finally:
        client.app.conf.task_protocol = 2
        client.app.__dict__.pop("amqp", None)


def test_a_started_task_says_so(client, worker):
    result = client.send("interop.tracked_nap", 1)
    client.state(result, "STARTED")
    assert result.info["hostname"] == worker.hostname
    assert result.info["pid"] in worker.children()
    assert result.get(timeout=client.timeout) == "rested"


def test_a_custom_state_is_seen(client):
    result = client.send("interop.progress", 1)
    client.state(result, "PROGRESS")
    assert result.info == {"done": 50}
    assert result.get(timeout=client.timeout) == 100


def test_an_expired_task_is_revoked(client):
    result = client.send("interop.add", 1, 1, expires=-1)
    client.state(result, "REVOKED")
    ok = client.send("interop.add", 1, 1, expires=60)
    assert ok.get(timeout=client.timeout) == 2


def test_a_task_that_expires_while_it_waits_is_revoked(client):
    result = client.send("interop.add", 1, 1, countdown=1, expires=0.5)
    client.state(result, "REVOKED")


def test_a_pickle_is_refused_and_the_worker_goes_on(client, broker):
    before = broker.left("c")
    result = client.send("interop.add", 1, 1, serializer="pickle")
    assert client.call("interop.add", 1, 2) == 3
    servers.wait_for(lambda: broker.left("c") <= before, 5, "pickle taken")
    time.sleep(0.2)
    assert result.state == "PENDING"


def test_a_thousand_tasks_are_all_done(client, broker):
    before = broker.left("c")
    sent = [client.send("interop.add", i, i) for i in range(1000)]
    for i, result in enumerate(sent):
        assert result.get(timeout=client.timeout) == 2 * i
    servers.wait_for(lambda: broker.left("c") <= before, 5, "all acked")
