# SPDX-License-Identifier: Apache-2.0
"""Two Python and two Lovage workers on one queue, killed all the time, while
the broker is restarted twice.

On Redis kombu takes a message off its list first and writes down that it has
it afterwards: a Python worker that is killed
in between, or whose connection is cut there, takes the message with it, and no
other worker can know.  So what is lost without ever having been in Lovage's
hands is told apart."""

import contextlib
import itertools
import json
import os
import pathlib
import re
import signal
import tempfile
import time

from fleet import Ledger, fleet
from servers import CeleryWorker, wait_for
from stage import Producer

VISIBILITY_S = 10
OPTIONS = json.dumps({"visibility_timeout": VISIBILITY_S})
RATE = 250.0  # tasks/s that are published
EVERY_S = 1.5  # one of the four is killed
MS = 5


class PythonWorker(CeleryWorker):
    def __init__(self, site):
        env = {
            "TRANSPORT_OPTIONS": OPTIONS,
            "PYTHONPATH": pathlib.Path(__file__).parent,
        }
        argv = ("--without-gossip", "--without-mingle")
        super().__init__(
            site.url, *argv, backend=site.backend, concurrency=2, env=env
        )


def lovage_worker(site):
    env = {
        "LOVAGE_BROKER_TRANSPORT_OPTIONS": OPTIONS,
        "LOVAGE_WORKER_LEASE": "5",
        "LOVAGE_TASK_REJECT_ON_WORKER_LOST": "true",
        "LOVAGE_LOG_LEVEL": "debug",  # which messages it has had
    }
    return fleet(site.url, concurrency=4, backend=site.backend, env=env)


class Mixed:
    def __init__(self, site, tasks, python, stack):
        self.site, self.tasks = site, tasks
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        self.ledger = Ledger(pathlib.Path(folder))
        site.clean()
        site.durable()
        self.source = Producer(site, self.ledger, tasks, MS, RATE)
        other = PythonWorker if python else lovage_worker
        self.workers = [
            stack.enter_context(w)
            for w in (
                other(site),
                lovage_worker(site),
                other(site),
                lovage_worker(site),
            )
        ]
        self.kills = self.restarts = 0

    def kill(self, worker):
        """The whole tree; another starts at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        worker.spawn()
        self.kills += 1

    def restart_broker(self):
        self.site.server.restart()
        self.restarts += 1

    def run(self):
        self.source.start()
        victims = itertools.cycle(self.workers)
        while self.source.is_alive():
            time.sleep(EVERY_S)
            self.kill(next(victims))
            done = self.ledger.done()
            if done > (self.restarts + 1) * self.tasks / 3 and self.restarts < 2:
                self.restart_broker()
        self.source.finish()
        return self.count()

    def missing(self):
        return self.source.accepted.keys() - self.ledger.counts().keys()

    def seen_by_lovage(self):
        logs = [w.text() for w in self.workers if w.name == "worker"]
        return set(re.findall(r"task received .* id=(\S+)", "".join(logs)))

    def wait_for_the_end(self):
        """Until all is done, or there is nothing left to do.  What a Python
        worker held when it was killed comes back after the visibility timeout;
        on RabbitMQ at once."""
        with contextlib.suppress(TimeoutError):
            wait_for(
                lambda: not self.missing() or self.site.left() == 0,
                4 * VISIBILITY_S,
                "all done",
                0.5,
            )
            wait_for(lambda: self.site.left() == 0, 2 * VISIBILITY_S, "acks", 0.5)

    def count(self):
        t0 = time.monotonic()
        self.wait_for_the_end()
        ours = self.seen_by_lovage()
        lost = [self.source.accepted[n] for n in self.missing()]
        return {
            "tasks": len(self.source.accepted),
            "lost": sum(i in ours for i in lost),
            "lost_by_python": sum(i not in ours for i in lost),
            "stuck": self.site.left(),
            "kills": self.kills,
            "restarts": self.restarts,
            "twice": self.ledger.run_again(),
            "recovery": [],
            "after": round(time.monotonic() - t0, 1),
        }


def judge_mixed(site, found):
    wrong = [k for k in ("lost", "stuck") if found[k]]
    if found.get("lost_by_python") and site.name != "redis":
        wrong.append("lost_by_python")
    if found["restarts"] != 2:
        wrong.append("the broker was not restarted twice")
    return wrong


def play_mixed(site, tasks, python=True):
    """python=False: four Lovage workers, so that nothing can be Python's."""
    with contextlib.ExitStack() as stack:
        found = Mixed(site, tasks, python, stack).run()
    if not python:
        found["lost"] += found.pop("lost_by_python")
    return {**found, "wrong": judge_mixed(site, found)}
