# SPDX-License-Identifier: Apache-2.0
# timeout: 600
"""The result backend goes away and comes back, under load."""

import contextlib
import json
import os
import signal
import time
import uuid

import psycopg2.errors
import pytest
from billiard.exceptions import WorkerLostError
from celery import Celery
from fleet import Ledger, fleet, publish
from servers import SLOW, Postgres, Rabbit, Redis, Worker, migrate, wait_for

N = 6000  # more than a node takes while results wait


class RedisResults(Redis):
    """Redis as the backend alone."""

    def __init__(self):
        super().__init__("--appendonly", "yes", "--appendfsync", "everysec")

    @property
    def backend(self):
        return self.url

    def successes(self):
        c = self.client()
        keys = c.keys("celery-task-meta-*")
        found = c.mget(keys) if keys else []
        return sum(json.loads(v)["status"] == "SUCCESS" for v in found)


class PostgresResults(Postgres):
    def __init__(self):
        super().__init__(durable=True)

    def __enter__(self):
        super().__enter__()
        self.name_ = self.database()
        self.db = self.name_.rpartition("/")[2].partition("?")[0]
        return self

    @property
    def backend(self):
        return "db+" + self.name_

    def successes(self):
        sql = "SELECT count(*) FROM celery_taskmeta WHERE status = 'SUCCESS'"
        try:
            return self.query(sql, db=self.db)[0][0]
        except psycopg2.errors.UndefinedTable:  # made when it is needed
            return 0


@pytest.fixture(scope="module", params=[RedisResults, PostgresResults])
def results(request):
    with request.param() as server:
        yield server


@pytest.fixture
def broker():
    with Redis() as server:
        yield server


def producer(broker):
    return Celery(broker=broker.url, backend="disabled://")


def settled(ledger):
    """Waits until nothing more is done; how much it is."""
    last = [-1, 0]

    def same():
        now = ledger.done()
        if now != last[0]:
            last[:] = [now, time.monotonic()]
        return time.monotonic() - last[1] > 1

    wait_for(same, 60, "no more progress", 0.1)
    return last[0]


@pytest.mark.parametrize("late", [True, False], ids=["late", "early"])
def test_an_outage_stops_the_taking_and_loses_no_result(
    results, broker, tmp_path, late
):
    ledger = Ledger(tmp_path)
    with fleet(broker.url, backend=results.backend, late=late) as worker:
        first = results.successes()
        publish(producer(broker), Ledger(tmp_path), 50, 0)
        wait_for(lambda: results.successes() == first + 50, 30, "results")
        before = results.successes()
        results.kill()
        publish(producer(broker), ledger, N, 0)
        done = settled(ledger)
        assert done < N, "it takes while it cannot store"
        waiting = broker.client().llen("celery")
        assert waiting > 0
        if late:
            held = broker.client().hlen("unacked")
            assert waiting + held == N, "acknowledged without a result"
        results.start()
        ledger.wait_done(N, 120)
        wait_for(
            lambda: results.successes() >= before + N, 60, "all results", 0.2
        )
        wait_for(lambda: broker.client().hlen("unacked") == 0, 20, "all acked")
        assert worker.running()
        assert ledger.run_again() == 0


def test_with_a_limit_tasks_end_without_their_results(
    results, broker, tmp_path
):
    ledger = Ledger(tmp_path)
    env = {"LOVAGE_RESULT_BACKEND_MAX_RETRIES": "3"}
    with fleet(broker.url, backend=results.backend, env=env) as worker:
        first = results.successes()
        publish(producer(broker), Ledger(tmp_path), 1, 0)
        wait_for(lambda: results.successes() > first, 30, "a first result")
        before = results.successes()
        results.kill()
        try:
            publish(producer(broker), ledger, 100, 0)
            wait_for(
                lambda: ledger.done() == 100
                and broker.client().hlen("unacked") == 0,
                30,
                "all acknowledged",
            )
            assert "a result is not stored" in worker.text()
        finally:
            results.start()
        # What the backend had accepted is stored all the same.
        wait_for(lambda: results.successes() == before + 100, 30, "late results")


