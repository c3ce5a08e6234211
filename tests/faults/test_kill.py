# SPDX-License-Identifier: Apache-2.0
# timeout: 600
# alone
"""kill -9 of executors, nodes and the whole tree, under a thousand waiting tasks."""

import os
import signal
import time

import pytest
from fleet import Ledger, fleet, publish, states
from servers import Postgres, migrate, wait_for
from stage import producer

N, MS = 1000, 20


@pytest.fixture(scope="module")
def pg():
    with Postgres() as server:
        yield server


# With records RabbitMQ is in test_outages.py.
@pytest.fixture(params=["redis, records", "redis", "rabbitmq"])
def place(request, open_site, pg, tmp_path):
    name, _, records = request.param.partition(", ")
    site = open_site(name)
    site.clean()
    database = migrate(pg.database()) if records else None
    return site, database, Ledger(tmp_path), pg


def start(site, database, **kw):
    return fleet(site.url, backend=site.backend, database=database, **kw)


def settled(site, ids, timeout=60):
    """All tasks have a final state and nothing is left in the broker."""
    found = lambda: states(site.results.client(), ids)  # noqa: E731
    wait_for(
        lambda: found().keys() <= {"SUCCESS", "FAILURE"},
        timeout,
        "final states",
        0.2,
    )
    wait_for(lambda: site.left() == 0, 10, "an empty broker", 0.2)
    return found()


def recorded(pg, database):
    """status -> how many, from PostgreSQL."""
    db = database.rpartition("/")[2]
    return dict(
        pg.query("SELECT status, count(*) FROM tasks GROUP BY 1", db=db)
    )


def check_records(pg, database, n, failed=0):
    """PostgreSQL tells the same: none STARTED, none pending."""
    if database is None:
        return
    rows = recorded(pg, database)
    assert rows.pop("FAILURE", 0) == failed
    assert rows == {"SUCCESS": n - failed}, rows


def test_killed_executors_cost_nothing_with_late_acks(place):
    site, database, ledger, pg = place
    env = {"LOVAGE_TASK_REJECT_ON_WORKER_LOST": "true"}
    ids = publish(producer(site), ledger, N, MS)
    with start(site, database, env=env) as worker:
        killed = 0
        while ledger.done() < N * 3 // 4:
            pids = worker.executors()
            if pids:
                os.kill(pids[killed % len(pids)], signal.SIGKILL)
                killed += 1
            time.sleep(0.25)
        assert killed >= 3
        ledger.wait_done(N, 120)
        assert settled(site, ids) == {"SUCCESS": N}
        assert ledger.missing(N) == []
        assert ledger.run_again() <= killed
        check_records(pg, database, N)


def test_killed_nodes_lose_nothing_and_wait_for_nothing(place):
    site, database, ledger, pg = place
    ids = publish(producer(site), ledger, N, MS)
    with start(site, database) as worker:
        killed = 0
        for share in (1, 2, 3, 4, 5):
            wait_for(
                lambda s=share: ledger.done() >= N * s // 6, 120, "progress"
            )
            wait_for(lambda: len(worker.nodes()) == 1, 10, "a node")
            os.kill(worker.nodes()[0], signal.SIGKILL)
            killed += 1
        # Far below the visibility timeout (an hour) and the lease (30 s).
        ledger.wait_done(N, 60)
        assert settled(site, ids) == {"SUCCESS": N}
        assert ledger.missing(N) == []
        assert ledger.run_again() <= killed * 8
        check_records(pg, database, N)


