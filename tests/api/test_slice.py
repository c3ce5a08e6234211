# SPDX-License-Identifier: Apache-2.0
"""The main job: a query through the api, our worker and back."""

import time

import pytest
import servers
import wire

QUERY = "/api/v1/llm/query"


@pytest.fixture(scope="module")
def worker(redis, shared_database):
    with servers.Worker(redis.url, database=shared_database, include=False) as w:
        yield w


def test_a_query_is_answered_and_recorded(call, worker):
    answer = call("POST", QUERY, {"model": "echo", "prompt": "hello world"})
    assert answer.status == 200, answer
    got = answer.json()
    assert (got["model"], got["text"]) == ("echo", "hello world")
    assert got["usage"]["total_tokens"] == 4
    row = call("GET", f"/api/v1/tasks/{got['task_id']}").json()
    assert (row["status"], row["model"]) == ("SUCCESS", "echo")
    assert row["usage"]["total_tokens"] == 4 and row["worker"] == worker.hostname


def test_models_are_asked_at_the_same_time(call, worker):
    models = [f"echo?latency_ms=400&tokens={n}" for n in range(1, 6)]
    begin = time.monotonic()
    answer = call("POST", QUERY, {"models": models, "prompt": "a", "cache": False})
    assert time.monotonic() - begin < 1.5 * servers.SLOW
    assert [a["model"] for a in answer.json()["answers"]] == models


def test_one_model_that_fails_does_not_spoil_the_others(call, worker):
    body = {"models": ["echo", "echo?error=auth"], "prompt": "a"}
    answer = call("POST", QUERY, body)
    assert answer.status == 200
    good, bad = answer.json()["answers"]
    assert good["text"] == "a"
    assert bad["error"]


@pytest.mark.parametrize(
    "error, status",
    [("auth", 502), ("quota", 502), ("content_filter", 400), ("bad_request", 400)],
)
def test_a_failure_keeps_its_class(call, worker, error, status):
    answer = call("POST", QUERY, {"model": f"echo?error={error}", "prompt": "a"})
    assert answer.status == status
    assert answer.json()["error_class"] == error


def test_every_parameter_reaches_the_worker(call, worker):
    body = {
        "model": "echo",
        "messages": [{"role": "user", "content": "q"}],
        "system": "s",
        "max_tokens": 5,
        "temperature": 0.5,
        "top_p": 0.5,
        "top_k": 3,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.1,
        "seed": 5,
        "stop": ["x"],
        "reasoning_effort": "low",
        "json": True,
        "cache": False,
    }
    answer = call("POST", QUERY, body)
    assert answer.status == 200, answer
    row = call("GET", f"/api/v1/tasks/{answer.json()['task_id']}").json()
    assert row["kwargs"] == body


def test_many_clients_at_once(api, worker):
    """More waiting clients than calls in flight; each gets its own answer."""
    import concurrent.futures

    def ask(i):
        body = {"model": "echo?latency_ms=50", "prompt": f"p{i}"}
        return wire.request(api.port, "POST", QUERY, body).json()["text"]

    with concurrent.futures.ThreadPoolExecutor(60) as pool:
        assert list(pool.map(ask, range(300))) == [f"p{i}" for i in range(300)]
