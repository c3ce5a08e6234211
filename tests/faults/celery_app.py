# SPDX-License-Identifier: Apache-2.0
"""The same tasks as ledger.c, for Python workers of a mixed fleet."""

import json
import os
import time

from celery import Celery

app = Celery("celery_app")
app.conf.update(
    broker_url=os.environ["CELERY_BROKER_URL"],
    result_backend=os.environ["CELERY_RESULT_BACKEND"],
    broker_transport_options=json.loads(os.environ["TRANSPORT_OPTIONS"]),
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=4,
)


def note(path, what, n):
    line = f"{what} {n} {time.monotonic_ns() // 1000}\n".encode()
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(fd, line)
    finally:
        os.close(fd)


def run(n, ms, path):
    note(path, "S", n)
    time.sleep(ms / 1000)
    note(path, "D", n)
    return n


app.task(run, name="faults.work")
app.task(run, name="faults.wait")
