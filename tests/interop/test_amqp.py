# SPDX-License-Identifier: Apache-2.0
"""The same tests with RabbitMQ between the languages; results in Redis."""
# timeout: 400

import pytest

import servers
from conftest import Caller, RabbitBroker  # of this folder

# pytest runs what is imported, with the broker of this file.
from test_canvas import *  # noqa: F401,F403
from test_failures import *  # noqa: F401,F403
from test_fleet import (  # noqa: F401
    test_a_mixed_fleet_does_all_of_500_tasks,
    test_two_nodes_share_the_work,
    test_what_a_stopped_python_worker_held_is_done_by_lovage,
    test_what_a_stopped_worker_held_is_done_by_a_python_worker,
    test_what_comes_again_is_not_run_if_it_is_done,
)
from test_inspect import (  # noqa: F401
    inspect,
    test_a_worker_shuts_down_when_it_is_told,
    test_active_queues_and_stats,
    test_active_shows_what_runs,
    test_registered_lists_the_tasks,
    test_scheduled_shows_what_waits_for_its_time,
)
from test_produce import *  # noqa: F401,F403

pytestmark = pytest.mark.usefixtures("worker", "pyworker")


@pytest.fixture(scope="session")
def broker(rabbit):
    return RabbitBroker(rabbit)


@pytest.fixture
def env(broker, redis):
    return {
        "LOVAGE_BROKER_URL": broker.url,
        "LOVAGE_RESULT_BACKEND": redis.url,
    }


def test_lovage_sends_and_waits(worker, env):
    argv = ("call", "interop.add", "--args=[1, 2]", "--queue=c", "--wait")
    done = servers.lovage(*argv, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1] == "3"


def test_purge_removes_what_waits(app, broker, env, queue):
    client = Caller(app)
    for i in range(25):
        client.send("interop.add", i, 1, queue=queue)
    done = servers.lovage("purge", "-f", "-Q", queue, env=env)
    assert done.returncode == 0, done.stderr
    assert "25 messages" in done.stdout
    assert broker.left(queue) == 0


def test_what_lovage_declares_celery_accepts(app, broker, redis, queue):
    """And the reverse: every queue of these tests was declared by both."""
    client = Caller(app)
    with servers.Worker(broker.url, backend=redis.url, queues=queue):
        pass
    result = client.send("interop.add", 1, 2, queue=queue)
    with servers.CeleryWorker(broker.url, backend=redis.url, queues=queue):
        assert result.get(timeout=client.timeout) == 3
