"""The peer: real Celery running the same no-op task."""
import os

from celery import Celery

app = Celery("bench", broker=os.environ["BENCH_BROKER"],
             backend=os.environ.get("BENCH_BACKEND") or None)
app.conf.update(
    task_ignore_result=not os.environ.get("BENCH_BACKEND"),
    task_acks_late=bool(os.environ.get("BENCH_ACKS_LATE")),
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)


@app.task(name="bench.noop")
def noop(*args):
    return None
