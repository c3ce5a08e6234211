# SPDX-License-Identifier: Apache-2.0
"""What a row of the fault table is played on, and how it is counted.

A Site is a broker with what belongs to it; a Stage is one run: a worker,
tasks that leave a ledger, and what a fault says about itself (when it killed
something, when the broker was there again).  Everything is counted outside of
Lovage: from the ledger, the result backend and the broker."""

import collections
import contextlib
import json
import os
import pathlib
import signal
import tempfile
import threading
import time

import celery
import kombu
import kombu.pools
from fleet import Ledger, Submitter, fleet
from proxy import Proxy
from servers import Api, Postgres, Rabbit, Redis, migrate, wait_for

QUEUE = "celery"
IDLE_S = 15.0  # without a new task, while tasks wait and a worker lives
TOLD_S = 0.5  # from its last line to its acknowledgement


class RedisSite:
    name = "redis"

    def __init__(self, stack):
        flags = ("--appendonly", "yes", "--appendfsync", "everysec")
        self.server = self.results = stack.enter_context(Redis(*flags))
        self.proxy = stack.enter_context(Proxy(self.server.port))
        self.url, self.backend = self.server.url, self.server.url
        self.proxied = f"redis://127.0.0.1:{self.proxy.port}/0"
        self.options = {}

    def backend_of(self, url):
        """Results go the same way as messages."""
        return url

    def clean(self):
        r = self.server.client()
        r.flushall()
        r.config_set("appendfsync", "everysec")

    def durable(self):
        """A write is on the disk before it is answered."""
        self.server.client().config_set("appendfsync", "always")

    def left(self):
        """Messages that wait or are in somebody's hands."""
        r = self.server.client()
        return r.llen(QUEUE) + r.hlen("unacked")

    def alarm(self, on):
        self.server.client().config_set("maxmemory", "1kb" if on else "0")


class RabbitSite:
    name = "rabbitmq"

    def __init__(self, stack):
        self.server = stack.enter_context(Rabbit())
        self.results = stack.enter_context(Redis())
        self.proxy = stack.enter_context(Proxy(self.server.port))
        self.url, self.backend = self.server.url, self.results.url
        self.proxied = f"amqp://guest:guest@127.0.0.1:{self.proxy.port}//"
        self.options = {"confirm_publish": True}

    def backend_of(self, url):
        return self.backend

    def queue(self, do):
        with kombu.Connection(self.url) as conn:
            return do(conn.default_channel)

    def clean(self):
        self.results.client().flushall()
        # Not deleted: producers of former rows believe that it is there.
        self.queue(lambda c: c.queue_declare(QUEUE, auto_delete=False, durable=True))
        self.queue(lambda c: c.queue_purge(QUEUE))

    def durable(self):
        """Confirms are."""

    def left(self):
        listed = self.server.ctl("list_queues", "-q", "name", "messages")
        return sum(
            int(n)
            for name, n in (q.split("\t") for q in listed.splitlines())
            if name == QUEUE
        )

    def alarm(self, on):
        mark = ("absolute", "1MB") if on else ("0.8",)
        self.server.ctl("set_vm_memory_high_watermark", *mark)


SITES = {"redis": RedisSite, "rabbitmq": RabbitSite}


def shortage():
    """Seconds in which something on this machine wanted a processor."""
    try:
        text = pathlib.Path("/proc/pressure/cpu").read_text()
    except OSError:
        return 0.0
    return int(text.split("total=")[1].split()[0]) / 1e6


def longest_stall(site, node):
    """Seconds of the longest turn of the node's loop, since it started, less
    what it waited for a processor; None if it does not answer."""
    app = celery.Celery(broker=site.url)
    with app.connection() as conn:  # the pool's may be a dead one
        for _ in range(3):
            inspect = app.control.inspect([node], timeout=2, connection=conn)
            stats = inspect.stats()
            if stats:
                return stats[node]["lovage"]["loop"]["longest_own"]
    return None


def producer(site):
    app = celery.Celery(broker=site.url, backend=site.backend)
    app.conf.broker_transport_options = site.options
    return app


class Producer(threading.Thread):
    """Publishes n tasks with Python Celery; accepted: n -> task id, for those
    that Celery did not refuse."""

    def __init__(self, site, ledger, n, ms, rate=None):
        super().__init__(daemon=True)
        self.app = producer(site)
        self.ledger, self.n, self.ms, self.rate = ledger, n, ms, rate
        self.accepted, self.refused = {}, 0
        self.ending = threading.Event()

    def send(self, i, producer):
        # A fifth waits on the node's loop, the rest in executors.
        task = "faults.wait" if i % 5 == 0 else "faults.work"
        return self.app.send_task(
            task,
            (i, self.ms, str(self.ledger.path)),
            producer=producer,
            retry=False,  # what is sent twice would be run twice
        ).id

    def run(self):
        t0 = time.monotonic()
        kombu.pools.reset()  # the broker may have been another since then
        for i in range(self.n):
            try:
                with self.app.producer_pool.acquire(block=True) as p:
                    self.accepted[i] = self.send(i, p)
            except Exception:  # the broker is away: whatever it is called
                self.refused += 1
                time.sleep(0.02)
            if self.rate and not self.ending.is_set():
                self.ending.wait(t0 + i / self.rate - time.monotonic())

    def finish(self):
        self.join()
        self.app.close()


class Posts(Submitter):
    """The same through the api and its outbox."""

    def __init__(self, url, ledger, n, ms, rate):
        super().__init__(url, ledger, ms)
        self.n, self.rate = n, rate

    def run(self):
        t0 = time.monotonic()
        for i in range(self.n):
            self.submit(i)
            self.ending.wait(t0 + i / self.rate - time.monotonic())

    def finish(self):
        self.join()


