# SPDX-License-Identifier: Apache-2.0
"""Tasks of a real Celery worker, which knows nothing of our records: plain ones
and stand-ins for the LLM tasks."""

import os
import time

import celery

app = celery.Celery(
    "celery_tasks",
    broker=os.environ["CELERY_BROKER_URL"],
    backend=os.environ["CELERY_RESULT_BACKEND"],
)
app.conf.worker_prefetch_multiplier = 1


def failure(name):
    """An exception as our worker raises it."""
    return type(name, (Exception,), {"__module__": "lovage.llm"})


@app.task(name="t.add")
def add(x, y, z=0):
    return x + y + z


@app.task(name="t.fail")
def fail(*args):
    raise ValueError(*args)


@app.task(name="t.sleep")
def sleep(seconds):
    time.sleep(seconds)
    return seconds


@app.task(name="llm.query")
def query(model, prompt=None, messages=None, **options):
    if prompt and prompt.startswith("fail "):
        raise failure(prompt[5:])("the model did not answer")
    if prompt and prompt.startswith("sleep "):
        time.sleep(float(prompt[6:]))
    return {
        "model": model,
        "text": prompt or messages[-1]["content"],
        "usage": {"total_tokens": 3},
        "options": options,
    }


@app.task(name="llm.fan_out")
def fan_out(models, prompt=None, **options):
    return {"answers": [{"model": m, "text": prompt} for m in models]}
