# SPDX-License-Identifier: Apache-2.0
"""Tasks through the api, run by a real Celery worker that knows nothing of our
records: what it did is found in the result backend."""

import datetime
import json
import pathlib
import time

import pytest
import servers
import wire

TASKS = "/api/v1/tasks"


class Celery(servers.CeleryWorker):
    def __init__(self, url, queue, **options):
        super().__init__(url, queues=queue, **options)
        self.env["PYTHONPATH"] = str(pathlib.Path(__file__).parent)

    def command(self):
        return [
            *(servers.PYTHON, "-m", "celery", "-A", "celery_tasks", "worker"),
            *self.argv,
        ]


@pytest.fixture(scope="module")
def worker(redis):
    with Celery(redis.url, "py") as w:
        yield w


def submit(call, task, *args, **fields):
    body = {"name": task, "task": task, "args": list(args), "queue": "py", **fields}
    answer = call("POST", TASKS, body)
    assert answer.status == 201, answer
    row = answer.json()
    assert answer.headers["location"] == f"{TASKS}/{row['task_id']}"
    return row


def done(call, row, timeout=15):
    def check():
        now = call("GET", f"{TASKS}/{row['task_id']}").json()
        return now if now["status"] in ("SUCCESS", "FAILURE", "REVOKED") else None

    return servers.wait_for(check, timeout, f"{row['task']} done")


def test_a_row_has_all_that_was_said(call):
    row = submit(call, "t.nobody", 1, kwargs={"a": [None]}, queue="none", description="d")
    assert row["description"] == "d" and row["queue"] == "none"
    assert row["args"] == [1] and row["kwargs"] == {"a": [None]}
    assert row["status"] == "PENDING"
    made = datetime.datetime.fromisoformat(row["created_at"])
    now = datetime.datetime.now(datetime.timezone.utc)
    assert abs((now - made).total_seconds()) < 60
    assert call("GET", f"{TASKS}/{row['id']}").json() == row


def test_a_python_worker_runs_it_and_its_result_is_seen(call, worker):
    row = done(call, submit(call, "t.add", 2, 3, kwargs={"z": 4}))
    assert (row["status"], row["result"], row["error"]) == ("SUCCESS", 9, None)
    assert row["finished_at"]


def test_a_failure_is_told_as_python_prints_it(call, worker):
    row = done(call, submit(call, "t.fail", "boom", 42))
    assert row["status"] == "FAILURE"
    assert row["error"] == "ValueError('boom', 42)"
    assert "Traceback" in row["traceback"]


def test_what_nobody_asks_for_is_noted_too(call, worker, shared_database, postgres):
    row = submit(call, "t.add", 1, 1)
    db = shared_database.rsplit("/", 1)[1]

    def noted():
        query = "SELECT status FROM tasks WHERE id = %s"
        return postgres.query(query, row["task_id"], db=db)[0][0] == "SUCCESS"

    servers.wait_for(noted, 30, "the sweep")


def test_countdown_holds_a_task_back(call, worker):
    begin = time.monotonic()
    done(call, submit(call, "t.add", 1, 1, countdown=2))
    assert time.monotonic() - begin > 1.9


def test_a_far_eta_waits_in_the_outbox(call, redis):
    row = submit(call, "t.add", 1, 1, queue="far", countdown=3600)
    time.sleep(0.5)
    assert redis.client().llen("far") == 0
    assert row["status"] == "PENDING"


def message(redis, queue):
    raw = servers.wait_for(lambda: redis.client().lindex(queue, 0), 10, "a message")
    return json.loads(raw)


def test_the_message_is_celerys(call, redis):
    row = submit(call, "t.add", 1, queue="msg", expires=60, countdown=5)
    m = message(redis, "msg")
    assert m["headers"]["id"] == m["headers"]["root_id"] == row["task_id"]
    assert m["headers"]["task"] == "t.add"
    eta = datetime.datetime.fromisoformat(m["headers"]["eta"])
    expires = datetime.datetime.fromisoformat(m["headers"]["expires"])
    assert 50 < (expires - eta).total_seconds() < 60
    assert m["properties"]["delivery_info"]["routing_key"] == "msg"


