#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Captures what real Celery (Debian's 5.2.6) writes, for the unit tests.

usage: tests/data/capture.py        rewrites tests/data/*.json and the seeds of
                                    tests/fuzz/corpus
Starts a private redis-server on a unix socket and, for results and replies, one
solo worker.  Envelopes are kept as the text that was in Redis.
"""
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time

import redis
from celery import Celery, chain, chord, group, signature
from celery.utils.saferepr import saferepr
from kombu import Exchange, Queue

HERE = os.path.dirname(os.path.abspath(__file__))
SOCKET = os.environ.get("CAPTURE_SOCKET", "")
QUEUES = [q + step for q in ("celery", "other") for step in ("", "\x06\x163", "\x06\x166", "\x06\x169")]

app = Celery("capture")
app.conf.update(
    broker_url="redis+socket://" + SOCKET,
    result_backend="redis+socket://" + SOCKET,
    task_queues=[Queue("celery", Exchange("celery"), routing_key="celery"),
                 Queue("other", Exchange("celery"), routing_key="other")],
)


@app.task(name="t.add")
def add(x, y=0):
    return x + y


@app.task(name="t.xsum")
def xsum(xs):
    return sum(xs)


@app.task(name="t.boom")
def boom(*args):
    raise ValueError("boom", *args)


@app.task(name="t.echo")
def echo(x=None, **kw):
    return x if x is not None else kw


@app.task(name="t.err")
def err(*a):
    return None


def drain(r):
    """All messages of all queues, oldest first."""
    out = []
    for q in QUEUES:
        while True:
            raw = r.rpop(q)
            if raw is None:
                break
            out.append((q, raw.decode()))
    return out


def save(name, value):
    with open(os.path.join(HERE, name), "w") as f:
        json.dump(value, f, indent=1, ensure_ascii=True)
        f.write("\n")
    print(name, len(value))


def messages(r):
    """One envelope each of every kind of task message."""
    cases = []

    def case(name, send, **conf):
        old = {k: getattr(app.conf, k) for k in conf}
        app.conf.update(conf)
        if "task_protocol" in conf:
            app.__dict__.pop("amqp", None)
        send()
        app.conf.update(old)
        if "task_protocol" in conf:
            app.__dict__.pop("amqp", None)
        for q, raw in drain(r):
            cases.append({"name": name, "queue": q, "envelope": raw})

    utc = datetime.timezone.utc
    when = datetime.datetime(2030, 1, 2, 3, 4, 5, 678901, utc)
    paris = datetime.timezone(datetime.timedelta(hours=1))
    case("plain", lambda: add.delay(2, 3))
    case("kwargs", lambda: add.apply_async((1,), {"y": 2}))
    case("no_args", lambda: echo.delay())
    case("countdown", lambda: add.apply_async((1, 1), countdown=10))
    case("eta", lambda: add.apply_async((1, 1), eta=when))
    case("eta_zone", lambda: add.apply_async((1, 1), eta=when.astimezone(paris)))
    case("eta_naive", lambda: add.apply_async((1, 1), eta=datetime.datetime(2030, 1, 2, 3, 4, 5)))
    case("eta_text", lambda: app.send_task("t.add", (1, 1), eta="2030-01-02T03:04:05Z"))
    case("expires", lambda: add.apply_async((1, 1), expires=60))
    case("expires_at", lambda: add.apply_async((1, 1), expires=when))
    case("priority", lambda: add.apply_async((1, 1), priority=5))
    case("priority_10", lambda: add.apply_async((1, 1), priority=10))
    case("queue", lambda: add.apply_async((1, 1), queue="other"))
    case("link", lambda: add.apply_async((1, 1), link=add.s(10)))
    case("links", lambda: add.apply_async((1, 1), link=[add.s(10), echo.si(1)]))
    case("link_error", lambda: add.apply_async((1, 1), link_error=err.s()))
    case("chain", lambda: chain(add.s(1, 2), add.s(3), add.s(4)).delay())
    case("group", lambda: group(add.s(1, 2), add.s(3, 4)).delay())
    case("chord", lambda: chord([add.s(1, 2), add.s(3, 4)])(xsum.s()))
    case("zlib", lambda: add.apply_async((1, 1), compression="zlib"))
    case("gzip", lambda: add.apply_async((1, 1), compression="gzip"))
    case("bzip2", lambda: add.apply_async((1, 1), compression="bzip2"))
    case("unicode", lambda: echo.delay("na\u00efve \u20ac \U0001f600 'quoted' \"double\" \\ back\nline"))
    case("nested", lambda: echo.delay({"a": [1, {"b": [2, {"c": [3, {"d": 4}]}]}]}))
    case("numbers", lambda: echo.delay([0, -1, 2**63 - 1, 2**64, 10**30, 1.5, 1e300, 1e-7, float("inf"), -float("inf")]))
    case("constants", lambda: echo.delay([None, True, False, "", [], {}]))
    case("headers", lambda: add.apply_async((1, 1), headers={"x-trace": "abc", "n": [1, 2]}))
    case("shadow", lambda: add.apply_async((1, 1), shadow="shown"))
    case("ignore_result", lambda: add.apply_async((1, 1), ignore_result=True))
    case("limits", lambda: add.apply_async((1, 1), time_limit=30, soft_time_limit=12.5))
    case("hard_limit", lambda: add.apply_async((1, 1), time_limit=30))
    case("retries", lambda: add.apply_async((1, 1), retries=2))
    case("own_id", lambda: add.apply_async((1, 1), task_id="my-id", root_id="root", parent_id="parent"))
    case("long_args", lambda: echo.delay("word " * 400, a="x" * 2000))
    case("dates", lambda: echo.delay([when, when.date(), when.time()]))
    case("v1", lambda: add.delay(2, 3), task_protocol=1)
    case("v1_chain", lambda: chain(add.s(1, 2), add.s(3)).delay(), task_protocol=1)
    case("v1_group", lambda: group(add.s(1, 2), add.s(3, 4)).delay(), task_protocol=1)
    case("v1_eta", lambda: add.apply_async((1, 1), eta=when, expires=when), task_protocol=1)
    case("v1_zlib", lambda: add.apply_async((1, 1), compression="zlib"), task_protocol=1)
    save("messages.json", cases)


def canvases(r):
    """Signatures, and what a client publishes when it applies them."""
    a = add.s
    table = {
        "task": a(1, 2),
        "task_options": a(1, 2).set(priority=3, time_limit=9, soft_time_limit=5, shadow="s", ignore_result=True, queue="other", headers={"k": "v"}),
        "link": _linked(a(1, 2), a(3), err.s()),
        "links": _linked(_linked(a(1, 2), a(3), err.s()), a(4), err.si(1)),
        "immutable": add.si(1, 2),
        "chain": chain(a(1, 2), a(3), a(4)),
        "chain_of_one": signature({"task": "celery.chain", "args": [], "kwargs": {"tasks": [dict(a(1, 2))]}, "options": {}, "subtask_type": "chain", "immutable": False}),
        "chain_with_id": chain(a(1, 2), a(3)).set(task_id="chain-id"),
        "chain_link_error": _linked(chain(a(1, 2), a(3)), None, err.s()),
        "chain_link": chain(a(1, 2), a(3)).set(link=[a(9)]),
        "chain_countdown": chain(a(1, 2), a(3)).set(queue="other"),
        "chain_nested": _raw_chain(a(1, 2), _raw_chain(a(3), a(4)), a(5)),
        "chain_group": chain(a(1, 2), group(a(3), a(4))),
        "chain_group_of_one": _raw_chain(a(1, 2), group(a(3)), a(5)),
        "chain_group_step": chain(a(1, 1), group(a(2), a(3)), xsum.s(), a(10)),
        "chain_group_step_raw": _raw_chain(a(1, 1), group(a(2), a(3)), xsum.s(), a(10)),
        "group_step": _raw_chain(group(a(2, 2), a(3, 3)), xsum.s()),
        "group_step_step": _raw_chain(group(a(2, 2), a(3, 3)), xsum.s(), a(10)),
        "group": group(a(1, 2), a(3, 4)),
        "group_with_id": group(a(1, 2), a(3, 4)).set(task_id="group-id"),
        "group_of_chains": group(chain(a(1, 2), a(3)), a(4, 5)),
        "group_nested": group(a(1, 2), group(a(3, 4), a(5, 6)), a(7, 8)),
        "group_priority": group(a(3, 4), a(1, 2).set(priority=3)),
        "chord": chord([a(1, 2), a(3, 4)], xsum.s()),
        "chord_chain_body": chord([a(1, 2), a(3, 4)], chain(xsum.s(), a(5))),
        "chord_chain_member": chord([chain(a(1, 2), a(3)), a(4, 5)], xsum.s()),
        "chord_body_link": chord([a(1, 2), a(3, 4)], _linked(xsum.s(), a(7), err.s())),
        "chord_body_with_id": chord([a(1, 2), a(3, 4)], xsum.s().set(task_id="body-id")),
        "chord_empty": chord([], xsum.s()),
        "chord_of_one": chord([a(1, 2)], xsum.s()),
        "chord_in_chain": _raw_chain(a(1, 2), chord([a(3), a(4)], xsum.s()), a(5)),
        "map": add.map([1, 2, 3]),
        "starmap": add.starmap([(1, 1), (2, 2)]),
        "chunks": add.chunks([(1, 1), (2, 2), (3, 3)], 2),
    }
    cases = []
    for name, sig in table.items():
        r.flushall()
        doc = json.loads(json.dumps(sig))
        result = signature(doc, app=app).apply_async()
        sent = [{"queue": q, "envelope": raw} for q, raw in drain(r)]
        sizes = {k.decode()[len("celery-taskset-meta-"):-2]: int(r.get(k)) for k in r.keys("celery-taskset-meta-*.s")}
        cases.append({"name": name, "signature": json.dumps(json.loads(json.dumps(table[name]))), "sent": sent,
                      "chord_sizes": sizes, "result_id": result.id if result is not None else None})
    r.flushall()
    save("canvas.json", cases)


def _linked(sig, link, errback):
    if link is not None:
        sig.link(link)
    if errback is not None:
        sig.link_error(errback)
    return sig


def _raw_chain(*steps):
    """A chain as it may come from elsewhere: without what `|` simplifies."""
    return {"task": "celery.chain", "args": [], "kwargs": {"tasks": list(steps)}, "options": {},
            "subtask_type": "chain", "immutable": False}


def reprs():
    """saferepr of JSON values, as arguments (tuples) and as results."""
    values = [
        None, True, False, 0, -5, 1.0, 1.5, 1e20, 1e16, 1e-5, float("inf"), float("-inf"), float("nan"), 2**70,
        "", "a", "it's", 'say "x"', "back\\slash", "new\nline", "tab\t", "\u00e9\u20ac\U0001f600", "\x00\x01\x7f",
        [], {}, [1], [1, 2], [[]], [[[]]], [[[[]]]], [[[[1]]]], [[[1, 2], 3], 4], {"a": 1}, {"a": {"b": {"c": {"d": 1}}}},
        {"a": {"b": {"c": {}}}}, {"it's": "x"}, {"a": [1, {"b": 2}]}, [{"a": 1}, {"b": [2]}], [None, True, False],
        {"k": None, "l": True}, "x" * 10, "x" * 1023, "x" * 1024, "x" * 1025, "x" * 3000, "word " * 300,
        ["x" * 1000, "y" * 1000], ["x" * 2000], {"key": "x" * 2000}, {"k" * 2000: 1}, [["x" * 1020], 2],
        list(range(500)), [[i] for i in range(300)], {str(i): i for i in range(200)}, [{"a": ["x" * 500]}, "y" * 600, 3],
        "\u20ac" * 1100, ["\u20ac " * 600], ["'" * 1030], 10**1100, [10**600, 10**600], ["a b" * 400, 1, 2],
        [1, [2, [3, ["x" * 2000]]]], [[["x" * 1020], 5], 6], {"a": {"b": "x" * 2000}, "c": 1}, ["x" * 1021, [1, 2]],
        ["x" * 1018, 1], ["x" * 1019], ["x" * 1020], ["x" * 1022, {"a": 1}],
    ]
    cases = []
    for v in values:
        case = {"json": json.dumps(v), "repr": {}}
        if isinstance(v, list):
            case["tuple"] = {}
        for limit in (1024, 50, 10, 3):
            case["repr"][str(limit)] = saferepr(v, limit)
            if isinstance(v, list):
                case["tuple"][str(limit)] = saferepr(tuple(v), limit)
        cases.append(case)
    save("saferepr.json", cases)


def exceptions(r):
    """repr(exc) and the stored documents."""
    excs = [ValueError(), ValueError("boom"), ValueError("boom", 42), KeyError("it's"), ValueError('say "x" and it\'s'),
            RuntimeError("new\nline\ttab\x00\x7f\xa0\xad"), ValueError("\u00e9\u20ac\U0001f600\u200b\u2028"), TypeError("back\\slash"),
            ValueError(None, True, False), ValueError(1.5, 1e20, float("inf"), float("nan"), -7),
            ValueError([1, "a", {"b": [None]}]), ValueError({"a": 1, "it's": 'q"'}), OSError(2, "No such file")]
    cases = []
    for e in excs:
        stored = app.backend.prepare_exception(e, "json")
        cases.append({"json": app.backend.encode(stored), "repr": repr(e)})
    save("exceptions.json", cases)


class Request:
    def __init__(self, **kw):
        self.__dict__.update(kw)


def states(r):
    """Meta documents as Python's Redis backend writes them."""
    from celery.app.task import Context
    from celery.result import AsyncResult, GroupResult
    cases = []
    app.conf.result_extended = False

    def case(name, result, state, request=None, traceback=None, **conf):
        app.conf.update(conf)
        app.backend.store_result("id-" + name, result, state, traceback=traceback,
                                 request=request or Context(id="x", children=[]))
        app.conf.update(result_extended=False)
        cases.append({"name": name, "doc": r.get("celery-task-meta-id-" + name).decode()})

    ctx = Context(id="x", group="g", parent_id="p", task="t.add", args=[1, 2], kwargs={"y": 3}, hostname="w@h", retries=1,
                  delivery_info={"routing_key": "celery"}, children=[AsyncResult("c1", app=app),
                  GroupResult("g1", [AsyncResult("m1", app=app), AsyncResult("m2", app=app)], app=app)])
    case("success", 5, "SUCCESS")
    case("value", {"a": [1, None, "\u00e9"], "b": 1e20}, "SUCCESS")
    case("failure", ValueError("boom", 42), "FAILURE", traceback="Traceback ...\nValueError")
    case("started", {"pid": 123, "hostname": "w@lab"}, "STARTED")
    case("retry", ValueError("again"), "RETRY", traceback="t")
    case("custom", {"done": 3}, "PROGRESS")
    case("request", 5, "SUCCESS", request=ctx)
    case("extended", 5, "SUCCESS", request=ctx, result_extended=True)
    save("states.json", cases)


def controls(r):
    """Remote control requests, as published to the fanout channel."""
    p = r.pubsub()
    p.psubscribe("/*.celery.pidbox")
    p.get_message(timeout=1)
    cases = []

    def case(name, send):
        send()
        m = p.get_message(timeout=2)
        while m is not None and m["type"] != "pmessage":
            m = p.get_message(timeout=2)
        cases.append({"name": name, "envelope": m["data"].decode()})

    c = app.control
    case("revoke", lambda: c.revoke("an-id", terminate=True))
    case("broadcast", lambda: c.broadcast("shutdown"))
    case("ping", lambda: c.ping(timeout=0.1))
    case("destination", lambda: c.broadcast("ping", destination=["w1@lab", "w2@lab"]))
    case("glob", lambda: c.broadcast("ping", pattern="w[12]@*", matcher="glob"))
    case("pcre", lambda: c.broadcast("ping", pattern="w\\d+@", matcher="pcre"))
    case("rate_limit", lambda: c.rate_limit("t.add", "10/s", reply=True, timeout=0.1))
    save("control_requests.json", cases)


def replies(r):
    """What a real worker answers: the queue of the reply is our own."""
    env = dict(os.environ, PYTHONPATH=HERE)
    worker = subprocess.Popen([sys.executable, "-m", "celery", "-A", "capture", "worker", "-P", "solo", "-n", "cap@lab",
                               "-l", "warning", "--without-gossip", "--without-mingle", "-Q", "none"], env=env, cwd=HERE)
    cases = []
    try:
        r.sadd("_kombu.binding.reply.celery.pidbox", "rk\x06\x16\x06\x16capture.reply")
        request = json.loads(open(os.path.join(HERE, "control_requests.json")).read())[2]["envelope"]
        import base64
        env_doc = json.loads(request)
        for method in ("ping", "active", "stats", "nosuchcmd"):
            body = {"method": method, "arguments": {}, "destination": None, "pattern": None, "matcher": None,
                    "ticket": "the-ticket", "reply_to": {"exchange": "reply.celery.pidbox", "routing_key": "rk"}}
            env_doc["body"] = base64.b64encode(json.dumps(body).encode()).decode()
            raw = None
            for _ in range(40):
                r.publish("/0.celery.pidbox", json.dumps(env_doc))
                got = r.brpop("capture.reply", timeout=1)
                if got:
                    raw = got[1].decode()
                    break
            if method != "stats":  # it names this machine
                cases.append({"name": method, "envelope": raw})
            time.sleep(0.2)
            r.delete("capture.reply")
    finally:
        worker.terminate()
        worker.wait()
    save("control_replies.json", cases)


def corpora():
    """Seeds for the fuzz targets, a few of each kind."""
    import base64

    def load(name):
        with open(os.path.join(HERE, name)) as f:
            return json.load(f)

    def seed(target, name, data):
        folder = os.path.join(HERE, "..", "fuzz", "corpus", target)
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, name), "wb") as f:
            f.write(data)

    for c in load("messages.json"):
        if c["name"] in ("plain", "chord", "v1", "zlib", "headers"):
            seed("fuzz_envelope", c["name"], c["envelope"].encode())
        e = json.loads(c["envelope"])
        if c["name"] not in ("long_args", "unicode", "numbers") and len(e["body"]) < 1500:
            body = base64.b64decode(e["body"])
            seed("fuzz_task", c["name"], json.dumps(e["headers"]).encode() + b"\n" + body)
    seed("fuzz_envelope", "unacked", b'[{"body": "", "properties": {}}, "ex", "key"]')
    seed("fuzz_envelope", "bare", b'{"body": "[]", "headers": null}')
    seed("fuzz_task", "typed", b'{"task": "t", "id": 1, "eta": ""}\n[[{"__type__": "uuid", "__value__": {"hex": "0"}}], {}, null]')
    for c in load("canvas.json"):
        seed("fuzz_signature", c["name"], c["signature"].encode())
    for c in load("states.json"):
        seed("fuzz_state", c["name"], c["doc"].encode())
    for i, c in enumerate(load("exceptions.json")):
        seed("fuzz_state", "exception%d" % i, ('{"status": "FAILURE", "result": %s}' % c["json"]).encode())
    for c in load("control_requests.json"):
        seed("fuzz_control", c["name"], base64.b64decode(json.loads(c["envelope"])["body"]))
    for i, t in enumerate(("2030-01-02T03:04:05.678901+00:00", "2020-W01-1", "20200101T000000,5Z", "2020-366", "2020-01-01 24:00-2359")):
        seed("fuzz_iso8601", "time%d" % i, t.encode())
    import bz2
    import lzma
    import zlib
    for name, data in (("zlib", b"\0" + zlib.compress(b"hello " * 50)), ("bzip2", b"\1" + bz2.compress(b"hello " * 50)),
                       ("zstd", b"\2" + bytes.fromhex("28b52ffd200525000068656c6c6f")),
                       ("lzma", b"\3" + lzma.compress(b"hello " * 50)),
                       ("lzma_alone", b"\3" + lzma.compress(b"hello " * 50, lzma.FORMAT_ALONE))):
        seed("fuzz_compress", name, data)


def main():
    with tempfile.TemporaryDirectory() as d:
        sock = os.path.join(d, "redis.sock")
        server = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", sock, "--save", "", "--dir", d],
                                  stdout=subprocess.DEVNULL)
        try:
            os.environ["CAPTURE_SOCKET"] = sock
            app.conf.update(broker_url="redis+socket://" + sock, result_backend="redis+socket://" + sock)
            r = redis.Redis(unix_socket_path=sock)
            for _ in range(100):
                try:
                    r.ping()
                    break
                except redis.ConnectionError:
                    time.sleep(0.05)
            messages(r)
            canvases(r)
            reprs()
            exceptions(r)
            states(r)
            controls(r)
            replies(r)
            corpora()
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
