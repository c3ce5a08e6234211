# SPDX-License-Identifier: Apache-2.0
"""The Python side of the interop tests: an unmodified Celery app.  CELERY_*
variables name the broker and the backend, as Celery itself reads them; the
test's own TEST_CONF is a JSON object of further settings."""

import json
import os

from celery import Celery

app = Celery("celery_app")
app.conf.update(
    broker_url=os.environ.get("CELERY_BROKER_URL"),
    result_backend=os.environ.get("CELERY_RESULT_BACKEND"),
    worker_redirect_stdouts=False,
    worker_hijack_root_logger=False,
    result_extended=os.environ.get("RESULT_EXTENDED") == "1",
    broker_transport_options={
        "visibility_timeout": float(os.environ.get("VISIBILITY_TIMEOUT", 3600))
    },
)
app.conf.update(json.loads(os.environ.get("TEST_CONF", "{}")))


# Settings of one test, and the queues of tests/interop/topology.py.
app.conf.update(json.loads(os.environ.get("CELERY_APP_SETTINGS", "{}")))
if isinstance(app.conf.task_queues, list):
    import topology

    app.conf.task_queues = topology.queues(app.conf.task_queues)


@app.task(name="interop.add")
def add(x, y):
    return x + y


@app.task(name="py.add")
def py_add(x, y):
    return x + y


@app.task(name="py.double")
def double(x):
    return 2 * x


@app.task(name="py.echo")
def echo(*args, **kwargs):
    return {"args": args, "kwargs": kwargs}


@app.task(name="py.fail")
def fail(message):
    raise ValueError(message, 42)


@app.task(name="py.request", bind=True)
def request(self):
    """What Python sees of a request."""
    r = self.request
    return {
        "id": r.id,
        "root_id": r.root_id,
        "parent_id": r.parent_id,
        "retries": r.retries,
        "eta": r.eta,
        "expires": r.expires,
        "reply_to": r.reply_to,
        "correlation_id": r.correlation_id,
        "origin": r.origin,
        "argsrepr": r.argsrepr,
        "kwargsrepr": r.kwargsrepr,
        "delivery_info": r.delivery_info,
        "timelimit": r.timelimit,
        "lang": getattr(r, "lang", None),
    }


@app.task(name="py.failing_errback")
def errback(request, exc, traceback):
    """A new style errback: it is called with the failed request."""
    app.backend.client.rpush(f"errback:{request.id}", repr(exc))


@app.task(name="py.note")
def note(uuid):
    """An old style errback: it is called with the failed task's id."""
    app.backend.client.rpush("noted", uuid)


@app.task(name="py.total")
def total(numbers):
    return sum(numbers)
