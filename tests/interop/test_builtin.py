# SPDX-License-Identifier: Apache-2.0
"""The tasks that every Celery worker has: celery.map, starmap, chunks, group,
chord, chord_unlock, accumulate, backend_cleanup; saved groups on Redis."""

import json

import celery
import pytest
from celery.canvas import chunks, xmap, xstarmap
from celery.result import GroupResult

import servers

pytestmark = pytest.mark.usefixtures("worker", "pyworker")


@pytest.fixture(scope="session")
def worker(broker, redis):
    """Consumes the default queue, too, where workers send maps."""
    with servers.Worker(
        broker.url, backend=redis.url, queues="c,celery", concurrency=2
    ) as w:
        yield w
        assert w.running(), w.tail()


@pytest.fixture
def sig(app):
    def make(name, *args, **options):
        queue = "py" if name.startswith("py.") else "c"
        return app.signature(name, args=args, queue=queue, **options)

    return make


KINDS = ["interop.add", "interop.inline_add", "interop.async_add"]


@pytest.mark.parametrize("task", KINDS)
def test_a_starmap_runs_a_task_of_each_kind(client, sig, task):
    items = [(i, i) for i in range(20)]
    result = xstarmap(sig(task), items, app=client.app).apply_async(queue="c")
    assert result.get(timeout=client.timeout) == [2 * i for i in range(20)]


@pytest.mark.parametrize("task", ["interop.echo", "interop.inline_echo"])
def test_a_map_gives_each_item_as_one_argument(client, sig, task):
    result = xmap(sig(task), [1, [2, 3], None], app=client.app).apply_async(queue="c")
    want = [{"args": [x], "kwargs": {}} for x in (1, [2, 3], None)]
    assert result.get(timeout=client.timeout) == want


def test_a_long_map_of_inline_tasks_leaves_room_for_others(client, sig):
    items = [(i, 1) for i in range(100000)]
    slow = xstarmap(sig("interop.inline_add"), items, app=client.app)
    result = slow.apply_async(queue="c")
    assert client.call("interop.inline_add", 1, 2) == 3
    assert sum(result.get(timeout=4 * client.timeout)) == sum(range(100001))


@pytest.mark.parametrize("task", KINDS)
def test_chunks_are_a_group_of_starmaps(client, sig, task):
    pieces = chunks(sig(task), zip(range(10), range(10)), 3, app=client.app)
    result = pieces.group().apply_async(queue="c")
    got = result.get(timeout=client.timeout)
    assert got == [[0, 2, 4], [6, 8, 10], [12, 14, 16], [18]]


def test_celery_chunks_sends_its_group(client, sig):
    result = client.send("celery.chunks", sig("interop.add"), [[1, 1], [2, 2], [3, 3]], 2)
    (gid, parent), members = result.get(timeout=client.timeout)
    got = [client.app.AsyncResult(m[0][0]).get(timeout=client.timeout) for m in members]
    assert got == [[2, 4], [6]]


@pytest.mark.parametrize("task", ["interop.fail", "py.add"])
def test_a_map_fails_as_its_task_does(client, sig, task):
    item = ["KeyError", "builtins", "x"]
    result = xstarmap(sig(task), [item], app=client.app).apply_async(queue="c")
    error = KeyError if task == "interop.fail" else celery.exceptions.NotRegistered
    with pytest.raises(error):
        result.get(timeout=client.timeout)


def test_a_starmap_wants_lists_of_arguments(client, sig):
    result = xstarmap(sig("interop.add"), [1], app=client.app).apply_async(queue="c")
    with pytest.raises(TypeError):
        result.get(timeout=client.timeout)


def test_a_task_in_a_map_does_not_retry(client, sig):
    result = xmap(sig("interop.retry_plain"), [1], app=client.app).apply_async(queue="c")
    with pytest.raises(Exception):
        result.get(timeout=client.timeout)
    assert result.state == "FAILURE"


def test_a_map_of_maps_is_refused_where_it_would_block(client, sig):
    inner = dict(xstarmap(sig("interop.add"), [(1, 1)], app=client.app))
    result = client.send("celery.map", {"task": "celery.starmap", "args": [], "kwargs": {}}, [inner])
    with pytest.raises(TypeError):
        result.get(timeout=client.timeout)


def test_celery_chain_is_no_task(client):
    with pytest.raises(NotImplementedError):
        client.call("celery.chain")