def test_a_worker_ends_in_time_and_hands_back_what_it_cannot_tell(
    results, broker, tmp_path
):
    ledger = Ledger(tmp_path)
    env = {"LOVAGE_WORKER_SHUTDOWN_TIMEOUT": "1"}
    with fleet(broker.url, backend=results.backend, env=env) as worker:
        first = results.successes()
        publish(producer(broker), Ledger(tmp_path), 1, 0)
        wait_for(lambda: results.successes() > first, 30, "a first result")
        results.kill()
        try:
            publish(producer(broker), ledger, 20, 0)
            ledger.wait_done(20, 20)
            start = time.monotonic()
            worker.send(signal.SIGTERM)
            worker.wait(timeout=20)
            assert time.monotonic() - start < 15
            assert broker.client().llen("celery") == 20
        finally:
            results.start()


# ---- rpc: the broker is the backend ----


def replies(messages):
    return {m["properties"]["correlation_id"] for m in messages}


def test_rpc_results_outlive_a_restart_of_redis(tmp_path):
    n, ledger = 1500, Ledger(tmp_path)
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(
            Redis("--appendonly", "yes", "--appendfsync", "everysec")
        )
        app = producer(redis)
        ids = publish(app, ledger, n, 5, reply_to="answers")
        stack.enter_context(fleet(redis.url, backend="rpc://"))
        for _ in range(3):
            done = ledger.done()
            wait_for(lambda: ledger.done() > done, 30, "progress")
            redis.restart()

        def told():
            raw = redis.client().lrange("answers", 0, -1)
            return replies(map(json.loads, raw)) == set(ids)

        wait_for(told, 90, "all replies", 0.3)
        assert 0 < redis.client().ttl("answers") <= 86400


def test_rpc_results_outlive_a_restart_of_rabbitmq(tmp_path):
    n, ledger = 600, Ledger(tmp_path)
    name = "answers-" + uuid.uuid4().hex
    with Rabbit() as rabbit:
        app = Celery(broker=rabbit.url, backend="disabled://")
        app.conf.broker_transport_options = {"confirm_publish": True}
        with app.connection() as c:
            c.SimpleQueue(name).close()  # a durable one
        ids = publish(app, ledger, n, 5, reply_to=name)
        env = {"LOVAGE_RESULT_PERSISTENT": "true"}
        with fleet(rabbit.url, backend="rpc://", env=env):
            wait_for(lambda: ledger.done() > 0, 30, "progress")
            rabbit.restart()
            ledger.wait_done(n, 60)
            got = set()
            with app.connection() as c, c.SimpleQueue(name) as q:

                def told():
                    with contextlib.suppress(q.Empty):
                        while True:
                            m = q.get(block=False)
                            got.add(m.properties["correlation_id"])
                            m.ack()
                    return got == set(ids)

                wait_for(told, 60, "all replies", 0.2)


def test_a_reply_queue_that_is_gone_keeps_nobody(tmp_path):
    n, ledger = 200, Ledger(tmp_path)
    with Rabbit() as rabbit:
        app = Celery(broker=rabbit.url, backend="disabled://")
        publish(app, ledger, n, 0, reply_to="nobody-" + uuid.uuid4().hex)
        with fleet(rabbit.url, backend="rpc://") as worker:
            ledger.wait_done(n, 60)

            def left():
                return rabbit.ctl(
                    "list_queues", "-q", "name", "messages"
                ).splitlines()

            wait_for(lambda: "celery\t0" in left(), 20, "all acked", 0.3)
            assert not [line for line in left() if "nobody" in line]
            assert "a reply queue is gone" in worker.text()
            assert worker.running()


@pytest.mark.parametrize("records", [False, True], ids=["alone", "records"])
def test_an_rpc_client_is_told_what_died_with_its_node(postgres, records):
    database = migrate(postgres.database()) if records else None
    with Redis() as redis, Worker(
        redis.url, backend="rpc://", database=database
    ) as worker:
        app = Celery(broker=redis.url, backend="rpc://")
        result = app.send_task("interop.tracked_nap", (60,))
        wait_for(lambda: result.state == "STARTED", 15, "started")
        os.kill(worker.nodes()[0], signal.SIGKILL)
        with pytest.raises(WorkerLostError, match="while the task ran"):
            result.get(timeout=30 * SLOW)
        app.close()
