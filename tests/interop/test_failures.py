# SPDX-License-Identifier: Apache-2.0
"""Failures of all kinds, as a Python client meets them."""

import time

import celery.exceptions
import pytest

import servers
from celery.exceptions import (
    MaxRetriesExceededError,
    NotRegistered,
    SoftTimeLimitExceeded,
    TaskRevokedError,
    TimeLimitExceeded,
    WorkerLostError,
)

pytestmark = pytest.mark.usefixtures("worker")


def test_an_exception_is_raised_again_with_its_arguments(client):
    result = client.send("interop.fail", "ValueError", "builtins", "boom", 42)
    with pytest.raises(ValueError) as e:
        result.get(timeout=client.timeout)
    assert e.value.args == ("boom", 42)
    assert result.state == "FAILURE"
    assert result.failed()
    assert isinstance(result.result, ValueError)
    assert "in the interop plugin" in result.traceback


@pytest.mark.parametrize("name", ["KeyError", "OSError", "ZeroDivisionError"])
def test_builtin_exceptions_keep_their_type(client, name):
    with pytest.raises(Exception) as e:
        client.call("interop.fail", name, "builtins", "x")
    assert type(e.value).__name__ == name


def test_an_exception_that_python_does_not_have_keeps_its_name(client):
    with pytest.raises(Exception) as e:
        client.call("interop.fail", "OutOfCarrots", "garden.errors", "none left")
    assert type(e.value).__name__ == "OutOfCarrots"
    assert "none left" in str(e.value)


def test_a_missing_argument_is_python_s_type_error(client):
    with pytest.raises(TypeError, match="missing 1 required positional"):
        client.call("interop.add", 1)


def test_an_unexpected_argument_is_python_s_type_error(client):
    with pytest.raises(TypeError, match="takes 2 positional arguments but 3"):
        client.call("interop.add", 1, 2, 3)
    with pytest.raises(TypeError, match="unexpected keyword argument 'z'"):
        client.call("interop.add", 1, 2, kwargs={"z": 3})


def test_an_unknown_task_is_not_registered(client):
    result = client.send("interop.nowhere")
    with pytest.raises(NotRegistered, match="interop.nowhere"):
        result.get(timeout=client.timeout)
    assert result.state == "FAILURE"


def test_a_task_retries_until_it_succeeds(client):
    assert client.call("interop.retry_until", 3) == 3


def test_a_task_that_waits_for_its_retry_is_in_state_retry(client):
    result = client.send("interop.retry_until", 5)
    client.state(result, "RETRY")
    assert isinstance(result.info, ConnectionError)
    assert result.get(timeout=client.timeout) == 5


def test_the_given_exception_is_raised_after_the_last_retry(client):
    with pytest.raises(ConnectionError, match="not yet"):
        client.call("interop.retry_until", 99)


def test_without_an_exception_the_retries_are_exceeded(client):
    with pytest.raises(MaxRetriesExceededError):
        client.call("interop.retry_plain")


def test_listed_exceptions_retry_by_themselves(client):
    assert client.call("interop.auto_retry", 2) == 2
    with pytest.raises(ValueError, match="attempt 3"):
        client.call("interop.auto_retry", 99)


def test_the_soft_limit_of_a_task_is_told_to_it(client):
    with pytest.raises(SoftTimeLimitExceeded):
        client.call("interop.short_nap", 10)


def test_the_soft_limit_of_a_call_is_told_to_the_task(client):
    with pytest.raises(SoftTimeLimitExceeded):
        client.call("interop.nap", 10, soft_time_limit=0.5)


def test_the_hard_limit_ends_a_task_that_hangs(client):
    with pytest.raises(TimeLimitExceeded):
        client.call("interop.short_hang")
    with pytest.raises(TimeLimitExceeded):
        client.call("interop.hang", time_limit=0.5)
    assert client.call("interop.add", 1, 1) == 2


def test_a_task_that_crashes_is_told_as_lost(client, worker):
    nodes = worker.nodes()
    with pytest.raises(WorkerLostError):
        client.call("interop.crash")
    assert client.call("interop.add", 1, 1) == 2
    assert worker.nodes() == nodes


def test_a_rejected_task_is_gone_without_a_result(client, broker):
    before = broker.left("c")
    result = client.send("interop.reject")
    client.call("interop.add", 1, 1)
    servers.wait_for(lambda: broker.left("c") <= before, 5, "rejected")
    assert result.state == "PENDING"


def test_an_ignored_task_leaves_no_result(client, broker):
    before = broker.left("c")
    result = client.send("interop.ignore")
    client.call("interop.add", 1, 1)
    servers.wait_for(lambda: broker.left("c") <= before, 5, "ignored")
    assert result.state == "PENDING"


def test_a_task_revoked_before_its_eta_does_not_run(client):
    result = client.send("interop.add", 1, 1, countdown=2)
    time.sleep(0.5)
    client.app.control.revoke(result.id)
    with pytest.raises(TaskRevokedError, match="revoked"):
        result.get(timeout=client.timeout)
    assert result.state == "REVOKED"


def test_a_revoked_task_that_arrives_later_does_not_run(client):
    from celery import uuid

    task_id = uuid()
    client.app.control.revoke(task_id)
    time.sleep(0.5)
    result = client.send("interop.add", 1, 1, task_id=task_id)
    client.state(result, "REVOKED")


# A Python worker of Celery 5.6 or newer that hears of the revoke also marks the
# task, if the result backend does not say that it has begun.
@pytest.mark.parametrize(
    "task,reason",
    [("nap", "terminated|revoked"), ("tracked_nap", "terminated")],
)
def test_a_running_task_is_terminated(client, task, reason):
    result = client.send(f"interop.{task}", 60)
    time.sleep(1)
    client.app.control.revoke(result.id, terminate=True)
    with pytest.raises(TaskRevokedError, match=reason):
        result.get(timeout=client.timeout)
    assert client.call("interop.add", 1, 1) == 2


def test_a_revoke_without_terminate_lets_a_running_task_end(client):
    result = client.send("interop.tracked_nap", 1.5)
    client.state(result, "STARTED")
    client.app.control.revoke(result.id)
    assert result.get(timeout=client.timeout) == "rested"


def test_pending_is_what_an_unknown_id_is(client):
    assert client.app.AsyncResult("no-such-id").state == "PENDING"
    with pytest.raises(celery.exceptions.TimeoutError):
        client.app.AsyncResult("no-such-id").get(timeout=0.2)
