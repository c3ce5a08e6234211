# SPDX-License-Identifier: Apache-2.0
"""The rows of the fault table: what is done to a worker, a broker or the way
between them, while 2,000 tasks run."""

import dataclasses
import os
import signal
import time
import typing

AWAY_S = 3.0  # a broker that restarts, a worker that was killed


# ---- the worker ----


def kill_executors(stage):
    for share in (0.1, 0.25, 0.4, 0.55, 0.7):
        stage.wait_share(share)
        pids = stage.worker.executors()
        stage.kill(pids[len(stage.kills) % len(pids)])


def kill_nodes(stage):
    for share in (0.1, 0.25, 0.4, 0.55, 0.7):
        stage.wait_share(share)
        stage.kill(stage.worker.nodes()[0])
        stage.returned()


def kill_tree(stage):
    stage.wait_share(0.4)
    stage.killed()
    os.killpg(stage.worker.pid, signal.SIGKILL)
    stage.worker.wait()
    time.sleep(AWAY_S)
    t0 = time.monotonic()
    stage.worker.start()
    stage.returned(t0)


def stop(sig):
    def fault(stage):
        for share in (0.2, 0.4, 0.6):
            stage.wait_share(share)
            if sig == signal.SIGQUIT:
                stage.killed()
            t0 = time.monotonic()
            assert stage.worker.stop(sig) == 0, "not a clean exit"
            stage.stops.append(time.monotonic() - t0)
            t0 = time.monotonic()
            stage.worker.start()
            stage.returned(t0)

    return fault


# ---- the broker ----


def away(stage, end):
    end()
    time.sleep(AWAY_S)
    stage.server.start()
    stage.returned()


def restart(stage):
    stage.wait_share(0.4)
    away(stage, stage.server.stop)


def crash(stage):
    stage.wait_share(0.4)
    stage.killed()
    away(stage, stage.server.kill)


def restart_often(stage):
    for i in range(stage.row.times):
        known = stage.ledger.done()
        stage.wait_share((known + 1) / stage.tasks)
        stage.server.stop()
        stage.server.start()
        stage.returned()


def freeze(stage):
    stage.wait_share(0.4)
    stage.server.pause()
    time.sleep(stage.row.seconds)
    stage.server.resume()
    stage.returned()


def alarm(stage):
    stage.wait_share(0.3)
    stage.site.alarm(True)
    time.sleep(stage.row.seconds)
    stage.site.alarm(False)
    stage.returned()


# ---- the network ----


def partition(stage):
    stage.wait_share(0.4)
    stage.proxy.hold()
    time.sleep(stage.row.seconds)
    stage.proxy.release()
    stage.returned()


def resets(stage):
    for share in (0.1, 0.25, 0.4, 0.55, 0.7):
        stage.wait_share(share)
        stage.proxy.reset()
        stage.returned()


@dataclasses.dataclass
class Row:
    name: str
    fault: typing.Callable
    proxied: bool = False
    publishing: str = ""  # tasks are sent meanwhile, by "celery" or "outbox"
    rate: float = 140.0  # of it, tasks/s
    seconds: float = 0
    times: int = 0
    ms: int = 50
    recovery_s: float = 2.0  # allowed
    share: float = 1.0  # of the number of tasks that was asked for
    fleet: str = ""  # mixed.py: four workers, "mixed" or "lovage"
    # Without a database a tree that is killed leaves nobody who knows what it
    # ran, when that was acknowledged before it began.
    needs_records: str = ""  # "early", "always"

    def records(self, late):
        return self.needs_records == "always" or (
            self.needs_records == "early" and not late
        )


ROWS = [
    Row("kill executor", kill_executors),
    # The supervisor waits longer each time before it starts another.
    Row("kill node", kill_nodes, recovery_s=10),
    Row("kill tree", kill_tree, needs_records="early"),
    Row("SIGTERM", stop(signal.SIGTERM)),
    Row("SIGQUIT", stop(signal.SIGQUIT)),
    Row("broker restart", restart),
    Row("broker kill", crash),
    Row("broker freeze", freeze, seconds=20),
    Row("partition", partition, proxied=True, seconds=20),
    Row("resets", resets, proxied=True),
    Row("out of memory", alarm, seconds=10, share=2),
    # The worker is as fast as the producer: what waits for the first new task
    # also waits for Celery's own reconnecting.
    Row(
        "restart, celery publishing",
        restart,
        publishing="celery",
        recovery_s=10,
    ),
    Row("kill, celery publishing", crash, publishing="celery", recovery_s=10),
    Row(
        "restart, api publishing",
        restart,
        publishing="outbox",
        needs_records="always",
    ),
    Row(
        "kill, api publishing",
        crash,
        publishing="outbox",
        needs_records="always",
    ),
    Row("20 restarts", restart_often, times=20, share=4),
    Row("mixed fleet", None, fleet="mixed", share=5),
    Row("lovage fleet", None, fleet="lovage", share=5),
]
