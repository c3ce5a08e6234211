# SPDX-License-Identifier: Apache-2.0
"""A Celery producer, a Lovage worker on queue "c", a Celery worker on "py"."""

import celery
import pytest

import servers


class RedisBroker:
    def __init__(self, redis):
        self.redis, self.url = redis, redis.url

    def held(self, queue):
        """Delivered and not acknowledged (of all queues)."""
        return self.redis.client().hlen("unacked")

    def left(self, queue):
        """The same and what waits."""
        return self.redis.client().llen(queue) + self.held(queue)

    def restart(self):
        """All it had is gone."""
        self.redis.restart()


class RabbitBroker:
    def __init__(self, rabbit):
        self.rabbit, self.url = rabbit, rabbit.url

    def counts(self, queue):
        columns = ("name", "messages_unacknowledged", "messages")
        for line in self.rabbit.ctl("list_queues", "-q", *columns).splitlines():
            name, *numbers = line.split("\t")
            if name == queue:
                return [int(n) for n in numbers]
        return [0, 0]

    def held(self, queue):
        return self.counts(queue)[0]

    def left(self, queue):
        return self.counts(queue)[1]

    def restart(self):
        """All connections are gone; the server would take long."""
        self.rabbit.ctl("close_all_connections", "test")


@pytest.fixture(scope="session")
def broker(redis):
    """What messages go through; test_amqp.py has another one."""
    return RedisBroker(redis)


@pytest.fixture(scope="session")
def app(broker, redis):
    """An unmodified Celery producer; its tasks go to the Lovage worker."""
    a = celery.Celery("producer", broker=broker.url, backend=redis.url)
    a.conf.task_default_queue = "c"
    yield a
    a.close()


@pytest.fixture(scope="session")
def worker(broker, redis):
    with servers.Worker(
        broker.url, backend=redis.url, queues="c", concurrency=2
    ) as w:
        yield w
        assert w.running(), w.tail()


@pytest.fixture(scope="session")
def pyworker(broker, redis):
    with servers.CeleryWorker(
        broker.url, backend=redis.url, queues="py"
    ) as w:
        yield w


class Caller:
    """send("interop.add", 1, 2): an AsyncResult; call(...): its value."""

    timeout = 15 * servers.SLOW

    def __init__(self, app):
        self.app = app

    def send(self, task, *args, kwargs=None, **options):
        return self.app.send_task(task, args, kwargs or {}, **options)

    def call(self, task, *args, **more):
        return self.send(task, *args, **more).get(timeout=self.timeout)

    def state(self, result, state):
        """Waits until result is in that state."""
        servers.wait_for(
            lambda: result.state == state, 15, f"{result.id} {state}"
        )


@pytest.fixture
def client(app, worker):
    """Sends tasks to the Lovage worker."""
    return Caller(app)
