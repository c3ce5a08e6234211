# SPDX-License-Identifier: Apache-2.0
"""Chains, callbacks, errbacks and replaced tasks across both languages."""

import time

import celery
import pytest

import servers

pytestmark = pytest.mark.usefixtures("worker", "pyworker")


@pytest.fixture
def sig(app):
    """sig("interop.add", 1, 2): a signature on the queue of its language."""

    def make(name, *args, **options):
        queue = "py" if name.startswith("py.") else "c"
        return app.signature(name, args=args, queue=queue, **options)

    return make


def test_a_chain_within_lovage(client, sig):
    chain = sig("interop.add", 1, 2) | sig("interop.add", 10) | sig("interop.add", 100)
    assert chain.apply_async().get(timeout=client.timeout) == 113


def test_a_chain_from_python_to_c_to_python(client, sig):
    chain = sig("py.add", 1, 2) | sig("interop.add", 10) | sig("py.double")
    result = chain.apply_async()
    assert result.get(timeout=client.timeout) == 26
    assert result.parent.get(timeout=client.timeout) == 13
    assert result.parent.parent.get(timeout=client.timeout) == 3


def test_a_chain_from_c_to_python_to_c(client, sig):
    chain = sig("interop.add", 1, 2) | sig("py.double") | sig("interop.async_add", 1)
    assert chain.apply_async().get(timeout=client.timeout) == 7


def test_the_parts_of_a_chain_know_root_and_parent(client, sig):
    chain = sig("interop.add", 1, 2) | sig("py.request", immutable=True)
    last = chain.apply_async()
    seen = last.get(timeout=client.timeout)
    assert seen["root_id"] == last.parent.id
    assert seen["parent_id"] == last.parent.id
    assert seen["id"] == last.id


def test_a_failure_ends_the_chain(client, sig):
    chain = sig("interop.fail", "ValueError", "builtins", "stop") | sig("py.double")
    last = chain.apply_async()
    with pytest.raises(ValueError, match="stop"):
        last.parent.get(timeout=client.timeout)
    time.sleep(0.3)
    assert last.state in ("PENDING", "FAILURE")


@pytest.mark.parametrize("task,queue", [("py.add", "py"), ("interop.add", "c")])
def test_a_callback_gets_the_result(client, sig, task, queue):
    result = client.send("interop.add", 1, 2, link=sig(task, 100))
    assert result.get(timeout=client.timeout) == 3
    child = result.children[0]
    assert child.get(timeout=client.timeout) == 103


def test_an_immutable_callback_does_not_get_the_result(client, sig):
    link = sig("py.add", 5, 6, immutable=True)
    result = client.send("interop.add", 1, 2, link=link)
    result.get(timeout=client.timeout)
    assert result.children[0].get(timeout=client.timeout) == 11


def test_a_python_task_calls_back_into_c(client, sig):
    result = client.send("py.add", 1, 2, queue="py", link=sig("interop.add", 100))
    assert result.get(timeout=client.timeout) == 3
    assert result.children[0].get(timeout=client.timeout) == 103


def errback(client, notes):
    """An errback of exactly one positional parameter gets the failed id."""
    return celery.signature(
        "interop.errback", kwargs={"path": str(notes)}, queue="c", app=client.app
    )


def test_an_errback_gets_the_failed_id(client, tmp_path):
    notes = tmp_path / "notes"
    result = client.send(
        *("interop.fail", "ValueError", "builtins", "x"),
        link_error=errback(client, notes),
    )
    with pytest.raises(ValueError):
        result.get(timeout=client.timeout)
    servers.wait_for(
        lambda: notes.exists() and notes.read_text(), 5, "errback"
    )
    assert notes.read_text() == f"failed {result.id}\n"


def test_a_python_errback_is_called_for_a_failure_in_c(client, sig, redis):
    result = client.send(
        "interop.fail", "ValueError", "builtins", "x", link_error=sig("py.note")
    )
    with pytest.raises(ValueError):
        result.get(timeout=client.timeout)
    noted = servers.wait_for(
        lambda: redis.client().lrange("noted", 0, -1), 10, "errback"
    )
    assert noted == [result.id.encode()]


def test_a_c_errback_is_called_for_a_failure_in_python(client, tmp_path):
    notes = tmp_path / "notes"
    link = errback(client, notes)
    result = client.send("py.fail", "x", queue="py", link_error=link)
    with pytest.raises(ValueError):
        result.get(timeout=client.timeout)
    servers.wait_for(lambda: notes.exists() and notes.read_text(), 10, "errback")
    assert notes.read_text() == f"failed {result.id}\n"


def test_a_child_is_listed_with_its_parent(client):
    result = client.send("interop.child", 41, "c")
    child_id = result.get(timeout=client.timeout)
    assert [c.id for c in result.children] == [child_id]
    assert result.children[0].get(timeout=client.timeout) == 42


def test_a_child_in_python_is_listed_with_its_parent(client):
    result = client.send("interop.child", 41, "py")
    result.get(timeout=client.timeout)
    assert result.children[0].get(timeout=client.timeout) == 42


@pytest.mark.parametrize(
    "kind,queue,value", [("chain", "c", 7), ("chain", "py", 7), ("chord", "c", 12)]
)
def test_a_canvas_sent_by_a_c_task_is_run(client, kind, queue, value):
    task_id = client.call("interop.canvas", kind, queue)
    result = client.app.AsyncResult(task_id)
    assert result.get(timeout=client.timeout) == value


@pytest.mark.parametrize("queue", ["c", "py"])
def test_a_replaced_task_has_the_result_of_the_other(client, queue):
    assert client.call("interop.replace", 1, queue) == 1001


def test_a_replaced_task_in_a_chain_passes_its_result_on(client, sig):
    chain = sig("interop.replace", 1, "py") | sig("interop.add", 1)
    assert chain.apply_async().get(timeout=client.timeout) == 1002


def test_a_group_of_both_languages_gives_all_results(client, sig):
    group = celery.group(
        [sig("interop.add", i, i) for i in range(5)] + [sig("py.add", 1, 1)],
        app=client.app,
    )
    result = group.apply_async()
    assert result.get(timeout=client.timeout) == [0, 2, 4, 6, 8, 2]


BODIES = ["py.total", "interop.sum"]
MEMBERS = [["interop.add"], ["py.add"], ["interop.add", "py.add"]]


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("members", MEMBERS, ids="+".join)
def test_a_chord_sums_the_results_of_its_members(client, sig, members, body):
    header = [sig(members[i % len(members)], i, i) for i in range(6)]
    result = celery.chord(header, app=client.app)(sig(body))
    assert result.get(timeout=client.timeout) == 30


def test_a_group_followed_by_a_task_is_a_chord(client, sig):
    group = celery.group(
        [sig("interop.add", i, 1) for i in range(3)], app=client.app
    )
    chain = sig("interop.add", 0, 0, immutable=True) | group | sig("py.total")
    # The group's members get the chain's value as their first argument.
    for member in group.tasks:
        member.args = (member.args[0],)
    assert chain.apply_async().get(timeout=client.timeout) == 3


def test_a_chord_with_a_failed_member_fails(client, sig):
    header = [
        sig("interop.add", 1, 1),
        sig("interop.fail", "ValueError", "builtins", "member"),
    ]
    result = celery.chord(header, app=client.app)(sig("py.total"))
    with pytest.raises(Exception, match="member"):
        result.get(timeout=client.timeout)