def test_celery_group_and_chord_as_tasks(client, sig):
    ids = [celery.uuid() for _ in range(2)]
    tasks = [sig("interop.add", 1).clone(task_id=i) for i in ids]
    for t, i in zip(tasks, ids):
        t["options"]["task_id"] = i
    tuple_ = [["old", None], [[[i, None], None] for i in ids]]
    assert client.call("celery.group", tasks, tuple_, "old", [5]) == tuple_
    got = [client.app.AsyncResult(i).get(timeout=client.timeout) for i in ids]
    assert got == [6, 6]

    header = [sig("interop.add", i, i) for i in range(3)]
    (body, _), _ = client.call("celery.chord", header, sig("interop.sum"))
    assert client.app.AsyncResult(body).get(timeout=client.timeout) == 6


# ---- chord_unlock on a backend that counts ----


@pytest.mark.parametrize("body", ["interop.sum", "py.total"])
def test_an_old_clients_chord_unlock_is_done(client, sig, body):
    members = [client.send("interop.nap", 0.3), client.send("interop.add", 1, 2)]
    numbers = [client.send("interop.add", i, 2) for i in range(2)]
    callback = sig(body)
    callback["options"]["task_id"] = done = celery.uuid()
    client.send(
        "celery.chord_unlock", "g1", callback,
        kwargs={"interval": 0.2, "max_retries": None, "result": [r.as_tuple() for r in numbers]},
    )
    assert client.app.AsyncResult(done).get(timeout=client.timeout) == 5
    members[0].get(timeout=client.timeout)


def test_a_chord_unlock_of_nothing_is_done_at_once(client, sig):
    callback = sig("interop.echo")
    callback["options"]["task_id"] = done = celery.uuid()
    client.send("celery.chord_unlock", "g0", callback, kwargs={"result": []})
    got = client.app.AsyncResult(done).get(timeout=client.timeout)
    assert got["args"] == [[]]


def test_a_chord_unlock_gives_up_when_it_may_not_retry(client, sig):
    callback = sig("interop.sum")
    result = client.send(
        "celery.chord_unlock", "g1", callback,
        kwargs={"interval": 0.1, "max_retries": 2, "result": [[["never", None], None]]},
    )
    # Its result is ignored, but not its failure: this only must come to an end.
    client.call("interop.add", 1, 1)
    assert result.state in ("PENDING", "FAILURE")


# ---- saved groups ----

ECHOS = ["interop.echo", "py.echo"]


@pytest.mark.parametrize("body", ECHOS)
def test_a_chord_of_groups_keeps_their_shape(client, sig, body):
    """(With the members in Celery 5.2 it never ends, whoever runs the body.)"""
    inner = sig("interop.add", 1, 1) | celery.group(
        sig("interop.add", 1), sig("interop.add", 2), app=client.app
    )
    header = [inner, sig("interop.add", 5, 5)]
    result = celery.chord(header, app=client.app)(sig(body))
    assert result.get(timeout=client.timeout)["args"] == [[[3, 4], 10]]


def test_a_worker_saves_the_header_of_such_a_chord(client, sig, redis):
    """The chord is sent by the worker of the first task."""
    inner = sig("interop.add", 1, 1, immutable=True) | celery.group(
        sig("interop.add", 1), sig("interop.add", 2), app=client.app
    )
    header = celery.group(inner, sig("interop.add", 5, 5, immutable=True), app=client.app)
    chord = celery.chord(header, sig("interop.echo"), app=client.app)
    chain = sig("interop.add", 1, 1) | chord
    result = chain.apply_async()
    got = result.get(timeout=client.timeout)
    assert got["args"] == [[[3, 4], 10]]


def test_lovage_shows_a_group_that_python_saved(client, sig, redis):
    group = celery.group(
        sig("interop.add", 1, 1), sig("interop.fail", "ValueError", "builtins", "x"), app=client.app
    )
    result = group.apply_async()
    result.save()
    got = servers.lovage(
        *("result", result.id, "--timeout", "5"), env={"LOVAGE_RESULT_BACKEND": redis.url}
    )
    first, second = result.results
    assert got.stdout.splitlines() == [
        f"{first.id} SUCCESS 2",
        f"{second.id} FAILURE ValueError('x')",
    ]
    assert got.returncode == 1
    restored = GroupResult.restore(result.id, app=client.app)
    assert [r.id for r in restored.results] == [first.id, second.id]
    saved = json.loads(redis.client().get(f"celery-taskset-meta-{result.id}"))
    assert saved == {"result": [[result.id, None], [[[first.id, None], None], [[second.id, None], None]]]}
