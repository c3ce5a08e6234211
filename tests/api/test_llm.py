# SPDX-License-Identifier: Apache-2.0
"""LLM queries through the api.  A real Celery worker stands in for ours, so
that each answer and each failure can be had at will."""

import pathlib
import socket
import time

import pytest
import servers
import wire

QUERY = "/api/v1/llm/query"


@pytest.fixture(scope="module")
def worker(redis):
    w = servers.CeleryWorker(redis.url, queues="celery", concurrency=4)
    w.env["PYTHONPATH"] = str(pathlib.Path(__file__).parent)
    argv = w.argv
    w.command = lambda: [
        *(servers.PYTHON, "-m", "celery", "-A", "celery_tasks", "worker"),
        *argv,
    ]
    with w:
        yield w


def test_a_waiting_client_gets_the_answer(call, worker):
    body = {"model": "echo", "prompt": "hi", "temperature": 1, "stop": "x"}
    body["cache"] = False
    answer = call("POST", QUERY, body)
    assert answer.status == 200, answer
    got = answer.json()
    assert (got["model"], got["text"]) == ("echo", "hi")
    assert got["usage"] == {"total_tokens": 3}
    assert got["options"] == {
        "max_tokens": 100,
        "temperature": 1.0,
        "stop": ["x"],
        "cache": False,
    }
    row = call("GET", f"/api/v1/tasks/{got['task_id']}").json()
    assert (row["status"], row["task"], row["model"]) == ("SUCCESS", "llm.query", "echo")


def test_messages_instead_of_a_prompt(call, worker):
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    answer = call("POST", QUERY, {"model": "echo", "messages": messages})
    assert answer.json()["text"] == "b"


def test_many_models_at_once(call, worker):
    answer = call("POST", QUERY, {"models": ["echo", "echo"], "prompt": "hi"})
    assert answer.status == 200
    assert [a["text"] for a in answer.json()["answers"]] == ["hi", "hi"]


def test_a_client_that_does_not_wait_is_told_where_to_look(call, worker):
    answer = call("POST", QUERY, {"model": "echo", "prompt": "hi", "wait": False})
    assert answer.status == 202
    url = answer.headers["location"]
    assert answer.json()["links"] == {"self": url}
    servers.wait_for(lambda: call("GET", url).json()["status"] == "SUCCESS", 15)
    assert call("GET", url).json()["result"]["text"] == "hi"


def test_a_wait_that_is_over_is_202_and_the_query_goes_on(call, worker):
    begin = time.monotonic()
    body = {"model": "echo", "prompt": "sleep 2", "timeout": 0.5}
    answer = call("POST", QUERY, body)
    assert answer.status == 202 and time.monotonic() - begin < 1.5 * servers.SLOW
    url = answer.headers["location"]
    servers.wait_for(lambda: call("GET", url).json()["status"] == "SUCCESS", 15)


@pytest.mark.parametrize(
    "exception, error_class, status",
    [
        ("BadRequestError", "bad_request", 400),
        ("ContextLengthError", "context_length", 400),
        ("ContentFilterError", "content_filter", 400),
        ("TooLargeError", "too_large", 413),
        ("AuthError", "auth", 502),
        ("PermissionDeniedError", "permission", 502),
        ("QuotaError", "quota", 502),
        ("ModelNotFoundError", "model_not_found", 404),
        ("RateLimitError", "rate_limit", 429),
        ("OverloadedError", "overloaded", 503),
        ("TimeoutError", "timeout", 504),
        ("ServerError", "server", 502),
        ("NetworkError", "network", 502),
        ("BadResponseError", "bad_response", 502),
        ("TimeLimitExceeded", None, 504),
        ("SomethingElse", None, 500),
    ],
)
def test_failures(call, worker, exception, error_class, status):
    answer = call("POST", QUERY, {"model": "echo", "prompt": "fail " + exception})
    assert answer.status == status
    got = answer.json()
    assert got["detail"] == "the model did not answer"
    assert got.get("error_class") == error_class
    assert got["error"] == exception
    assert got["task_id"]
    assert ("retry-after" in answer.headers) == (status in (429, 503))


