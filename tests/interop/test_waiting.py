# SPDX-License-Identifier: Apache-2.0
"""What becomes of tasks that wait in a node: for an executor, for their time,
for another worker."""

import time

import pytest
from celery.exceptions import TaskRevokedError

import servers
from conftest import Caller  # of this folder


@pytest.fixture
def narrow(app, broker, redis, queue):
    """Sends to a worker that does one thing at a time."""
    with servers.Worker(
        broker.url, backend=redis.url, queues=queue, concurrency=1
    ) as w:
        caller = Caller(app)
        caller.worker = w
        caller.to = lambda name, *args, **more: caller.send(
            f"interop.{name}", *args, queue=queue, **more
        )
        yield caller


def reserved(caller):
    inspect = caller.app.control.inspect(
        timeout=3, destination=[caller.worker.hostname]
    )
    return [r["id"] for r in inspect.reserved()[caller.worker.hostname]]


def test_a_revoked_task_that_waits_for_an_executor_does_not_run(
    narrow, tmp_path
):
    busy = narrow.to("nap", 3)
    notes = tmp_path / "notes"
    waits = narrow.to("note", str(notes), "ran")
    servers.wait_for(lambda: waits.id in reserved(narrow), 3, "reserved")
    narrow.app.control.revoke(waits.id)
    with pytest.raises(TaskRevokedError, match="revoked"):
        waits.get(timeout=narrow.timeout)
    assert busy.get(timeout=narrow.timeout) == "rested"
    assert not notes.exists()


def test_a_task_that_expires_while_it_waits_for_an_executor_does_not_run(
    narrow, tmp_path
):
    narrow.to("nap", 2)
    notes = tmp_path / "notes"
    waits = narrow.to("note", str(notes), "ran", expires=1)
    with pytest.raises(TaskRevokedError, match="expired"):
        waits.get(timeout=narrow.timeout)
    assert not notes.exists()


@pytest.mark.parametrize("kept", ["records", "no records"])
def test_a_task_that_goes_back_to_its_queue_runs_again(
    app, broker, redis, queue, request, tmp_path, kept
):
    database = None
    if kept == "records":
        database = request.getfixturevalue("database")
    with servers.Worker(
        broker.url, backend=redis.url, queues=queue, database=database
    ):
        result = Caller(app).send(
            "interop.reject_once", str(tmp_path / "seen"), queue=queue
        )
        assert result.get(timeout=15) == "again"
        servers.wait_for(lambda: broker.left(queue) == 0, 5, "acked")


def test_a_task_that_could_not_send_what_it_wanted_has_failed(
    app, broker, redis, queue, postgres, database
):
    """A chord needs a result backend, and only the node knows that it has
    none: the task itself has ended by then."""
    with servers.Worker(
        broker.url, backend="disabled://", queues=queue, database=database
    ):
        result = Caller(app).send("interop.canvas", "chord", queue, queue=queue)
        db = database.rpartition("/")[2]
        status, error = servers.wait_for(
            lambda: postgres.query(
                "SELECT status, error FROM tasks WHERE id = %s"
                " AND finished_at IS NOT NULL",
                result.id,
                db=db,
            ),
            10,
            "recorded",
        )[0]
        assert (status, "refused" in error) == ("FAILURE", True)
