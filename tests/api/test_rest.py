# SPDX-License-Identifier: Apache-2.0
"""Bad input, case by case: the status that each gets, and that what is refused
leaves nothing behind."""

import json
import urllib.parse
import uuid

import pytest

TASKS = "/api/v1/tasks"
GOOD = {"name": "n", "task": "t"}


def text(**fields):
    return json.dumps({**GOOD, **fields}).encode()


def raw(fields):
    return b'{"name": "n", "task": "t", ' + fields + b"}"


def nested(depth):
    return raw(b'"args": ' + b"[" * depth + b"]" * depth)


FUTURE = "2031-01-01T00:00:00Z"

# name, body, status, loc of the first problem (None: any, or no 422)
BODIES = [
    ("empty", b"", 422, ["body"]),
    ("none", None, 422, ["body"]),
    ("null", b"null", 422, ["body"]),
    ("not json", b"hello", 422, ["body", 0]),
    ("cut off", b'{"name": "n"', 422, ["body", 12]),
    ("trailing garbage", text() + b"x", 422, ["body", 26]),
    ("two documents", text() + text(), 422, ["body", 26]),
    ("trailing comma", b'{"name": "n",}', 422, ["body", 13]),
    ("single quotes", b"{'name': 'n'}", 422, ["body", 1]),
    ("comment", b"/* c */ {}", 422, ["body", 0]),
    ("NaN", raw(b'"priority": NaN'), 422, ["body", 39]),
    ("Infinity", raw(b'"priority": Infinity'), 422, ["body", 39]),
    ("1e999", raw(b'"priority": 1e999'), 422, ["body", "priority"]),
    ("bom", b"\xef\xbb\xbf" + text(), 422, ["body", 0]),
    ("utf-16", text().decode().encode("utf-16"), 422, ["body", 0]),
    ("utf-16 without bom", text().decode().encode("utf-16-le"), 422, None),
    ("invalid utf-8", b'{"name": "\xff", "task": "t"}', 400, None),
    ("overlong utf-8", b'{"name": "\xc0\xaf", "task": "t"}', 400, None),
    ("lone surrogate", b'{"name": "\\ud800", "task": "t"}', 422, ["body", 10]),
    ("raw surrogate", b'{"name": "\xed\xa0\x80", "task": "t"}', 400, None),
    ("U+0000", b'{"name": "a\\u0000b", "task": "t"}', 422, ["body", 11]),
    ("U+0000 deep", raw(b'"args": [{"a\\u0000": 1}]'), 422, None),
    ("raw NUL", b'{"name": "a\0b", "task": "t"}', 422, ["body", 11]),
    ("raw newline", b'{"name": "a\nb", "task": "t"}', 422, ["body", 11]),
    ("array", b"[]", 422, ["body"]),
    ("string", b'"x"', 422, ["body"]),
    ("number", b"5", 422, ["body"]),
    ("depth 20", nested(20), 201, None),
    ("depth 1,000", nested(1000), 400, None),
    ("depth 100,000", nested(100000), 400, None),
    ("duplicate key", b'{"name": "n", "task": "t", "name": "m"}', 422, None),
    ("duplicate key in kwargs", raw(b'"kwargs": {"a": 1, "a": 2}'), 422, None),
    ("unknown key", text(unknown=1), 201, None),
    ("name missing", b'{"task": "t"}', 422, ["body", "name"]),
    ("name null", text(name=None), 422, ["body", "name"]),
    ("name empty", text(name=""), 422, ["body", "name"]),
    ("name of 201", text(name="a" * 201), 422, ["body", "name"]),
    ("name a number", text(name=5), 422, ["body", "name"]),
    ("name of 200 wide", text(name="\U0001f600" * 200), 201, None),
    ("task missing", b'{"name": "n"}', 422, ["body", "task"]),
    ("task with a newline", text(task="a\nb"), 422, ["body", "task"]),
    ("task of 256", text(task="a" * 256), 422, ["body", "task"]),
    ("priority '5'", text(priority="5"), 201, None),
    ("priority 5.0", text(priority=5.0), 201, None),
    ("priority -0", raw(b'"priority": -0'), 201, None),
    ("priority 5.5", text(priority=5.5), 422, ["body", "priority"]),
    ("priority true", text(priority=True), 422, ["body", "priority"]),
    ("priority -1", text(priority=-1), 422, ["body", "priority"]),
    ("priority 10", text(priority=10), 422, ["body", "priority"]),
    ("priority 2^63", text(priority=2**63), 422, ["body", "priority"]),
    ("priority 10^400", text(priority=10**400), 422, ["body", "priority"]),
    ("5,001 digits", raw(b'"priority": ' + b"1" * 5001), 422, None),
    ("05", raw(b'"priority": 05'), 422, ["body", 40]),
    ("eta tomorrow", text(eta="tomorrow"), 422, ["body", "eta"]),
    ("eta 30 February", text(eta="2031-02-30T00:00:00Z"), 422, ["body", "eta"]),
    ("eta year 10000", text(eta="10000-01-01T00:00:00Z"), 422, ["body", "eta"]),
    ("eta +99:99", text(eta="2031-01-01T00:00:00+99:99"), 422, ["body", "eta"]),
    ("eta 1e18", text(eta=1e18), 422, ["body", "eta"]),
    ("eta and countdown", text(eta=FUTURE, countdown=5), 422, ["body", "eta"]),
    ("eta", text(eta=FUTURE), 201, None),
    ("expires", text(expires=3600), 201, None),
    ("countdown -1", text(countdown=-1), 422, ["body", "countdown"]),
    ("args a string", text(args="x"), 422, ["body", "args"]),
    ("args an object", text(args={}), 422, ["body", "args"]),
    ("kwargs an array", text(kwargs=[]), 422, ["body", "kwargs"]),
    ("queue empty", text(queue=""), 422, ["body", "queue"]),
    ("queue with a separator", text(queue="a\x06b"), 422, ["body", "queue"]),
    ("big integers in args", text(args=[10**100, -(2**63)]), 201, None),
]


