# SPDX-License-Identifier: Apache-2.0
"""Queues with exchanges, bindings and arguments, defined alike on both sides;
test_topology_amqp.py runs the same over RabbitMQ."""

import json
import secrets
import subprocess

import celery
import kombu.pools
import pytest

import servers
import topology
from conftest import Caller

QUORUM = False


@pytest.fixture
def prefix():
    return "t" + secrets.token_hex(3) + "."


class Side:
    """A Celery producer and the settings of both kinds of worker."""

    def __init__(self, broker, redis, found, **settings):
        self.broker, self.redis, self.found = broker, redis, found
        self.settings = settings
        self.app = celery.Celery("producer", broker=broker.url, backend=redis.url)
        self.app.conf.update(settings)
        self.app.conf.task_queues = topology.queues(found)
        self.client = Caller(self.app)
        self.names = [d["name"] for d in found]

    def env(self, **more):
        settings = {**self.settings, "task_queues": self.found, **more}
        return {
            "LOVAGE_BROKER_URL": self.broker.url,
            "LOVAGE_RESULT_BACKEND": self.redis.url,
            **{
                f"LOVAGE_{k.upper()}": v if isinstance(v, str) else json.dumps(v)
                for k, v in settings.items()
            },
        }

    def lovage(self, *argv, queues=None, **settings):
        return servers.Worker(
            self.broker.url,
            *argv,
            backend=self.redis.url,
            queues=queues,
            env=self.env(**settings),
        )

    def python(self, queues):
        settings = {**self.settings, "task_queues": self.found}
        return servers.CeleryWorker(
            self.broker.url,
            backend=self.redis.url,
            queues=queues,
            env={"CELERY_APP_SETTINGS": json.dumps(settings)},
        )

    def call(self, *argv, **settings):
        done = servers.lovage(
            "call", "interop.add", "--wait", *argv, env=self.env(**settings)
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split()[1]

    def all_answer(self):
        sent = [
            self.client.send("interop.add", i, 1, queue=name)
            for i, name in enumerate(self.names)
        ]
        for i, result in enumerate(sent):
            assert result.get(timeout=self.client.timeout) == i + 1, self.names[i]


@pytest.fixture
def side(broker, redis, prefix):
    """make(): both sides with one queue of each kind."""

    def make(found=None, **settings):
        found = found or topology.definitions(prefix, QUORUM)
        s = Side(broker, redis, found, **settings)
        made.append(s)
        return s

    made = []
    yield make
    for s in made:
        s.app.close()


def declared_as_it_is(worker):
    """Nothing was found to be there otherwise."""
    assert "as the settings have it" not in worker.text()
    assert "cannot be declared" not in worker.text()
    assert "not as it should be" not in worker.text()


def test_what_lovage_declares_first_celery_uses(side):
    s = side()
    with s.lovage() as w:
        s.all_answer()
        with s.python(",".join(s.names)):
            w.stop()
            s.all_answer()


def test_what_celery_declares_first_lovage_uses(side):
    s = side()
    with s.python(",".join(s.names)) as py:
        s.all_answer()
        with s.lovage() as w:
            py.stop()
            s.all_answer()
            declared_as_it_is(w)


def test_lovage_publishes_before_any_consumer_is_there(side, prefix):
    """It declares what it publishes to, so that nothing is lost."""
    s = side()
    routes = {
        "interop.add": {"exchange": f"{prefix}tx", "routing_key": f"{prefix}video.hd"}
    }
    ids = []
    for options in (
        ["--queue", f"{prefix}plain"],
        ["--queue", f"{prefix}prio"],
        ["--queue", f"{prefix}direct"],
        ["--queue", f"{prefix}topic", "--routing-key", f"{prefix}video.x.y"],
        ["--exchange", f"{prefix}bx", "--routing-key", f"{prefix}a.b"],
        ["--exchange", f"{prefix}dx", "--routing-key", f"{prefix}d.key"],
        [],
    ):
        done = servers.lovage(
            *("call", "interop.add", "--args=[20, 22]", *options),
            env=s.env(task_routes=routes),
        )
        assert done.returncode == 0, done.stderr
        ids.append(done.stdout.split()[0])
    with s.python(",".join(s.names)):
        for id in ids:
            value = s.app.AsyncResult(id).get(timeout=s.client.timeout)
            assert value == 42, id


def test_messages_go_where_exchange_and_key_say(side, prefix):
    """From Python, to exchanges of all types; a task sees both."""
    s = side()
    exchanges = {
        "direct": (f"{prefix}dx", f"{prefix}d.key"),
        "topic": (f"{prefix}tx", f"{prefix}video.hd.60"),
        "bound": (f"{prefix}bx", f"{prefix}a.b"),
        "fan": (f"{prefix}fx", "celery"),
    }
    with s.lovage():
        for name, (exchange, key) in exchanges.items():
            # The producer declares what it sends to, as Celery does.
            queue = s.app.amqp.queues[prefix + name]
            seen = s.client.call(
                "interop.request", "delivery_info", exchange=exchange,
                routing_key=key, declare=[queue],
                exchange_type=queue.exchange.type,
            )
            assert seen["exchange"] == exchange
            assert seen["routing_key"] == key


def test_a_retry_goes_the_way_it_came(side, prefix):
    s = side()
    queue = s.app.amqp.queues[f"{prefix}topic"]
    with s.lovage():
        assert s.client.call("interop.retry_until", 2, queue=f"{prefix}topic") == 2
        assert s.client.call(
            "interop.retry_until", 2, exchange=f"{prefix}tx",
            routing_key=f"{prefix}video.x", declare=[queue],
        ) == 2


def test_routes_of_both_agree(side, prefix):
    """Names, globs, lists of pairs, and queues with a key of their own."""
    routes = [
        [
            ["interop.echo", {"queue": f"{prefix}direct", "priority": 3}],
            ["interop.re*", {"queue": f"{prefix}topic",
                             "routing_key": f"{prefix}video.q"}],
        ],
        {"interop.*": f"{prefix}plain"},
    ]
    s = side(task_routes=routes)
    with s.lovage():
        for task, args in (
            ("interop.request", ["delivery_info"]),
            ("interop.echo", [1]),
            ("interop.add", [1, 2]),
        ):
            s.client.call(task, *args)
        theirs = s.client.call("interop.request", "delivery_info")
        sent = servers.lovage(
            *("call", "interop.request", '--args=["delivery_info"]', "--wait"),
            env=s.env(),
        )
        assert sent.returncode == 0, sent.stderr
        ours = json.loads(sent.stdout.split("\n", 1)[1])
        assert ours["exchange"] == theirs["exchange"] == f"{prefix}tx"
        assert ours["routing_key"] == theirs["routing_key"] == f"{prefix}video.q"


def test_what_a_task_sends_is_routed(side, prefix):
    """A chain's second step goes where task_routes of the worker says."""
    routes = {"py.double": {"queue": f"{prefix}topic",
                            "routing_key": f"{prefix}video.z"}}
    s = side(task_routes=routes)
    with s.lovage(queues=f"{prefix}plain"), s.python(f"{prefix}topic"):
        first = s.app.signature("interop.add", args=(4, 5), queue=f"{prefix}plain")
        chain = first | s.app.signature("py.double")
        result = chain.apply_async()
        assert result.get(timeout=s.client.timeout) == 18


def test_a_broadcast_reaches_all(side, prefix):
    news = {"name": f"{prefix}news", "broadcast": True}
    s = side([{"name": f"{prefix}plain"}, news])
    queue = s.app.amqp.queues[f"{prefix}news"]
    with s.lovage() as one, s.lovage() as two:
        with s.python(f"{prefix}plain,{prefix}news") as three:
            for worker in (one, two, three):
                active(s, worker)  # answers: it has subscribed
            # A Python producer that has not declared the exchange would take
            # it for a direct one (on Redis).
            sent = [
                s.client.send("interop.add", 1, 2, queue=queue,
                              declare=[queue.exchange]).id
            ]
            done = servers.lovage(
                *("call", "interop.add", "--args=[3, 4]"),
                *("--queue", f"{prefix}news"),
                env=s.env(),
            )
            assert done.returncode == 0, done.stderr
            sent.append(done.stdout.split()[0])
            for id in sent:
                for worker in (one, two, three):
                    servers.wait_for(lambda: id in worker.text(), 10, worker.name)
                assert s.app.AsyncResult(id).get(timeout=10) in (3, 7)


def control(broker, *argv):
    done = subprocess.run(
        [servers.PYTHON, "-m", "celery", "-b", broker.url, *argv],
        capture_output=True,
        text=True,
        timeout=60 * servers.SLOW,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def active(s, worker):
    ask = s.app.control.inspect(timeout=3, destination=[worker.hostname])
    return ask.active_queues()[worker.hostname]


def plain(queues):
    """Without what has no order."""
    for q in queues:
        q["bindings"].sort(key=lambda b: b["exchange"]["name"])
    return sorted(queues, key=lambda q: q["name"])


def test_active_queues_are_shown_as_celery_shows_them(side):
    s = side()
    with s.lovage() as w, s.python(",".join(s.names)) as py:
        ours, theirs = plain(active(s, w)), plain(active(s, py))
        for mine, its in zip(ours, theirs, strict=True):
            assert mine == its


def test_consumers_are_added_and_cancelled(side, broker, prefix):
    s = side([{"name": f"{prefix}plain"}])
    name = f"{prefix}new"
    with s.lovage() as w:
        to = ("-d", w.hostname)
        said = control(broker, "control", *to, "add_consumer", name)
        assert f"add consumer {name}" in said
        said = control(
            broker, "control", *to, "add_consumer", f"{prefix}top",
            f"{prefix}ex", "topic", f"{prefix}a.#",
        )
        assert "OK" in said
        shown = {q["name"]: q for q in active(s, w)}
        assert set(shown) == {f"{prefix}plain", name, f"{prefix}top"}
        assert shown[f"{prefix}top"]["exchange"]["type"] == "topic"
        assert shown[f"{prefix}top"]["routing_key"] == f"{prefix}a.#"
        assert s.client.call("interop.add", 1, 2, queue=name) == 3
        assert s.client.call(
            "interop.add", 2, 2, exchange=f"{prefix}ex", exchange_type="topic",
            routing_key=f"{prefix}a.b", declare=[
                topology.queue({
                    "name": f"{prefix}top",
                    "exchange": {"name": f"{prefix}ex", "type": "topic"},
                    "routing_key": f"{prefix}a.#",
                })
            ],
        ) == 4
        broker.restart()
        servers.wait_for(lambda: "connected again" in w.text(), 30, "back")
        kombu.pools.reset()
        s = side(s.found)  # whose connections are new
        assert s.client.call("interop.add", 3, 2, queue=name) == 5
        said = control(broker, "control", *to, "cancel_consumer", name)
        assert f"no longer consuming from {name}" in said
        assert name not in {q["name"] for q in active(s, w)}
        s.client.send("interop.add", 1, 2, queue=name)
        servers.wait_for(lambda: broker.left(name) == 1, 5, "it stays")


def test_which_queues_are_consumed(side, prefix):
    s = side()
    with s.lovage("-X", f"{prefix}plain,nowhere") as w:
        assert {q["name"] for q in active(s, w)} == set(s.names[1:])
    with s.lovage("-Q", f"{prefix}topic,{prefix}made") as w:
        shown = {q["name"]: q for q in active(s, w)}
        assert set(shown) == {f"{prefix}topic", f"{prefix}made"}
        assert shown[f"{prefix}topic"]["exchange"]["name"] == f"{prefix}tx"
        assert shown[f"{prefix}made"]["exchange"]["name"] == f"{prefix}made"
    done = servers.lovage(
        *("worker", "-Q", "made"), env=s.env(task_create_missing_queues="false")
    )
    assert done.returncode == 2
    assert '"made" is not defined in task_queues' in done.stderr
