# SPDX-License-Identifier: Apache-2.0
"""Queues with exchanges, bindings and arguments over RabbitMQ, and what only
RabbitMQ has of them."""
# timeout: 400

import time

import celery
import pytest

import servers
import test_topology
from conftest import RabbitBroker  # of this folder

# pytest runs what is imported, with the broker of this file.
from test_topology import *  # noqa: F401,F403
from test_topology import declared_as_it_is

# Before 5.5 it asks for a limit of the whole channel, which they do not have.
LATE = celery.VERSION >= (5, 5)
latest = pytest.mark.skipif(
    not LATE,
    reason=f"Celery {celery.__version__} has no native delayed delivery: "
    "make interop-latest",
)
test_topology.QUORUM = LATE


@pytest.fixture(scope="session")
def broker(rabbit):
    return RabbitBroker(rabbit)


def test_a_queue_that_is_otherwise_is_used_as_it_is(side, prefix, rabbit):
    """Celery would end with PRECONDITION_FAILED."""
    name = f"{prefix}other"
    s = side([{"name": name, "max_priority": 5}])
    other = side([{"name": name, "max_priority": 7}])
    with s.lovage():
        s.all_answer()
    with other.lovage() as w:
        assert s.client.call("interop.add", 1, 1, queue=name) == 2
        assert "not as the settings have it" in w.text()
        assert "inequivalent arg 'x-max-priority'" in w.text()


def test_a_quorum_queue_is_consumed(side, prefix):
    s = side([{"name": f"{prefix}q", "queue_arguments": {"x-queue-type": "quorum"}}])
    with s.lovage() as w:
        sent = [
            s.client.send("interop.add", i, 1, queue=f"{prefix}q")
            for i in range(200)
        ]
        for i, result in enumerate(sent):
            assert result.get(timeout=s.client.timeout) == i + 1
        declared_as_it_is(w)


def test_what_reaches_its_delivery_limit_is_dead_lettered(side, prefix):
    """A task that always goes back, and one of its neighbours."""
    name, dead = f"{prefix}q", f"{prefix}dead"
    arguments = {
        "x-queue-type": "quorum",
        "x-delivery-limit": 3,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": dead,
    }
    s = side([{"name": name, "queue_arguments": arguments}])
    with s.app.connection_for_write() as c:
        channel = c.default_channel
        channel.queue_declare(dead, durable=True, auto_delete=False)
        with s.lovage() as w:
            nowhere = str(w.dir / "no" / "such" / "file")
            bad = s.client.send("interop.reject_once", nowhere, queue=name)
            good = s.client.send("interop.add", 1, 1, queue=name)
            assert good.get(timeout=s.client.timeout) == 2
            found = servers.wait_for(
                lambda: channel.basic_get(dead), 15, "dead-lettered", 0.2
            )
            runs = w.text().count(f"id={bad.id} outcome=rejected")
        assert found.headers["id"] == bad.id
        assert found.headers["x-death"][0]["reason"] == "delivery_limit"
        assert runs == 4  # the first, and three that the limit allows
        channel.basic_ack(found.delivery_tag)
        channel.queue_delete(dead)
        assert channel.basic_get(name) is None


def test_a_queue_that_may_not_be_read_leaves_the_others_alone(
    side, prefix, rabbit, redis
):
    good, bad = f"{prefix}good", f"{prefix}bad"
    rabbit.ctl("add_user", prefix, "secret")
    rabbit.ctl("set_permissions", prefix, ".*", ".*", f"^(?!{bad}$).*")
    s = side([{"name": good}, {"name": bad}])
    url = rabbit.url.replace("guest:guest", f"{prefix}:secret")
    assert url != rabbit.url
    with servers.Worker(
        url, backend=redis.url, queues=None, env=s.env(broker_url=url)
    ) as w:
        end = time.monotonic() + 6
        while time.monotonic() < end:
            sent = [
                s.client.send("interop.add", i, 1, queue=good)
                for i in range(50)
            ]
            for i, result in enumerate(sent):
                assert result.get(timeout=s.client.timeout) == i + 1
        # After 0, 2 and 6 s.
        assert 1 <= w.text().count("a channel is lost") <= 3
        assert "a queue cannot be consumed" in w.text()
        rabbit.ctl("set_permissions", prefix, ".*", ".*", ".*")
        assert s.client.call("interop.add", 1, 1, queue=bad) == 2
    rabbit.ctl("delete_user", prefix)