def test_killed_nodes_tell_what_died_with_early_acks(place):
    site, database, ledger, pg = place
    ids = publish(producer(site), ledger, N, MS)
    with start(site, database, late=False) as worker:
        for share in (1, 2, 3):
            wait_for(
                lambda s=share: ledger.done() >= N * s // 4, 120, "progress"
            )
            wait_for(lambda: len(worker.nodes()) == 1, 10, "a node")
            os.kill(worker.nodes()[0], signal.SIGKILL)
        found = settled(site, ids, 120)
        assert sum(found.values()) == N
        # At most what ran at the three kills is missing.  A task may have
        # written its line and died before its result was stored, while its
        # executor had begun the next: both are told as failed.  The records
        # learn of an end before they learn what begins in its place.
        most = 8 if database else 2 * 8
        assert len(ledger.missing(N)) <= 3 * 8
        assert len(ledger.missing(N)) <= found["FAILURE"] <= 3 * most
        check_records(pg, database, N, found["FAILURE"])


def test_a_killed_tree_is_replaced_by_the_next_worker(place):
    site, database, ledger, pg = place
    env = {"LOVAGE_WORKER_LEASE": "5"}
    worker = start(site, database, env=env)
    ids = publish(producer(site), ledger, N, MS)
    with worker:
        wait_for(lambda: ledger.done() >= N // 3, 120, "progress")
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        worker.start()
        ledger.wait_done(N, 120)
        assert settled(site, ids) == {"SUCCESS": N}
        # What ran, and what was done but not yet told: one an executor each.
        assert ledger.run_again() <= 2 * 8
        check_records(pg, database, N)


def test_of_a_killed_tree_only_what_had_begun_is_told_as_failed(
    site, pg, tmp_path
):
    """Early acks: what waited in the node is run by the next worker."""
    ledger, database = Ledger(tmp_path), migrate(pg.database())
    site.clean()
    worker = start(site, database, late=False, env={"LOVAGE_WORKER_LEASE": "5"})
    ids = publish(producer(site), ledger, N, MS)
    with worker:
        wait_for(lambda: ledger.done() >= N // 3, 120, "progress")
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        worker.start()
        wait_for(
            lambda: sum(recorded(pg, database).values()) == N
            and recorded(pg, database).keys() <= {"SUCCESS", "FAILURE"},
            120,
            "final states",
            0.5,
        )
        wait_for(lambda: site.left() == 0, 10, "acks", 0.2)
        failed = recorded(pg, database).get("FAILURE", 0)
        # Nobody knows of the few that were recorded and not yet told.
        told = states(site.results.client(), ids)
    assert failed <= 8
    assert told["FAILURE"] == failed
    assert told["SUCCESS"] >= N - failed - 8
    assert len(ledger.missing(N)) <= failed
    assert ledger.run_again() <= 8


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGQUIT])
def test_a_stopped_worker_hands_back_what_it_held(place, sig):
    site, database, ledger, pg = place
    ids = publish(producer(site), ledger, N, MS)
    with start(site, database) as worker:
        for share in (1, 2, 3):
            wait_for(
                lambda s=share: ledger.done() >= N * s // 4, 120, "progress"
            )
            t0 = time.monotonic()
            assert worker.stop(sig) == 0
            assert time.monotonic() - t0 < 5
            if site.name == "redis":  # RabbitMQ sees to it
                assert site.results.client().hlen("unacked") == 0
            worker.start()
        ledger.wait_done(N, 120)
        assert settled(site, ids) == {"SUCCESS": N}
        again = ledger.run_again()
        assert again == 0 if sig == signal.SIGTERM else again <= 3 * 8
        check_records(pg, database, N)


def test_a_second_sigterm_does_not_wait_for_what_runs(site, tmp_path):
    ledger = Ledger(tmp_path)
    site.clean()
    with start(site, None, concurrency=1) as worker:
        publish(producer(site), ledger, 1, 20000)
        wait_for(lambda: ledger.counts("S"), 10, "a running task")
        worker.send(signal.SIGTERM)
        time.sleep(0.5)
        assert worker.running()
        t0 = time.monotonic()
        assert worker.stop(signal.SIGTERM) == 0
        assert time.monotonic() - t0 < 5
        assert site.left() == 1  # late: handed back
