# SPDX-License-Identifier: Apache-2.0
# timeout: 900
# alone
"""Redis, PostgreSQL and the api go away and come back, under load."""

import contextlib
import time

import pytest
from fleet import Gaps, Ledger, Submitter, fleet, producer, publish, states
from servers import Api, Postgres, Redis, migrate, wait_for


@pytest.fixture(scope="module")
def pg():
    with Postgres(durable=True) as server:
        yield server


def durable_redis():
    return Redis("--appendonly", "yes", "--appendfsync", "everysec")


def test_redis_restarts_ten_times_and_work_goes_on(tmp_path):
    n, ledger = 6000, Ledger(tmp_path)
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(durable_redis())
        # First all tasks, then the worker: a slow producer must not be the
        # reason that nothing is left to do after the last restart.
        ids = publish(producer(redis.url, redis.url), ledger, n, 20)
        worker = stack.enter_context(fleet(redis.url))
        waits = []
        for _ in range(10):
            Gaps(ledger).first_after()
            redis.restart()
            waits.append(Gaps(ledger).first_after())
        assert worker.running()
        assert max(waits) < 2.0, waits
        ledger.wait_done(n, 120)
        wait_for(
            lambda: states(redis.client(), ids) == {"SUCCESS": n},
            30,
            "all results",
            0.2,
        )
        assert ledger.missing(n) == []
        wait_for(lambda: redis.client().hlen("unacked") == 0, 10, "all acked")


def test_redis_killed_loses_no_task_of_the_outbox(pg, tmp_path):
    """A crash takes Redis' last second with it; the relay publishes again."""
    ledger = Ledger(tmp_path)
    database = migrate(pg.database())
    with durable_redis() as redis, Api(redis.url, database) as api:
        with fleet(redis.url, database=database):
            posts = Submitter(api.url, ledger)
            posts.start()
            for _ in range(3):
                time.sleep(1.5)
                redis.kill()
                time.sleep(1)
                redis.start()
            time.sleep(2)
            posts.finish()
            assert len(posts.accepted) > 100
            assert set(posts.codes) <= {201}, posts.codes
            done = lambda: ledger.counts().keys() >= set(posts.accepted)  # noqa
            wait_for(done, 60, "every accepted task done", 0.2)


def test_postgresql_away_for_ten_seconds_costs_no_accepted_task(pg, tmp_path):
    ledger = Ledger(tmp_path)
    database = migrate(pg.database())
    with Redis() as redis, Api(redis.url, database) as api:
        with fleet(redis.url, database=database) as worker:
            posts = Submitter(api.url, ledger)
            posts.start()
            time.sleep(2)
            pg.stop()
            time.sleep(10)
            pg.start()
            time.sleep(4)
            posts.finish()
            assert worker.running() and api.running()
            assert len(posts.accepted) > 100
            assert set(posts.codes) <= {201, 503}, posts.codes
            assert posts.broken == 0
            done = lambda: ledger.counts().keys() >= set(posts.accepted)  # noqa
            wait_for(done, 60, "every accepted task done", 0.2)
            db = database.rpartition("/")[2]
            final = lambda: pg.query(  # noqa: E731
                "SELECT count(*) FROM tasks WHERE status <> 'SUCCESS'", db=db
            ) == [(0,)]
            wait_for(final, 30, "every record final", 0.2)
            assert ledger.run_again() == 0


def test_a_killed_api_has_lost_nothing_that_it_accepted(pg, tmp_path):
    ledger = Ledger(tmp_path)
    database = migrate(pg.database())
    with Redis() as redis, Api(redis.url, database) as api:
        with fleet(redis.url, database=database):
            posts = Submitter(api.url, ledger)
            posts.start()
            for _ in range(5):
                time.sleep(1)
                api.kill()
                api.start()
            time.sleep(1)
            posts.finish()
            assert len(posts.accepted) > 100
            assert set(posts.codes) <= {201}, posts.codes
            done = lambda: ledger.counts().keys() >= set(posts.accepted)  # noqa
            wait_for(done, 60, "every accepted task done", 0.2)


def test_the_broker_away_refuses_no_submission(pg, tmp_path):
    ledger = Ledger(tmp_path)
    database = migrate(pg.database())
    with durable_redis() as redis, Api(redis.url, database) as api:
        with fleet(redis.url, database=database):
            redis.stop()
            posts = Submitter(api.url, ledger)
            posts.start()
            time.sleep(3)
            assert len(posts.accepted) > 50
            redis.start()
            time.sleep(1)
            posts.finish()
            assert set(posts.codes) == {201}, posts.codes
            done = lambda: ledger.counts().keys() >= set(posts.accepted)  # noqa
            wait_for(done, 30, "every accepted task done", 0.2)
            assert ledger.run_again() == 0
