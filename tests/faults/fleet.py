# SPDX-License-Identifier: Apache-2.0
"""What the fault tests share: tasks that leave a ledger, and its counting."""

import collections
import json
import threading
import time
import urllib.error
import urllib.request
import uuid

from servers import SLOW, Worker, plugin, wait_for

TASK = "faults.work"


def fleet(broker, concurrency=8, late=True, **kw):
    """A worker that runs the ledger's task."""
    env = {
        "LOVAGE_TASK_ACKS_LATE": "true" if late else "false",
        # It is not the task that kills, when one is hit three times.
        "LOVAGE_WORKER_MAX_ATTEMPTS": "10",
        **kw.pop("env", {}),
    }
    return Worker(
        broker,
        *("-I", plugin("tests/faults/ledger")),
        *kw.pop("argv", ()),
        concurrency=concurrency,
        include=False,
        env=env,
        **kw,
    )


class Ledger:
    """Which tasks were started and done, how often and when."""

    def __init__(self, folder):
        self.path = folder / f"ledger-{uuid.uuid4().hex[:8]}"
        self.path.touch()

    def counts(self, what="D"):
        found = collections.Counter()
        for line in self.path.read_text().splitlines():
            kind, n = line.split()[:2]
            if kind == what:
                found[int(n)] += 1
        return found

    def times(self, what):
        """n -> when, in seconds of time.monotonic(), in order."""
        found = collections.defaultdict(list)
        for line in self.path.read_text().splitlines():
            kind, n, us = line.split()
            if kind == what:
                found[int(n)].append(int(us) / 1e6)
        return found

    def done(self):
        return len(self.counts())

    def wait_done(self, n, timeout):
        wait_for(lambda: self.done() >= n, timeout, f"{n} tasks done", 0.1)

    def missing(self, n):
        found = self.counts()
        return [i for i in range(n) if i not in found]

    def run_again(self):
        """Executions beyond the first of each task."""
        return sum(self.counts().values()) - self.done()


def publish(app, ledger, n, ms, **options):
    """n tasks through one connection; their ids in order."""
    ids = [str(uuid.uuid4()) for _ in range(n)]
    with app.producer_pool.acquire(block=True) as p:
        for i, task_id in enumerate(ids):
            app.send_task(
                TASK,
                args=(i, ms, str(ledger.path)),
                task_id=task_id,
                producer=p,
                **options,
            )
    return ids


def states(redis_client, ids):
    """status -> how many, from the result backend."""
    found = collections.Counter()
    for start in range(0, len(ids), 500):
        keys = [f"celery-task-meta-{i}" for i in ids[start : start + 500]]
        for value in redis_client.mget(keys):
            found[json.loads(value)["status"] if value else None] += 1
    return found


class Submitter(threading.Thread):
    """Posts tasks to the api, one after the other, and keeps what was said."""

    def __init__(self, url, ledger, ms=0):
        super().__init__(daemon=True)
        self.url, self.ledger, self.ms = url, ledger, ms
        self.accepted, self.refused, self.broken = {}, 0, 0
        self.codes = collections.Counter()
        self.ending = threading.Event()

    def post(self, n):
        body = json.dumps(
            {
                "name": f"fault {n}",
                "task": TASK,
                "args": [n, self.ms, str(self.ledger.path)],
            }
        ).encode()
        request = urllib.request.Request(
            f"{self.url}/api/v1/tasks",
            body,
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20 * SLOW) as r:
            return r.status, json.load(r)

    def submit(self, n):
        try:
            code, row = self.post(n)
            self.codes[code] += 1
            self.accepted[n] = row["task_id"]
        except urllib.error.HTTPError as e:
            self.codes[e.code] += 1
            self.refused += 1
            e.close()
            time.sleep(0.05)
        except (OSError, ValueError):
            self.broken += 1  # no answer: may have been taken or not
            time.sleep(0.05)

    def run(self):
        n = 0
        while not self.ending.is_set():
            self.submit(n)
            n += 1

    def finish(self):
        self.ending.set()
        self.join(60 * SLOW)
        assert not self.is_alive(), "a submission hangs"
