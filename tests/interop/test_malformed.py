# SPDX-License-Identifier: Apache-2.0
"""Messages that are no tasks, injected as bytes: the worker refuses each, once,
and goes on.  The cases are those that a real Celery worker was fed with; some
of them kill it."""

import base64
import json

import pytest

import servers

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture
def template(app, redis):
    """A good message, as kombu has it in Redis."""
    app.send_task("interop.add", (1, 2), queue="template")
    return json.loads(redis.client().lpop("template"))


def body_of(args, kwargs, *more):
    return base64.b64encode(
        json.dumps([args, kwargs, *more]).encode()
    ).decode()


EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def edit(*path, to):
    """Sets a member; to=KeyError removes it."""

    def change(message):
        at = message
        for key in path[:-1]:
            at = at[key]
        if to is KeyError:
            del at[path[-1]]
        else:
            at[path[-1]] = to
        return message

    change.__name__ = "-".join(map(str, path)) + "=" + str(to)[:24]
    return change


def raw_body(data):
    data = data if isinstance(data, bytes) else data.encode()
    return edit("body", to=base64.b64encode(data).decode())


RUNS = [
    edit("properties", "priority", to=KeyError),
    edit("properties", "priority", to="high"),
    edit("properties", "correlation_id", to=KeyError),
    edit("properties", "reply_to", to=KeyError),
    edit("properties", "delivery_mode", to=KeyError),
    edit("content-encoding", to=None),
    edit("headers", "timelimit", to=None),
    edit("headers", "timelimit", to=[None]),
    edit("headers", "retries", to="0"),
    edit("headers", "eta", to=""),
    edit("headers", "expires", to=""),
    edit("properties", "delivery_tag", to=KeyError),
    edit("properties", "delivery_info", to=KeyError),
    edit("properties", "delivery_info", to={}),
    edit("body", to=body_of([1, 2], {}, {})),
    edit("body", to=body_of([1, 2], {}, None)),
]

REFUSED = [
    raw_body("[[1, 2"),
    raw_body("\ufeff[[1, 2], {}, {}]"),
    raw_body(b"\xff\xfe\x00"),
    raw_body(""),
    raw_body("{}"),
    raw_body('"text"'),
    raw_body("null"),
    raw_body("[" * 100_000),
    edit("body", to=body_of([1, 2], {})),
    edit("body", to=body_of([1, 2], {}, EMBED, 4)),
    edit("body", to="!!! no base64 !!!"),
    edit("body", to=17),
    edit("body", to=KeyError),
    edit("headers", "compression", to="application/x-nonsense"),
    edit("headers", "compression", to="application/x-gzip"),
    edit("content-type", to="application/x-python-serialize"),
    edit("content-type", to="text/plain"),
    edit("content-type", to="json"),
    edit("content-type", to=None),
    edit("content-type", to=KeyError),
    edit("content-encoding", to="utf-99"),
    edit("headers", "eta", to="tomorrow"),
    edit("headers", "eta", to=12345),
    edit("headers", "expires", to="never"),
    edit("headers", "id", to=KeyError),
    edit("headers", "id", to="x" * 5000),
    edit("headers", "task", to=KeyError),
    edit("headers", "task", to=7),
    edit("headers", to=None),
    edit("headers", to=KeyError),
    edit("headers", to=[]),
    edit("properties", "body_encoding", to="rot13"),
    lambda message: "not an object",
    lambda message: [],
    lambda message: {},
]

BYTES = [
    b"",
    b"not JSON",
    b"\x00\x01\x02\xff",
    b"{" * 50_000,
    b'{"body": ',
    b"null",
]


def name_of(case):
    return getattr(case, "__name__", "bytes")


def settle(redis):
    """Waits until the worker holds nothing and nothing waits."""
    r = redis.client()
    servers.wait_for(
        lambda: not r.exists("c", "unacked", "unacked_index"), 10, "settled"
    )


@pytest.mark.parametrize("change", RUNS, ids=name_of)
def test_an_odd_message_runs(client, redis, template, change):
    task_id = template["headers"]["id"]
    redis.client().lpush("c", json.dumps(change(template)))
    result = client.app.AsyncResult(task_id)
    assert result.get(timeout=client.timeout) == 3
    settle(redis)


@pytest.mark.parametrize("change", REFUSED, ids=name_of)
def test_a_bad_message_is_refused_once(client, redis, worker, template, change):
    nodes = worker.nodes()
    redis.client().lpush("c", json.dumps(change(template)))
    assert client.call("interop.add", 1, 1) == 2
    settle(redis)
    assert worker.nodes() == nodes


@pytest.mark.parametrize("data", BYTES, ids=lambda b: repr(b[:12]))
def test_bytes_that_are_no_message_are_dropped(client, redis, worker, data):
    nodes = worker.nodes()
    redis.client().lpush("c", data)
    assert client.call("interop.add", 1, 1) == 2
    settle(redis)
    assert worker.nodes() == nodes


@pytest.mark.parametrize(
    "args,kwargs", [({"a": 1}, {}), ([1, 2], [1]), (7, {}), ([1, 2], "k")]
)
def test_arguments_of_the_wrong_shape_do_not_run(
    client, redis, template, args, kwargs
):
    template["body"] = body_of(args, kwargs, EMBED)
    redis.client().lpush("c", json.dumps(template))
    assert client.call("interop.add", 1, 1) == 2
    settle(redis)
    result = client.app.AsyncResult(template["headers"]["id"])
    assert result.state in ("PENDING", "FAILURE")


def test_values_python_writes_and_json_has_not_are_read(client, redis, template):
    template["headers"]["task"] = "interop.echo"
    body = "[[NaN, Infinity, -Infinity, 1e400, 123456789012345678901234567890], {}, {}]"
    template["body"] = base64.b64encode(body.encode()).decode()
    redis.client().lpush("c", json.dumps(template))
    result = client.app.AsyncResult(template["headers"]["id"])
    got = result.get(timeout=client.timeout)["args"]
    assert got[1:4] == [float("inf"), float("-inf"), float("inf")]
    assert got[4] == 123456789012345678901234567890


def test_a_body_that_is_not_base64_is_read(client, redis, template):
    template["properties"]["body_encoding"] = None
    template["body"] = '[[1, 2], {}, {"callbacks": null}]'
    redis.client().lpush("c", json.dumps(template))
    result = client.app.AsyncResult(template["headers"]["id"])
    assert result.get(timeout=client.timeout) == 3


def test_a_message_with_only_the_required_headers_runs(client, redis, template):
    template["headers"] = {
        k: template["headers"][k] for k in ("lang", "task", "id")
    }
    redis.client().lpush("c", json.dumps(template))
    result = client.app.AsyncResult(template["headers"]["id"])
    assert result.get(timeout=client.timeout) == 3
