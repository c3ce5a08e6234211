# SPDX-License-Identifier: Apache-2.0
"""Lovage and Python workers on the same queue; priorities; hand-over."""

import collections
import json
import os
import signal
import time

import servers
from conftest import Caller  # of this folder


def test_a_mixed_fleet_does_all_of_500_tasks(app, broker, redis, queue):
    client = Caller(app)
    app.conf.result_extended = True
    with servers.Worker(
        broker.url,
        backend=redis.url,
        queues=queue,
        env={"LOVAGE_RESULT_EXTENDED": "true"},
    ) as c, servers.CeleryWorker(
        broker.url,
        backend=redis.url,
        queues=queue,
        env={"RESULT_EXTENDED": "1"},
    ) as py:
        sent = [
            client.send("interop.add", i, 1, queue=queue) for i in range(500)
        ]
        values = [r.get(timeout=60) for r in sent]
        assert values == [i + 1 for i in range(500)]
        by = collections.Counter(r.worker for r in sent)
        assert set(by) == {c.hostname, py.hostname}
        servers.wait_for(lambda: broker.left(queue) == 0, 10, "all acked")


def test_the_short_do_not_wait_behind_one_that_is_long(app, redis, queue):
    client = Caller(app)
    with servers.Worker(redis.url, queues=queue, concurrency=2) as w:
        nap = lambda s: client.send("interop.nap", s, queue=queue)  # noqa: E731
        for r in [nap(0) for _ in range(200)]:  # known to be short
            r.get(timeout=20)
        os.kill(w.nodes()[0], signal.SIGSTOP)  # so that they travel together
        some = [nap(0) for _ in range(10)]
        long = nap(4)
        more = [nap(0) for _ in range(60)]
        os.kill(w.nodes()[0], signal.SIGCONT)
        for r in some + more:
            r.get(timeout=20)
        assert not long.ready()
        assert long.get(timeout=20) == "rested"


def test_each_of_many_in_a_row_sees_its_own_request(app, redis, queue):
    client = Caller(app)
    with servers.Worker(redis.url, queues=queue, concurrency=1) as w:
        ask = lambda: client.send("interop.request", "id", queue=queue)  # noqa: E731
        for r in [ask() for _ in range(100)]:
            assert r.get(timeout=20) == r.id
        os.kill(w.nodes()[0], signal.SIGSTOP)
        sent = [ask() for _ in range(100)]
        os.kill(w.nodes()[0], signal.SIGCONT)
        assert [r.get(timeout=20) for r in sent] == [r.id for r in sent]


def test_the_urgent_come_first(app, redis, queue, tmp_path):
    client = Caller(app)
    notes = tmp_path / "notes"
    want = [0, 3, 6, 9]
    for priority in (9, 3, 6, 0):
        client.send(
            "interop.note", str(notes), str(priority), queue=queue,
            priority=priority,
        )
    with servers.Worker(
        redis.url, "--prefetch-multiplier=1", queues=queue, concurrency=1
    ):
        servers.wait_for(
            lambda: notes.exists() and notes.read_text().count("\n") == 4,
            10,
            "four notes",
        )
    assert [int(n) for n in notes.read_text().split()] == want


def test_what_a_stopped_worker_held_is_done_by_a_python_worker(
    app, broker, redis, queue
):
    client = Caller(app)
    with servers.Worker(
        broker.url, backend=redis.url, queues=queue, concurrency=1
    ) as c:
        sent = [
            client.send("interop.add", i, 1, queue=queue, countdown=2)
            for i in range(5)
        ]
        servers.wait_for(lambda: broker.held(queue) >= 5, 10, "all reserved")
        assert c.stop() == 0
    with servers.CeleryWorker(broker.url, backend=redis.url, queues=queue):
        assert [r.get(timeout=30) for r in sent] == [1, 2, 3, 4, 5]


def test_what_a_stopped_python_worker_held_is_done_by_lovage(
    app, broker, redis, queue
):
    client = Caller(app)
    with servers.CeleryWorker(
        broker.url, backend=redis.url, queues=queue
    ) as py:
        sent = [
            client.send("interop.add", i, 1, queue=queue, countdown=2)
            for i in range(5)
        ]
        servers.wait_for(lambda: broker.held(queue) >= 5, 10, "all reserved")
        py.stop()
    with servers.Worker(broker.url, backend=redis.url, queues=queue):
        assert [r.get(timeout=30) for r in sent] == [1, 2, 3, 4, 5]


def test_what_comes_again_is_not_run_if_it_is_done(app, broker, redis, queue, tmp_path):
    """RabbitMQ forgets acknowledgements when it crashes."""
    client, notes = Caller(app), tmp_path / "notes"
    sent = [
        client.send("interop.note", str(notes), str(i), queue=queue)
        for i in range(3)
    ]
    app.backend.store_result(sent[0].id, "done before", "SUCCESS")
    app.backend.store_result(sent[1].id, ValueError("once"), "FAILURE")
    with app.connection() as conn:  # they are delivered, and given back
        channel = conn.channel()
        for _ in sent:
            assert channel.basic_get(queue, no_ack=False)
    with servers.Worker(broker.url, backend=redis.url, queues=queue):
        assert sent[2].get(timeout=20) is None
        servers.wait_for(lambda: broker.left(queue) == 0, 10, "all acked")
    assert sorted(notes.read_text().split()) == ["1", "2"]
    assert sent[0].get(timeout=1) == "done before"


def test_an_unacked_message_is_as_kombu_writes_it(app, redis, queue):
    client = Caller(app)
    r = redis.client()
    with servers.Worker(redis.url, queues=queue):
        result = client.send("interop.add", 1, 1, queue=queue, countdown=30)
        servers.wait_for(lambda: r.hlen("unacked") == 1, 10, "reserved")
        tag, entry = r.hgetall("unacked").popitem()
        message, exchange, key = json.loads(entry)
        assert message["headers"]["id"] == result.id
        assert message["properties"]["delivery_tag"] == tag.decode()
        assert key == queue
        assert abs(r.zscore("unacked_index", tag) - time.time()) < 60
    servers.wait_for(lambda: r.hlen("unacked") == 0, 10, "handed back")
    assert r.llen(queue) == 1


def test_two_nodes_share_the_work(app, broker, redis, queue):
    client = Caller(app)
    with servers.Worker(
        broker.url,
        "--nodes=2",
        backend=redis.url,
        queues=queue,
        concurrency=1,
    ) as w:
        sent = [
            client.send("interop.nap", 0.05, queue=queue) for _ in range(40)
        ]
        names = [
            client.send("interop.request", "hostname", queue=queue)
            for _ in range(40)
        ]
        assert [r.get(timeout=30) for r in sent] == ["rested"] * 40
        assert len({r.get(timeout=30) for r in names}) == 2
        assert len(w.nodes()) == 2