class Stage:
    """One run.  A fault calls killed() and returned(), and uses the rest."""

    def __init__(self, site, row, late, tasks, stack):
        self.site, self.row, self.late, self.tasks = site, row, late, tasks
        self.server, self.proxy = site.server, site.proxy
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        self.ledger = Ledger(pathlib.Path(folder))
        self.kills, self.returns, self.idle = [], [], 0
        self.stops = []
        site.clean()
        self.pg, database = None, None
        if row.records(late):
            self.pg = stack.enter_context(Postgres())
            database = migrate(self.pg.database())
            self.db = database.rpartition("/")[2]
        url = site.proxied if row.proxied else site.url
        self.worker = fleet(
            url,
            late=late,
            backend=site.backend_of(url),
            database=database,
            env={
                "LOVAGE_WORKER_LEASE": "5",
                "LOVAGE_TASK_REJECT_ON_WORKER_LOST": str(late).lower(),
                "LOVAGE_LOG_LEVEL": "info",
            },
        )
        self.source = self.make_source(database, stack)

    def make_source(self, database, stack):
        n, ms = self.tasks, self.row.ms
        if self.row.publishing == "outbox":
            api = stack.enter_context(
                Api(self.site.url, database, backend=self.site.backend)
            )
            return Posts(api.url, self.ledger, n, ms, self.row.rate)
        if self.row.publishing:
            self.site.durable()
            return Producer(self.site, self.ledger, n, ms, self.row.rate)
        source = Producer(self.site, self.ledger, n, ms)
        source.start()  # all of it is there before the worker is
        source.finish()
        return source

    # ---- what faults use ----

    def wait_share(self, share):
        """Until that share of all tasks is done."""
        wait_for(
            lambda: self.ledger.done() >= self.tasks * share,
            120,
            "progress",
            0.02,
        )

    def killed(self):
        self.kills.append(time.monotonic())

    def kill(self, pid):
        self.killed()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def returned(self, since=None):
        """The broker (or what was away) is there again: waits until a task
        begins that never began before."""
        t0, was = since or time.monotonic(), shortage()
        known = set(self.ledger.counts("S"))
        # What began between t0 and now counts, too.
        for n, times in self.ledger.times("S").items():
            if times[0] >= t0:
                known.discard(n)
        end = time.monotonic() + IDLE_S
        while time.monotonic() < end:
            times = self.ledger.times("S")
            first = min(
                (t[0] for n, t in times.items() if n not in known), default=0
            )
            if first:
                self.returns.append((first - t0, shortage() - was))
                return
            if len(times) >= self.tasks:
                return
            time.sleep(0.01)
        self.idle += 1

    # ---- the run ----

    def run(self):
        with self.worker:
            if self.row.publishing:
                self.source.start()
            try:
                self.row.fault(self)
                self.source.finish()
                self.drain()
                self.stall = longest_stall(self.site, self.worker.hostname)
            finally:
                self.log = self.worker.tail(60)
            self.alive = self.worker.running()
            t0 = time.monotonic()
            self.code = self.worker.stop()
            self.stops.append(time.monotonic() - t0)
            self.log = self.worker.tail(60)
            return self.count()

    def drain(self):
        """Until all is done and told, or nothing moves any more."""
        last, end = None, 0
        while time.monotonic() < (end or time.monotonic() + 1):
            now = (self.ledger.done(), sum(self.told().values()))
            if now[1] >= len(self.source.accepted):
                return
            if now != last:
                last, end = now, time.monotonic() + IDLE_S
            time.sleep(0.2)

    def told(self):
        """Final state -> how many, of what was accepted; from the result
        backend, or else from the records."""
        ids = list(self.source.accepted.values())
        found = dict.fromkeys(ids)
        if self.pg:
            found.update(self.pg.query("SELECT id, status FROM tasks", db=self.db))
        r = self.site.results.client()
        for start in range(0, len(ids), 500):
            some = ids[start : start + 500]
            values = r.mget([f"celery-task-meta-{i}" for i in some])
            for i, value in zip(some, values):
                found[i] = json.loads(value)["status"] if value else found[i]
        states = collections.Counter(found[i] for i in ids)
        return {k: states[k] for k in ("SUCCESS", "FAILURE")}

    def excused(self, starts, ends):
        """It ran again because something was killed while it ran, or between
        its end and its being told."""
        return any(
            starts[0] <= kill and ends[0] >= kill - TOLD_S
            for kill in self.kills
        )

    def count(self):
        starts, ends = self.ledger.times("S"), self.ledger.times("D")
        accepted, told = self.source.accepted, self.told()
        again = {n: t for n, t in ends.items() if len(t) > 1}
        failed = told.get("FAILURE", 0)
        left = self.site.left()
        missing = [n for n in accepted if n not in ends]
        return {
            "tasks": len(accepted),
            "refused": self.source.refused,
            "lost": max(0, len(missing) - failed - left),
            "untold": len(accepted) - failed - told.get("SUCCESS", 0) - left,
            "failed": failed,
            "stuck": left,
            "twice": sum(len(t) - 1 for t in again.values()),
            "unexcused": sum(
                not self.excused(starts[n], t) for n, t in again.items()
            ),
            "idle": self.idle,
            "kills": len(self.kills),
            "recovery": [round(a, 3) for a, _ in self.returns],
            "shortage": [round(b, 3) for _, b in self.returns],
            "stall": self.stall,
            "stop": max(self.stops),
            "alive": self.alive,
            "exit": self.code,
        }