@pytest.mark.parametrize(
    "body, locs",
    [
        ({}, [["model"], ["prompt"]]),
        ({"model": "echo"}, [["prompt"]]),
        ({"model": 5, "prompt": 5}, [["model"], ["prompt"]]),
        ({"model": "echo", "prompt": ""}, [["prompt"]]),
        ({"model": "echo", "models": ["echo"], "prompt": "x"}, [["model"]]),
        ({"models": [], "prompt": "x"}, [["models"]]),
        ({"models": ["echo", 5], "prompt": "x"}, [["models", 1]]),
        ({"models": ["echo"] * 17, "prompt": "x"}, [["models"]]),
        ({"model": "echo", "prompt": "x" * 32769}, [["prompt"]]),
        ({"model": "echo", "prompt": "\u00e4" * 20000}, [["prompt"]]),
        (
            {"model": "echo", "prompt": "x", "messages": [{"role": "user"}]},
            [["prompt"], ["messages", 0, "content"]],
        ),
        (
            {"model": "echo", "messages": [{"role": "x", "content": "y"}, 5]},
            [["messages", 0, "role"], ["messages", 1]],
        ),
        ({"model": "echo", "prompt": "x", "max_tokens": 0}, [["max_tokens"]]),
        ({"model": "echo", "prompt": "x", "temperature": 3}, [["temperature"]]),
        ({"model": "echo", "prompt": "x", "top_p": -1}, [["top_p"]]),
        ({"model": "echo", "prompt": "x", "stop": ["a"] * 5}, [["stop"]]),
        ({"model": "echo", "prompt": "x", "stop": [5]}, [["stop", 0]]),
        ({"model": "echo", "prompt": "x", "wait": "yes"}, [["wait"]]),
        ({"model": "echo", "prompt": "x", "cache": 0, "json": 1}, [["cache"], ["json"]]),
        ({"model": "echo", "prompt": "x", "timeout": 1e9}, [["timeout"]]),
    ],
)
def test_bad_queries(call, body, locs):
    answer = call("POST", QUERY, body)
    assert answer.status == 422
    assert [p["loc"][1:] for p in answer.json()["detail"]] == locs


def test_a_model_that_nothing_serves_is_404_before_anything_is_queued(call, redis):
    waiting = redis.client().llen("celery")
    for body in ({"model": "no/such model"}, {"models": ["echo", "no such"]}):
        answer = call("POST", QUERY, {**body, "prompt": "x"})
        assert answer.status == 404
        assert "no" in answer.json()["detail"]
    assert redis.client().llen("celery") == waiting


def test_the_models_are_listed(call):
    models = call("GET", "/api/v1/llm/models").json()["models"]
    echo = next(m for m in models if m["id"] == "echo")
    assert {"id": "echo", "provider": "echo"}.items() <= echo.items()


def test_a_client_that_goes_away_leaves_nothing_behind(api, call, redis):
    """Nobody runs the queue: the waits end because the clients are gone."""

    def watchers():
        counts = redis.client().execute_command("PUBSUB", "NUMPAT"), len(
            redis.client().execute_command("PUBSUB", "CHANNELS", "celery-task-meta-*")
        )
        return counts[1]

    def in_flight():
        text = call("GET", "/metrics").body.decode()
        for line in text.splitlines():
            if line.startswith("lovage_api_requests_in_flight "):
                return int(line.split()[1])

    body = b'{"model": "echo", "prompt": "x", "queue": "nobody", "timeout": 50}'
    head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    clients = [wire.connect(api.port) for _ in range(20)]
    for s in clients:
        s.sendall(head % (QUERY.encode(), len(body)) + body)
    servers.wait_for(lambda: in_flight() == 21, 10)  # and the one that asks
    servers.wait_for(lambda: watchers() == 20, 10)
    for s in clients:
        s.shutdown(socket.SHUT_RDWR)
        s.close()
    servers.wait_for(lambda: in_flight() == 1, 5)
    servers.wait_for(lambda: watchers() == 0, 5)