def delayed(prefix):
    """A quorum queue in a topic exchange."""
    return [
        {
            "name": f"{prefix}q",
            "exchange": {"name": f"{prefix}x", "type": "topic"},
            "routing_key": f"{prefix}q",
            "queue_arguments": {"x-queue-type": "quorum"},
        }
    ]


def words(key):
    """The 28 words of time in a routing key."""
    head = key.split(".")[:28]
    assert len(head) == 28 and set(head) <= {"0", "1"}, key
    return int("".join(head), 2)


def ask(s, *argv, env):
    """Lovage sends interop.request; its id."""
    done = servers.lovage(
        *("call", "interop.request", '--args=["delivery_info"]', *argv), env=env
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[0]


def test_an_eta_task_for_a_quorum_queue_waits_in_the_broker(
    side, prefix
):
    s = side(delayed(prefix))
    env = s.env(task_routes={"interop.*": f"{prefix}q"})
    # Nobody consumes yet: the sender declares all that it needs.
    begin = time.time()
    id = ask(s, "--countdown", "3.9", env=env)
    with s.lovage() as w:
        seen = s.app.AsyncResult(id).get(timeout=20)
        assert time.time() - begin >= 3.8
        assert words(seen["routing_key"]) == 3
        assert seen["routing_key"].endswith("." + f"{prefix}q")
        declared_as_it_is(w)


def test_a_retry_waits_in_the_broker(side, prefix):
    """Again and again, and its key does not grow."""
    s = side(delayed(prefix))
    queue = s.app.amqp.queues[f"{prefix}q"]
    with s.lovage() as w:
        result = s.client.send(
            "interop.retry_in", 1.5, 3, queue=queue, declare=[queue]
        )
        key = result.get(timeout=20)
        assert words(key) == 1 and key.endswith(f"1.{prefix}q")
        assert key.count(prefix) == 1 and len(key) == 56 + len(f"{prefix}q")
        declared_as_it_is(w)


@latest
def test_eta_tasks_of_celery_wait_in_the_broker(side, prefix):
    s = side(delayed(prefix))
    with s.lovage():
        begin = time.time()
        result = s.client.send(
            "interop.request", "delivery_info", queue=f"{prefix}q", countdown=3.5
        )
        seen = result.get(timeout=20)
        assert time.time() - begin >= 3.4
        assert words(seen["routing_key"]) == 3


@latest
def test_celery_runs_what_lovage_delays(side, prefix):
    s = side(delayed(prefix))
    env = s.env(task_routes={"py.*": f"{prefix}q"})
    with s.python(f"{prefix}q"):
        done = servers.lovage(
            *("call", "py.request", "--countdown", "2.5", "--wait"), env=env
        )
        assert done.returncode == 0, done.stderr
        assert '"0.0.0.0.0.0.0.0.0.0.0.0.0.0.0' in done.stdout
        assert f".1.0.{prefix}q" in done.stdout


@latest
@pytest.mark.parametrize("first", ["lovage", "python"])
@pytest.mark.parametrize("kind", ["quorum", "classic"])
def test_both_declare_the_same_delays(prefix, rabbit, redis, first, kind):
    name = f"{first}-{kind}"  # a virtual host where nothing is declared yet
    rabbit.ctl("add_vhost", name)
    rabbit.ctl("set_permissions", "-p", name, "guest", ".*", ".*", ".*")
    other = RabbitBroker(rabbit)
    other.url = rabbit.url.rstrip("/") + "/" + name
    s = test_topology.Side(
        other,
        redis,
        delayed(prefix),
        broker_native_delayed_delivery_queue_type=kind,
    )
    with s.lovage() if first == "lovage" else s.python(f"{prefix}q") as one:
        s.all_answer()
        with s.python(f"{prefix}q") if first == "lovage" else s.lovage() as two:
            s.all_answer()
            for worker in (one, two):
                assert "PRECONDITION" not in worker.text()
                declared_as_it_is(worker)