@pytest.mark.parametrize(
    "body, status, loc", [b[1:] for b in BODIES], ids=[b[0] for b in BODIES]
)
def test_body(call, api, shared_database, postgres, body, status, loc):
    db = shared_database.rsplit("/", 1)[1]
    before = postgres.query("SELECT count(*) FROM tasks", db=db)[0][0]
    answer = call("POST", TASKS, body)
    assert answer.status == status, answer
    detail = answer.json().get("detail")
    if status == 422:
        for problem in detail:
            assert {"type", "loc", "msg", "input"} <= set(problem)
        if loc:
            assert detail[0]["loc"] == loc, detail
    elif status == 400:
        assert detail == "There was an error parsing the body"
    after = postgres.query("SELECT count(*) FROM tasks", db=db)[0][0]
    assert after - before == (status == 201)


def test_all_problems_at_once_in_field_order(call):
    answer = call("POST", TASKS, {"name": "", "args": 5, "priority": 10})
    assert [(p["loc"][1], p["type"]) for p in answer.json()["detail"]] == [
        ("name", "string_too_short"),
        ("task", "missing"),
        ("args", "list_type"),
        ("priority", "less_than_equal"),
    ]


def test_the_words_are_pydantics(call):
    detail = call("POST", TASKS, {"task": "t"}).json()["detail"]
    assert detail == [
        {
            "type": "missing",
            "loc": ["body", "name"],
            "msg": "Field required",
            "input": {"task": "t"},
        }
    ]
    detail = call("POST", TASKS, b"{").json()["detail"]
    assert detail == [
        {
            "type": "json_invalid",
            "loc": ["body", 1],
            "msg": "JSON decode error",
            "input": {},
            "ctx": {"error": "Expecting property name enclosed in double quotes"},
        }
    ]


def test_what_is_not_the_clients_is_ignored(call):
    claims = {"id": 7, "task_id": "x", "owner": "me", "status": "SUCCESS"}
    row = call("POST", TASKS, {**GOOD, **claims, "result": 1}).json()
    assert row["status"] == "PENDING" and row["result"] is None
    assert row["id"] != 7 and uuid.UUID(row["task_id"])


def test_sql_is_text(call):
    name = "'; DROP TABLE tasks; --"
    row = call("POST", TASKS, {**GOOD, "name": name}).json()
    assert call("GET", f"{TASKS}/{row['task_id']}").json()["name"] == name


def test_numbers_in_arguments_stay_what_they_are(call):
    row = call(
        "POST", TASKS, raw(b'"args": [1, 1.0, 1.50, -0.0, 12345678901234567890123]')
    )
    again = call("GET", f"{TASKS}/{row.json()['task_id']}")
    want = b"[1, 1.0, 1.50, -0.0, 12345678901234567890123]"
    assert b'"args":' + want in row.body
    assert b'"args":' + want in again.body


