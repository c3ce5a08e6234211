# SPDX-License-Identifier: Apache-2.0
"""The broker or the database away, the api killed or told to stop: what was
answered 2xx is kept, what cannot be kept is refused in time."""

import signal
import threading
import time

import servers
import wire

TASKS = "/api/v1/tasks"


def submit(api, queue, n=1):
    ids = []
    for i in range(n):
        body = {"name": "n", "task": "t.x", "args": [i], "queue": queue}
        answer = wire.request(api.port, "POST", TASKS, body)
        assert answer.status == 201, answer
        ids.append(answer.json()["task_id"])
    return ids


def queued(redis, queue):
    import json

    messages = redis.client().lrange(queue, 0, -1)
    return [json.loads(m)["headers"]["id"] for m in messages]


def outbox(postgres, database):
    name = database.rsplit("/", 1)[1]
    return postgres.query("SELECT count(*) FROM outbox", db=name)[0][0]


def test_the_broker_away_refuses_nothing_and_loses_nothing(postgres, database, queue):
    with servers.Redis("--appendonly", "yes") as redis:
        with servers.Api(redis.url, database) as api:
            before = submit(api, queue, 5)
            servers.wait_for(lambda: len(queued(redis, queue)) == 5, 10)
            redis.kill()
            during = submit(api, queue, 20)
            ready = wire.request(api.port, "GET", "/readyz")
            assert ready.status == 200 and ready.json()["broker"] == "down"
            redis.start()
            servers.wait_for(lambda: len(set(queued(redis, queue))) == 25, 20)
            assert set(queued(redis, queue)) == set(before + during)
            servers.wait_for(lambda: outbox(postgres, database) == 0, 20)


def test_beyond_the_bound_of_the_outbox_submissions_are_503(
    postgres, database, queue
):
    with servers.Redis("--appendonly", "yes") as redis:
        redis.kill()
        env = {"LOVAGE_DATABASE_OUTBOX_MAX": "10"}
        with servers.Api(redis.url, database, env=env) as api:
            metrics = ("GET", "/metrics")
            servers.wait_for(
                lambda: b"outbox_depth" in wire.request(api.port, *metrics).body, 10
            )
            ids = []
            for i in range(30):
                body = {"name": "n", "task": "t.x", "args": [i], "queue": queue}
                answer = wire.request(api.port, "POST", TASKS, body)
                if answer.status == 201:
                    ids.append(answer.json()["task_id"])
                    continue
                assert answer.status == 503 and answer.headers["retry-after"]
                assert answer.json() == {"detail": "Too many tasks wait for the broker"}
            assert 10 <= len(ids) <= 12  # an estimate: it is counted now and then
            assert outbox(postgres, database) == len(ids)
            assert wire.request(api.port, "GET", f"{TASKS}/{ids[0]}").status == 200
            redis.start()
            servers.wait_for(lambda: len(set(queued(redis, queue))) == len(ids), 20)
            servers.wait_for(
                lambda: wire.request(api.port, "POST", TASKS, body).status == 201, 20
            )


def test_the_database_away_is_503_in_time_and_comes_back(redis, queue):
    with servers.Postgres() as postgres:
        database = servers.migrate(postgres.database())
        env = {"LOVAGE_DATABASE_TIMEOUT": "1"}
        with servers.Api(redis.url, database, env=env) as api:
            submit(api, queue)
            postgres.stop(signal.SIGQUIT)  # at once, with its children
            body = {"name": "n", "task": "t.x", "queue": queue}
            for method, path, data in (
                ("POST", TASKS, body),
                ("GET", TASKS, None),
                ("GET", f"{TASKS}/1", None),
                ("DELETE", f"{TASKS}/1", None),
            ):
                begin = time.monotonic()
                answer = wire.request(api.port, method, path, data)
                assert answer.status == 503 and answer.headers["retry-after"]
                assert time.monotonic() - begin < 2.5 * servers.SLOW
            assert wire.request(api.port, "GET", "/readyz").status == 503
            assert wire.request(api.port, "GET", "/healthz").status == 200
            postgres.start()
            servers.wait_for(
                lambda: wire.request(api.port, "POST", TASKS, body).status == 201, 20
            )


def test_kill_9_after_the_answer_loses_nothing(redis, postgres, database, queue):
    with servers.Api(redis.url, database) as api:
        redis.pause()
        try:
            ids = submit(api, queue, 10)
            api.kill()
        finally:
            redis.resume()
        assert outbox(postgres, database) == 10
        api.start()
        servers.wait_for(lambda: len(set(queued(redis, queue))) == 10, 30)
        assert set(queued(redis, queue)) == set(ids)


def test_term_lets_running_requests_finish(redis, database, queue):
    with servers.Api(redis.url, database) as api:
        answers = []

        def ask():
            body = {"model": "echo", "prompt": "x", "timeout": 2, "queue": queue}
            answers.append(wire.request(api.port, "POST", "/api/v1/llm/query", body))

        asking = threading.Thread(target=ask)
        asking.start()
        with wire.connect(api.port) as kept:  # a connection that is there already
            kept.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200 OK" in kept.recv(4096)
            time.sleep(0.5)
            api.send(signal.SIGTERM)
            time.sleep(0.1)
            kept.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
            data, closed = wire.read_all(kept)
            (ready,) = wire.split(data)
            assert ready.status == 503 and ready.json()["status"] == "draining"
            assert closed
        new = wire.request(api.port, "GET", TASKS)
        assert new.status == 503 and "shutting down" in new.json()["detail"]
        asking.join(20)
        assert answers[0].status == 202
        assert api.wait() == 0
        assert "api stopped" in api.text()


def test_who_waits_longer_than_the_shutdown_takes_is_told_where_to_look(redis, database, queue):
    env = {"LOVAGE_API_SHUTDOWN_TIMEOUT": "1"}
    with servers.Api(redis.url, database, env=env) as api:
        with wire.connect(api.port) as s:
            body = b'{"model": "echo", "prompt": "x", "queue": "none"}'
            head = b"POST /api/v1/llm/query HTTP/1.1\r\nHost: x\r\nContent-Length: "
            s.sendall(head + b"%d\r\n\r\n" % len(body) + body)
            time.sleep(0.5)
            begin = time.monotonic()
            api.send(signal.SIGTERM)
            answers, closed = wire.read_all(s)
            assert [a.status for a in wire.split(answers)] == [202] and closed
            assert api.wait() == 0
            assert time.monotonic() - begin < 6 * servers.SLOW


def test_without_its_schema_it_does_not_start(redis, postgres):
    api = servers.Api(redis.url, postgres.database())
    try:
        api.__enter__()
    except RuntimeError as e:
        assert "api not started" in str(e)
    else:
        api.__exit__()
        raise AssertionError("it started")


def test_a_port_that_is_taken_is_told(redis, database):
    with servers.Api(redis.url, database) as first:
        second = servers.Api(redis.url, database)
        second.env["LOVAGE_API_PORT"] = second.port = first.port
        second.ready = lambda: False
        try:
            second.__enter__()
        except RuntimeError as e:
            assert f"cannot listen on 127.0.0.1:{first.port}" in str(e)
        else:
            second.__exit__()
            raise AssertionError("it started")