def test_priority_and_routes(redis, shared_database):
    routes = {"img.*": {"queue": "images"}, "t.add": {"queue": "sums"}}
    env = {"LOVAGE_TASK_ROUTES": json.dumps(routes)}
    with servers.Api(redis.url, shared_database, env=env) as api:
        for task, queue in (("img.x", "images"), ("t.add", "sums"), ("o", "celery")):
            body = {"name": "n", "task": task, "priority": 0}
            row = wire.request(api.port, "POST", TASKS, body).json()
            assert row["queue"] == queue
        body = {"name": "n", "task": "t.add", "priority": 9}
        wire.request(api.port, "POST", TASKS, body)
        high = servers.wait_for(lambda: redis.client().keys("sums\x06\x16*"), 10)
        assert high == [b"sums\x06\x169"]


def test_lists_are_filtered_and_paged(call):
    ids = [submit(call, "t.list", i, queue="lq", name=f"Find {i}")["id"] for i in range(5)]
    page = call("GET", f"{TASKS}?queue=lq&limit=2&skip=1").json()
    assert [r["id"] for r in page["items"]] == [ids[3], ids[2]]
    assert (page["total"], page["limit"], page["skip"]) == (5, 2, 1)
    assert call("GET", f"{TASKS}?task=t.list&status=SUCCESS").json()["items"] == []
    assert call("GET", f"{TASKS}?q=find%203").json()["total"] == 1
    assert call("GET", f"{TASKS}?q=100%25").json()["total"] == 0


def test_put_changes_words_at_any_time(call, worker):
    row = done(call, submit(call, "t.add", 1, 1))
    url = f"{TASKS}/{row['task_id']}"
    now = call("PUT", url, {"name": "new", "description": "words"}).json()
    assert (now["name"], now["description"], now["result"]) == ("new", "words", 2)
    assert call("PUT", url, {"args": [5, 5]}).status == 409
    assert call("GET", url).json()["args"] == [1, 1]


def test_put_changes_what_is_not_yet_published(call, redis):
    row = submit(call, "t.add", 1, 1, queue="early", countdown=3600)
    url = f"{TASKS}/{row['task_id']}"
    now = call("PUT", url, {"args": [2, 2], "kwargs": {"z": 1}, "queue": "late"})
    assert now.status == 200, now
    assert now.json()["args"] == [2, 2] and now.json()["queue"] == "late"
    assert now.json()["task"] == "t.add"


def test_put_brings_a_far_task_forward(call, redis):
    row = submit(call, "t.add", 1, 1, queue="forward", countdown=3600)
    url = f"{TASKS}/{row['task_id']}"
    assert call("PUT", url, {"countdown": 1}).status == 200
    assert message(redis, "forward")["headers"]["id"] == row["task_id"]


def test_put_puts_a_task_off(call, redis, postgres, shared_database):
    row = submit(call, "t.add", 1, 1, queue="off", countdown=3600)
    assert call("PUT", f"{TASKS}/{row['task_id']}", {"countdown": 7200}).status == 200
    due = postgres.query(
        "SELECT due_at > now() + interval '1.5 h' FROM outbox WHERE task_id = %s",
        row["task_id"],
        db=shared_database.rpartition("/")[2],
    )
    assert due == [(True,)]


def test_delete_removes_and_the_task_is_never_run(call, worker, redis):
    row = submit(call, "t.sleep", 1, countdown=2)
    url = f"{TASKS}/{row['task_id']}"
    gone = call("DELETE", url)
    assert gone.status == 200 and gone.json()["task_id"] == row["task_id"]
    assert call("GET", url).status == 404
    assert call("DELETE", url).status == 404
    # The worker has been told by remote control.
    servers.wait_for(
        lambda: "revoked" in worker.text() and row["task_id"] in worker.text(), 10
    )
    assert redis.client().get("celery-task-meta-" + row["task_id"]) is None or (
        b"REVOKED" in redis.client().get("celery-task-meta-" + row["task_id"])
    )


def test_delete_with_terminate_ends_a_running_task(call, redis):
    with Celery(redis.url, "long") as worker:
        row = submit(call, "t.sleep", 60, queue="long")
        servers.wait_for(lambda: row["task_id"] in worker.text(), 15)
        url = f"{TASKS}/{row['task_id']}?terminate=true"
        assert call("DELETE", url).status == 200
        servers.wait_for(lambda: "Terminating" in worker.text(), 15)


def test_terminate_is_true_or_false(call):
    row = submit(call, "t.x", queue="none")
    url = f"{TASKS}/{row['task_id']}"
    assert call("DELETE", url + "?terminate=maybe").status == 422
    assert call("GET", url).status == 200