@pytest.mark.parametrize(
    "headers, status",
    [
        ({}, 201),
        ({"Content-Type": "application/json"}, 201),
        ({"Content-Type": "Application/JSON; charset=utf-16"}, 201),
        ({"Content-Type": "application/vnd.api+json"}, 201),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 415),
        ({"Content-Type": ""}, 415),
        ({"Content-Encoding": "identity"}, 201),
        ({"Content-Encoding": "gzip"}, 415),
    ],
)
def test_media_types(call, headers, status):
    assert call("POST", TASKS, GOOD, headers).status == status


def test_a_body_over_the_limit_is_413(call):
    assert call("POST", TASKS, b" " * (1048576 + 1)).status == 413
    big = text(args=["x" * 1000000])
    assert call("POST", TASKS, big).status == 201


ID = str(uuid.uuid4())


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "task_id, status",
    [
        (ID, 404),
        ("999999999", 404),
        ("nope", 404),
        (ID.replace("-", ""), 404),
        ("{" + ID + "}", 404),
        ("urn:uuid:" + ID, 404),
        ("0", 404),
        ("01", 404),
        ("-1", 404),
        ("1e3", 404),
        ("9" * 30, 404),
        (ID + "%00", 400),
        ("%zz", 400),
        ("a%2fb", 404),
        ("a" * 155, 404),
        ("a" * 156, 404),
        ("..", 400),
        ("%2e%2e", 400),
        (ID + "/x", 404),
        ("a" * 300, 400),
    ],
)
def test_ids(call, method, task_id, status):
    body = {} if method == "PUT" else None
    assert call(method, f"{TASKS}/{task_id}", body).status == status


@pytest.mark.parametrize(
    "task_id", ["my-task-7", "a/b \\%41?#", "\u00fc" * 77, "A" * 155, "7a"]
)
def test_a_task_id_that_a_producer_chose(call, postgres, shared_database, task_id):
    insert = "INSERT INTO tasks (id, task) VALUES (%s, 't')"
    postgres.query(insert, task_id, db=shared_database.rpartition("/")[2])
    url = f"{TASKS}/{urllib.parse.quote(task_id, safe='')}"
    row = call("GET", url).json()
    assert row["task_id"] == task_id
    answer = call("PUT", url, {"name": "new"})
    assert (answer.status, answer.json()["name"]) == (200, "new")
    assert call("GET", f"{TASKS}/{row['id']}").json()["name"] == "new"
    assert call("DELETE", url).status == 200
    assert call("GET", url).status == 404


def test_digits_are_the_integer_id(call, postgres, shared_database):
    row = call("POST", TASKS, GOOD).json()
    insert = "INSERT INTO tasks (id, task) VALUES (%s, 'other')"
    postgres.query(insert, str(row["id"]), db=shared_database.rpartition("/")[2])
    assert call("GET", f"{TASKS}/{row['id']}").json() == row
    assert call("DELETE", f"{TASKS}/{row['id']}").json()["task_id"] == row["task_id"]
    assert call("GET", f"{TASKS}/{row['id']}").status == 404


def test_an_id_in_upper_case_is_the_same(call):
    row = call("POST", TASKS, GOOD).json()
    again = call("GET", f"{TASKS}/{row['task_id'].upper()}")
    assert again.status == 200 and again.json() == row
    assert call("GET", f"{TASKS}/{row['id']}").json() == row


@pytest.mark.parametrize(
    "path, location",
    [
        (TASKS + "/", TASKS),
        (TASKS + "/?limit=5", TASKS + "?limit=5"),
        (f"{TASKS}/{ID}/", f"{TASKS}/{ID}"),
    ],
)
def test_a_trailing_slash_is_sent_on(call, path, location):
    answer = call("GET", path, headers={"X-Forwarded-Host": "evil"})
    assert (answer.status, answer.headers["location"]) == (307, location)


@pytest.mark.parametrize(
    "path, status",
    [
        ("/", 404),
        ("/nope", 404),
        ("/api/v1//tasks", 404),
        ("//", 404),
        ("/api/v1/../v1/tasks", 400),
        ("/API/V1/TASKS", 404),
    ],
)
def test_unknown_paths(call, path, status):
    answer = call("GET", path)
    assert answer.status == status
    assert isinstance(answer.json()["detail"], str)


