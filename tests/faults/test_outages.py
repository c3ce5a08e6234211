# SPDX-License-Identifier: Apache-2.0
# timeout: 900
# alone
"""The broker, PostgreSQL and the api go away and come back, while the api
accepts tasks."""

import contextlib
import time

import pytest
from fleet import Ledger, Submitter, fleet
from servers import Api, Postgres, migrate, wait_for


@pytest.fixture(scope="module")
def pg():
    with Postgres(durable=True) as server:
        yield server


class Service:
    """An api, a worker, and somebody who posts to it all the time."""

    def __init__(self, site, pg, folder):
        self.ledger, self.pg = Ledger(folder), pg
        self.database = migrate(pg.database())
        self.site = site
        self.api = Api(site.url, self.database, backend=site.backend)
        self.worker = fleet(
            site.url, backend=site.backend, database=self.database
        )

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.site.clean()
            stack.enter_context(self.api)
            stack.enter_context(self.worker)
            self.posts = Submitter(self.api.url, self.ledger)
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *exc):
        self.stack.__exit__(*exc)

    def check(self, codes, least):
        """What was accepted is done."""
        self.posts.finish()
        accepted = set(self.posts.accepted)
        assert len(accepted) > least
        assert set(self.posts.codes) <= codes, self.posts.codes
        wait_for(
            lambda: self.ledger.counts().keys() >= accepted,
            60,
            "every accepted task done",
            0.2,
        )


@pytest.fixture
def service(site, pg, tmp_path):
    with Service(site, pg, tmp_path) as s:
        yield s


@pytest.mark.parametrize("what", ["broker", "api"])
def test_what_was_accepted_is_done_whatever_is_killed(service, what):
    """Redis loses its last second with a crash, RabbitMQ what it had not yet
    confirmed: the relay publishes again."""
    victim = service.site.server if what == "broker" else service.api
    service.posts.start()
    for _ in range(3):
        time.sleep(1.5)
        victim.kill()
        if what == "broker":
            time.sleep(1)
        victim.start()
    time.sleep(2)
    service.check({201}, 100)


def test_the_broker_away_refuses_no_submission(service):
    server = service.site.server
    server.stop()
    service.posts.start()
    time.sleep(3)
    assert len(service.posts.accepted) > 50
    server.start()
    time.sleep(1)
    service.check({201}, 50)
    assert service.posts.broken == 0
    assert service.ledger.run_again() == 0


def test_the_broker_without_memory_refuses_no_submission(service):
    service.posts.start()
    time.sleep(1)
    service.site.alarm(True)
    time.sleep(3)
    before = len(service.posts.accepted)
    time.sleep(2)
    assert len(service.posts.accepted) > before, "the api hangs"
    service.site.alarm(False)
    time.sleep(1)
    service.check({201}, 50)
    assert service.posts.broken == 0


def test_postgresql_away_for_ten_seconds_costs_no_accepted_task(service, pg):
    service.posts.start()
    time.sleep(2)
    pg.stop()
    time.sleep(10)
    pg.start()
    time.sleep(4)
    service.check({201, 503}, 100)
    assert service.worker.running() and service.api.running()
    assert service.posts.broken == 0
    db = service.database.rpartition("/")[2]
    wait_for(
        lambda: pg.query(
            "SELECT count(*) FROM tasks WHERE status <> 'SUCCESS'", db=db
        )
        == [(0,)],
        30,
        "every record final",
        0.2,
    )
    assert service.ledger.run_again() == 0
