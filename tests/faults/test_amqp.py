# SPDX-License-Identifier: Apache-2.0
# timeout: 600
# alone
"""RabbitMQ restarts, crashes, freezes and runs short of memory, under load."""

import time

import pytest
from fleet import Gaps, Ledger, Submitter, fleet, publish, states
from celery import Celery
from servers import Api, Postgres, Rabbit, Redis, migrate, wait_for


@pytest.fixture(scope="module")
def rabbit():
    with Rabbit() as server:
        yield server


@pytest.fixture(scope="module")
def redis():
    with Redis() as server:
        yield server


def producer(rabbit, redis):
    app = Celery(broker=rabbit.url, backend=redis.url)
    app.conf.broker_transport_options = {"confirm_publish": True}
    return app


def left(rabbit, queue):
    """Waiting or not acknowledged."""
    for line in rabbit.ctl("list_queues", "-q", "name", "messages").splitlines():
        name, _, n = line.partition("\t")
        if name == queue:
            return int(n)
    return 0


def test_restarts_and_crashes_lose_nothing_and_work_goes_on(
    rabbit, redis, tmp_path
):
    n, ledger = 1500, Ledger(tmp_path)
    with fleet(rabbit.url, backend=redis.url) as worker:
        ids = publish(producer(rabbit, redis), ledger, n, 100)
        waits = []
        for i in range(4):
            Gaps(ledger).first_after()
            if i % 2 == 0:
                rabbit.stop()
            else:
                rabbit.kill()
            rabbit.start()
            waits.append(Gaps(ledger).first_after())
        assert worker.running()
        assert max(waits) < 2.0, waits
        ledger.wait_done(n, 120)
        assert ledger.missing(n) == []
        wait_for(
            lambda: states(redis.client(), ids) == {"SUCCESS": n},
            30,
            "all results",
            0.2,
        )
        wait_for(lambda: left(rabbit, "celery") == 0, 20, "all acked", 0.5)


def test_a_frozen_broker_is_waited_for(rabbit, redis, tmp_path):
    n, ledger = 600, Ledger(tmp_path)
    with fleet(rabbit.url, backend=redis.url) as worker:
        publish(producer(rabbit, redis), ledger, n, 100)
        Gaps(ledger).first_after()
        rabbit.pause()
        time.sleep(5)
        rabbit.resume()
        assert Gaps(ledger).first_after() < 1.0
        ledger.wait_done(n, 60)
        assert ledger.run_again() == 0
        assert "connection lost" not in worker.fresh()
        wait_for(lambda: left(rabbit, "celery") == 0, 20, "all acked", 0.5)


def test_without_memory_it_accepts_and_publishes_later(
    rabbit, redis, tmp_path
):
    """The api answers 201 from its outbox; what is there is still consumed."""
    ledger = Ledger(tmp_path)
    with Postgres() as pg:
        database = migrate(pg.database())
        with Api(
            rabbit.url, database, backend=redis.url
        ) as api, fleet(rabbit.url, backend=redis.url, database=database):
            posts = Submitter(api.url, ledger)
            posts.start()
            time.sleep(1)
            rabbit.ctl("set_vm_memory_high_watermark", "absolute", "1MB")
            time.sleep(3)
            before = len(posts.accepted)
            time.sleep(2)
            assert len(posts.accepted) > before, "the api hangs"
            rabbit.ctl("set_vm_memory_high_watermark", "0.8")
            time.sleep(1)
            posts.finish()
            assert set(posts.codes) == {201}, posts.codes
            assert posts.broken == 0
            done = lambda: ledger.counts().keys() >= set(posts.accepted)  # noqa
            wait_for(done, 60, "every accepted task done", 0.2)