@pytest.mark.parametrize(
    "method, path, status, allow",
    [
        ("PATCH", TASKS, 405, "GET, HEAD, POST"),
        ("DELETE", TASKS, 405, "GET, HEAD, POST"),
        ("OPTIONS", TASKS, 405, "GET, HEAD, POST"),
        ("TRACE", TASKS, 405, "GET, HEAD, POST"),
        ("POST", f"{TASKS}/1", 405, "GET, HEAD, PUT, DELETE"),
        ("GET", "/api/v1/llm/query", 405, "POST"),
        ("POST", "/healthz", 405, "GET, HEAD"),
        ("BREW", TASKS, 501, None),
    ],
)
def test_methods(call, method, path, status, allow):
    answer = call(method, path)
    assert answer.status == status
    assert answer.headers.get("allow") == allow


def test_a_preflight_is_not_answered_by_the_library(call):
    origin = {
        "Origin": "https://evil.example",
        "Access-Control-Request-Method": "DELETE",
    }
    answer = call("OPTIONS", TASKS, headers=origin)
    assert answer.status == 405
    assert not [h for h in answer.headers if h.startswith("access-control")]


@pytest.mark.parametrize("path", [TASKS, "/healthz", "/api/v1/llm/models"])
def test_head_is_get_without_a_body(call, path):
    answer = call("HEAD", path)
    assert answer.status == 200
    assert int(answer.headers["content-length"]) > 0


@pytest.mark.parametrize(
    "query, status",
    [
        ("limit=1", 200),
        ("limit=100&skip=0", 200),
        ("limit=0", 422),
        ("limit=101", 422),
        ("limit=abc", 422),
        ("limit=", 422),
        ("limit=1e3", 422),
        ("limit=1&limit=2", 422),
        ("limit=%205%20", 422),
        ("limit=%2B5", 422),
        ("limit=+5", 422),
        ("limit=%EF%BC%95", 422),
        ("limit=5_0", 422),
        ("skip=-1", 422),
        ("skip=1000000000000000000000000000000", 422),
        ("skip=9223372036854775806", 200),
        ("status=NOPE", 422),
        ("status=PENDING", 200),
        ("status=%ff", 400),
        ("status=%zz", 400),
        ("unknown=1", 200),
        ("&".join(f"a{i}=1" for i in range(40)), 400),
    ],
)
def test_queries(call, query, status):
    assert call("GET", f"{TASKS}?{query}").status == status


@pytest.mark.parametrize(
    "body, status",
    [
        ({}, 200),
        ({"owner": "x", "id": 5, "result": 1, "unknown": 2}, 200),
        ({"status": "PENDING"}, 200),
        ({"status": "SUCCESS"}, 409),
        ({"status": "NOPE"}, 422),
        ({"status": None}, 422),
        ({"name": None}, 422),
        ({"name": ""}, 422),
        ({"name": 5}, 422),
        ({"args": {}}, 422),
    ],
)
def test_put_that_changes_nothing(call, body, status):
    row = call("POST", TASKS, GOOD).json()
    answer = call("PUT", f"{TASKS}/{row['task_id']}", body)
    assert answer.status == status
    assert call("GET", f"{TASKS}/{row['task_id']}").json() == row


def test_request_ids(call):
    mine = {"X-Request-ID": "abcd-1234-EFGH"}
    answer = call("GET", "/healthz", headers=mine)
    assert answer.headers["x-request-id"] == "abcd-1234-EFGH"
    for bad in ("short", "a" * 65, "with blank 12", "semi;colon-123"):
        answer = call("GET", "/healthz", headers={"X-Request-ID": bad})
        assert uuid.UUID(answer.headers["x-request-id"])


def test_every_answer_has_the_safe_headers(call):
    for path in ("/healthz", "/nope", TASKS):
        headers = call("GET", path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["date"].endswith(" GMT")


def test_metrics_do_not_grow_with_what_clients_send(call):
    def series():
        lines = call("GET", "/metrics").body.decode().splitlines()
        return {x.rpartition(" ")[0] for x in lines if x[:1] not in ("#", "")}

    for path in (TASKS, "/nope", f"{TASKS}/{ID}", "/metrics"):
        call("GET", path)
    before = series()
    for i in range(50):
        call("GET", f"/nope/{i}")
        call("GET", f"{TASKS}/{uuid.uuid4()}")
    assert series() == before
    assert 'lovage_api_requests_total{route="/api/v1/tasks/{task_id}"}' in before
