# SPDX-License-Identifier: Apache-2.0
"""A Celery producer, a Lovage worker on queue "c", a Celery worker on "py"."""

import celery
import pytest

import servers


@pytest.fixture(scope="session")
def app(redis):
    """An unmodified Celery producer; its tasks go to the Lovage worker."""
    a = celery.Celery("producer", broker=redis.url, backend=redis.url)
    a.conf.task_default_queue = "c"
    yield a
    a.close()


@pytest.fixture(scope="session")
def worker(redis):
    with servers.Worker(redis.url, queues="c", concurrency=2) as w:
        yield w
        assert w.running(), w.tail()


@pytest.fixture(scope="session")
def pyworker(redis):
    with servers.CeleryWorker(redis.url, queues="py") as w:
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
