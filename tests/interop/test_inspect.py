# SPDX-License-Identifier: Apache-2.0
"""`celery inspect` and `celery control` talk to a Lovage worker."""

import subprocess

import pytest

import servers

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture
def inspect(app, worker):
    """inspect("active"): what the Lovage worker replies."""

    def ask(method, *args):
        replies = getattr(
            app.control.inspect(timeout=3, destination=[worker.hostname]), method
        )(*args)
        assert replies is not None, f"no reply to {method}"
        return replies[worker.hostname]

    return ask


def test_a_node_answers_ping(app, worker, inspect):
    assert inspect("ping") == {"ok": "pong"}
    assert app.control.ping(timeout=1) == [{worker.hostname: {"ok": "pong"}}]


def test_registered_lists_the_tasks(inspect):
    names = inspect("registered")
    assert {"interop.add", "interop.nap", "llm.query"} <= set(names)


def test_active_shows_what_runs(client, inspect):
    result = client.send("interop.nap", 3)
    entry = servers.wait_for(lambda: inspect("active"), 3, "active")[0]
    assert entry["id"] == result.id
    assert entry["name"] == "interop.nap"
    assert entry["args"] == [3]
    assert entry["worker_pid"] > 0
    assert result.get(timeout=client.timeout) == "rested"


def test_scheduled_shows_what_waits_for_its_time(client, inspect):
    result = client.send("interop.add", 1, 1, countdown=60)
    entry = servers.wait_for(lambda: inspect("scheduled"), 3, "scheduled")[0]
    assert entry["request"]["id"] == result.id
    client.app.control.revoke(result.id)
    servers.wait_for(lambda: result.id in inspect("revoked"), 3, "revoked")


def test_active_queues_and_stats(client, inspect):
    client.call("interop.add", 1, 1)
    assert [q["name"] for q in inspect("active_queues")] == ["c"]
    stats = inspect("stats")
    assert stats["pid"] > 0
    assert stats["pool"]["max-concurrency"] == 2
    assert "interop.add" in stats["total"]
    loop = stats["lovage"]["loop"]  # not Celery's
    assert loop["turns"] == sum(loop["own"].values()) > 0
    assert 0 < loop["longest_own"] <= loop["longest"]


def test_the_celery_program_shows_the_node(app, broker, worker):
    done = subprocess.run(
        [servers.PYTHON, "-m", "celery", "-b", broker.url, "status"],
        capture_output=True,
        text=True,
        timeout=60 * servers.SLOW,
    )
    assert f"{worker.hostname}: OK" in done.stdout
    assert "1 node online" in done.stdout


def test_a_worker_shuts_down_when_it_is_told(app, broker, redis, queue):
    with servers.Worker(
        broker.url, backend=redis.url, queues=queue
    ) as other:
        app.control.shutdown(destination=[other.hostname])
        assert other.wait(20) == 0
