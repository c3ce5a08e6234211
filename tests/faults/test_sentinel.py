# SPDX-License-Identifier: Apache-2.0
# timeout: 600
# alone
"""Redis Sentinel: the master changes under load.  Broker and result backend
are both sentinel://, the producers are real Celery."""

import contextlib
import itertools
import json
import threading
import time
import uuid

import pytest
from celery import Celery
from fleet import TASK, Ledger, fleet, states
from servers import Sentinels, lovage, wait_for


def celery_on(group, backend=None):
    """Without a result backend by default: Celery 5.2's cannot connect again
    over sentinels (ReferenceError in redis/sentinel.py)."""
    app = Celery(broker=group.url, backend=backend)
    app.conf.broker_transport_options = dict(
        group.options, socket_timeout=3, socket_connect_timeout=1
    )
    app.conf.result_backend_transport_options = group.options
    app.conf.task_publish_retry = False
    return app


class Producer(threading.Thread):
    """Sends tasks one after the other; what was accepted is in accepted."""

    def __init__(self, app, ledger, ms=5):
        super().__init__(daemon=True)
        self.app, self.ledger, self.ms = app, ledger, ms
        self.accepted, self.errors = {}, 0
        self.ending = threading.Event()

    def run(self):
        for n in itertools.count():
            if self.ending.is_set():
                return
            task_id = str(uuid.uuid4())
            try:
                self.app.send_task(
                    TASK,
                    args=(n, self.ms, str(self.ledger.path)),
                    task_id=task_id,
                    retry=False,
                )
                self.accepted[n] = task_id
            except Exception:  # refused: it does not count
                self.errors += 1
                time.sleep(0.1)
            time.sleep(0.002)

    def finish(self):
        self.ending.set()
        self.join(60)
        assert not self.is_alive()


@contextlib.contextmanager
def under_load(tmp_path, **passwords):
    ledger = Ledger(tmp_path)
    with Sentinels(**passwords) as group:
        with fleet(group.url, env=group.env) as worker:
            producer = Producer(celery_on(group), ledger)
            producer.start()
            wait_for(lambda: ledger.done() > 50, 20, "work begins")
            yield group, worker, producer, ledger
            assert worker.running()


def connected(server):
    """Our connections to a server."""
    clients = server.client().client_list()
    return [c["name"] for c in clients if c["name"].startswith("lovage-")]


def first_after(ledger):
    """Seconds until one more task is done than now."""
    before, t0 = ledger.done(), time.monotonic()
    wait_for(lambda: ledger.done() > before, 30, "progress")
    return time.monotonic() - t0


def send(group, *args):
    """A task through our own client."""
    env = {
        "LOVAGE_BROKER_URL": group.url,
        "LOVAGE_RESULT_BACKEND": group.url,
        **group.env,
    }
    lovage("call", TASK, "--args", json.dumps(args), env=env, check=True)


def settle(group, producer, ledger):
    """Every accepted task is done, and its result is on the new master."""
    producer.finish()
    want = producer.accepted.keys()
    wait_for(lambda: want <= ledger.counts().keys(), 30, "all done", 0.1)
    client = group.master().client()
    wait_for(lambda: client.hlen("unacked") == 0, 10, "all acknowledged")
    ids = list(producer.accepted.values())
    told = lambda: states(client, ids)["SUCCESS"] == len(ids)  # noqa
    wait_for(told, 20, "all results", 0.2)
    app, last = celery_on(group, backend=group.url), max(want)
    assert app.AsyncResult(producer.accepted[last]).get(timeout=5) == last


@pytest.mark.parametrize(
    "passwords",
    [{}, {"password": "p4ss", "sentinel_password": "s3ntinel"}],
    ids=["open", "passwords"],
)
def test_a_killed_master_is_replaced_and_no_accepted_task_is_lost(
    tmp_path, passwords
):
    with under_load(tmp_path, **passwords) as (group, worker, producer, ledger):
        old = group.master()
        new = group.other(old)
        old.kill()
        wait_for(lambda: group.master() is new, 30, "failover")
        wait_for(
            lambda: new.client().info("replication")["role"] == "master", 10
        )
        # The sentinels have agreed; all that is left is ours.
        assert first_after(ledger) < 2.0
        time.sleep(1)  # some more work there
        settle(group, producer, ledger)
        assert worker.text().count("redis connection lost name=worker") == 1


def test_a_master_that_hangs_is_left_as_soon_as_there_is_another(tmp_path):
    with under_load(tmp_path) as (group, worker, producer, ledger):
        old = group.master()
        new = group.other(old)
        old.pause()
        wait_for(lambda: group.master() is new, 30, "failover")
        assert first_after(ledger) < 2.0
        # It comes back, still believing that it is the master.
        old.resume()
        time.sleep(1)
        settle(group, producer, ledger)
        wait_for(group.replicates, 30, "the old one follows")
        assert old.client().info("replication")["role"] == "slave"


def test_the_master_hands_over_and_is_written_to_no_more(tmp_path):
    """Nobody writes during the change itself: Celery's producers stay with the
    old master for eight seconds, and what they write there is gone."""
    with under_load(tmp_path) as (group, worker, producer, ledger):
        producer.finish()
        settle(group, producer, ledger)
        old = group.master()
        new = group.other(old)
        group.sentinels[0].client().execute_command(
            "SENTINEL FAILOVER", "mymaster"
        )
        wait_for(lambda: group.master() is new, 30, "failover")
        # Sentinel makes the old one a replica after eight seconds.
        wait_for(lambda: not connected(old), 3, "the old one is left")
        assert old.client().info("replication")["role"] == "master"
        wait_for(lambda: len(connected(new)) >= 3, 3, "all have moved")
        # kombu's pool would still write to the old one.
        ledger = Ledger(tmp_path)
        for n in range(3):
            send(group, n, 0, str(ledger.path))
        ledger.wait_done(3, 5)


def test_sentinels_that_are_away_are_passed_over(tmp_path):
    with under_load(tmp_path) as (group, worker, producer, ledger):
        master = group.master().client()
        group.sentinels[0].kill()
        group.sentinels[1].pause()
        master.execute_command("CLIENT KILL TYPE normal")
        assert first_after(ledger) < 5.0
        group.sentinels[1].resume()
        settle(group, producer, ledger)
