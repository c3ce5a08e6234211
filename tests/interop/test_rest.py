# SPDX-License-Identifier: Apache-2.0
"""Tasks submitted through REST are run by workers of both languages, and tasks
of Python producers are on record."""

import json
import time
import urllib.error
import urllib.request

import pytest

import servers


@pytest.fixture(scope="module")
def records(postgres):
    """A database with the schema."""
    return servers.migrate(postgres.database())


@pytest.fixture(scope="module")
def api(redis, records):
    with servers.Api(redis.url, records) as a:
        yield a
        assert a.running(), a.tail()


@pytest.fixture(scope="module")
def recording(redis, records):
    """A Lovage worker with records, on a queue of its own."""
    with servers.Worker(redis.url, queues="r", database=records) as w:
        yield w


def ask(api, method, path, body=None):
    """The status and the decoded answer."""
    request = urllib.request.Request(
        api.url + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"content-type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as r:
            return r.status, json.loads(r.read() or b"null")
    except urllib.error.HTTPError as e:
        return e.code, json.loads(e.read() or b"null")


def submit(api, task, *args, **more):
    status, doc = ask(
        api,
        "POST",
        "/api/v1/tasks",
        {"name": "a test", "task": task, "args": args, **more},
    )
    assert 200 <= status < 300, doc
    return doc["task_id"]


def done(api, task_id, timeout=20):
    """The record, once it is final."""

    def look():
        doc = ask(api, "GET", f"/api/v1/tasks/{task_id}")[1]
        return doc["status"] in ("SUCCESS", "FAILURE", "REVOKED") and doc

    return servers.wait_for(look, timeout, f"{task_id} done", 0.1)


def test_a_python_worker_runs_a_task_of_the_api(api, pyworker):
    doc = done(api, submit(api, "py.add", 20, 22, queue="py"))
    assert (doc["status"], doc["result"]) == ("SUCCESS", 42)


def test_a_python_worker_sees_a_request_as_python_makes_it(api, pyworker):
    task_id = submit(api, "py.request", queue="py", kwargs={}, priority=4)
    seen = done(api, task_id)["result"]
    assert seen["id"] == seen["root_id"] == seen["correlation_id"] == task_id
    assert seen["retries"] == 0
    assert seen["delivery_info"]["priority"] == 4
    assert seen["origin"].startswith("gen")


def test_a_failure_in_python_is_on_record(api, pyworker):
    doc = done(api, submit(api, "py.fail", "weeds", queue="py"))
    assert doc["status"] == "FAILURE"
    assert "ValueError('weeds', 42)" in doc["error"]


def test_python_reads_the_result_of_a_task_of_the_api(api, app, recording):
    task_id = submit(api, "interop.add", 1, 2, queue="r")
    assert app.AsyncResult(task_id).get(timeout=15) == 3
    doc = done(api, task_id)
    assert (doc["result"], doc["worker"]) == (3, recording.hostname)


def test_python_raises_the_error_of_a_task_of_the_api(api, app, recording):
    task_id = submit(api, "interop.fail", "KeyError", "builtins", "k", queue="r")
    with pytest.raises(KeyError):
        app.AsyncResult(task_id).get(timeout=15)
    doc = done(api, task_id)
    assert doc["error"] == "KeyError('k')"


def test_a_task_of_a_python_producer_is_on_record(api, app, recording):
    result = app.send_task("interop.add", (3, 4), queue="r")
    assert result.get(timeout=15) == 7
    doc = done(api, result.id)
    assert (doc["task"], doc["args"], doc["result"]) == ("interop.add", [3, 4], 7)
    assert doc["status"] == "SUCCESS"


def test_retries_are_on_record(api, app, recording):
    result = app.send_task("interop.retry_until", (2,), queue="r")
    assert result.get(timeout=15) == 2
    assert done(api, result.id)["retries"] == 2


def test_a_crash_is_on_record(api, app, recording):
    result = app.send_task("interop.crash", queue="r")
    with pytest.raises(Exception, match="exited prematurely|signal|lost"):
        result.get(timeout=15)
    assert "WorkerLostError" in done(api, result.id)["error"]


def test_a_deleted_task_does_not_run(api, app, recording):
    task_id = submit(api, "interop.add", 1, 1, queue="r", countdown=2)
    status, _ = ask(api, "DELETE", f"/api/v1/tasks/{task_id}")
    assert status in (200, 204)
    assert ask(api, "GET", f"/api/v1/tasks/{task_id}")[0] == 404
    time.sleep(3)
    assert app.AsyncResult(task_id).state in ("PENDING", "REVOKED")


def test_an_eta_of_the_api_is_kept(api, recording):
    begin = time.monotonic()
    done(api, submit(api, "interop.add", 1, 1, queue="r", countdown=1))
    assert time.monotonic() - begin > 0.9


def test_a_chain_with_records_passes_its_results_on(api, app, recording):
    chain = app.signature("interop.add", (1, 2), queue="r") | app.signature(
        "interop.add", (10,), queue="r"
    )
    result = chain.apply_async()
    assert result.get(timeout=15) == 13
    assert done(api, result.id)["result"] == 13
    assert done(api, result.parent.id)["result"] == 3


def test_the_same_message_twice_runs_once(api, app, redis, recording, tmp_path):
    """A delivery of a finished task is acknowledged and not run."""
    notes = tmp_path / "notes"
    app.send_task("interop.note", (str(notes), "once"), queue="twice")
    message = redis.client().lpop("twice")
    redis.client().lpush("r", message)
    servers.wait_for(notes.exists, 10, "the first run")
    task_id = json.loads(message)["headers"]["id"]
    done(api, task_id)
    redis.client().lpush("r", message)
    servers.wait_for(
        lambda: not redis.client().exists("r", "unacked"), 10, "taken"
    )
    time.sleep(0.3)
    assert notes.read_text() == "once\n"


def test_what_replaces_a_task_is_sent_before_it_is_recorded(
    app, redis, records, recording
):
    """Else a crash between the two would lose it.  A worker that takes it
    before the record keeps it."""
    import psycopg2

    conn = psycopg2.connect(records)
    conn.autocommit = True
    with conn.cursor() as cur:
        cur.execute(
            "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN PERFORM pg_advisory_xact_lock_shared(16); RETURN new; END'"
        )
        cur.execute(
            "CREATE TRIGGER hold BEFORE UPDATE ON tasks FOR EACH ROW WHEN "
            "(old.running AND new.status = 'RETRY') EXECUTE FUNCTION hold()"
        )
        cur.execute("SELECT pg_advisory_lock(16)")
        try:
            result = app.send_task("interop.replace", (1, "aside"), queue="r")
            servers.wait_for(
                lambda: redis.client().llen("aside"), 10, "the replacement"
            )
            cur.execute("SELECT running FROM tasks WHERE id = %s", (result.id,))
            assert cur.fetchone() == (True,)
            with servers.Worker(
                redis.url, queues="aside", database=records
            ):
                servers.wait_for(
                    lambda: not redis.client().llen("aside"), 10, "taken"
                )
                time.sleep(0.3)
                cur.execute("SELECT pg_advisory_unlock(16)")
                assert result.get(timeout=15) == 1001
        finally:
            cur.execute("SELECT pg_advisory_unlock_all()")
            cur.execute("DROP TRIGGER hold ON tasks")
            cur.execute("DROP FUNCTION hold()")
    conn.close()
