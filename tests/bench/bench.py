# SPDX-License-Identifier: Apache-2.0
"""make bench: Lovage beside real Celery, in one run, as ratios.

Every comparison is made in turn (ours, theirs, ours, theirs ...) on the same
private servers; each figure is the median of its rounds.  CPU is that of the
worker's whole process tree, by the kernel's accounting.  Prints one table and
writes the same figures to build/bench.json.

    make bench                 all rows
    make bench ROWS=noop,llm   those whose name contains a word
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import urllib.request
import uuid

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]

import measure  # noqa: E402
import rabbit  # noqa: E402
import servers  # noqa: E402

ENVELOPE = None  # what Celery itself sends, as a template
ROUNDS = 3


def template(redis):
    """One message as Celery publishes it, to be copied with other ids."""
    global ENVELOPE
    if ENVELOPE is None:
        env = {**os.environ, "BENCH_BROKER": redis.url,
               "PYTHONPATH": str(HERE)}
        subprocess.run(
            [servers.PYTHON, "-c",
             "import celery_app as c; c.app.send_task('bench.noop', (1, 2))"],
            env=env, check=True)
        ENVELOPE = json.loads(redis.client().lpop("celery"))
    return ENVELOPE


def preload(redis, key, n, task):
    """n messages on a list, none of which is consumed yet."""
    base = template(redis)
    old_id = base["headers"]["id"]
    text = json.dumps(base).replace("bench.noop", task)
    tag = base["properties"]["delivery_tag"]
    client = redis.client()
    for start in range(0, n, 1000):
        batch = [text.replace(old_id, str(uuid.uuid4()))
                 .replace(tag, str(uuid.uuid4()))
                 for _ in range(min(1000, n - start))]
        client.lpush(key, *batch)


class CeleryPeer(servers.Process):
    """`celery worker` running bench.noop."""

    name = "celery"
    stop_timeout = 40.0

    def __init__(self, broker, backend="", acks_late=False, concurrency=2):
        super().__init__()
        self.concurrency = concurrency
        self.env = {"BENCH_BROKER": broker, "BENCH_BACKEND": backend,
                    "BENCH_ACKS_LATE": "1" if acks_late else "",
                    "PYTHONPATH": str(HERE), "C_FORCE_ROOT": "1",
                    "PYTHONDONTWRITEBYTECODE": "1"}

    def command(self):
        return [servers.PYTHON, "-m", "celery", "-A", "celery_app", "worker",
                "-c", str(self.concurrency), "-l", "WARNING",
                "--without-gossip", "--without-mingle"]

    def ready(self):
        if self.env["BENCH_BROKER"].startswith("amqp"):
            return True  # rabbit.py sees it by what it does
        return "ready" in self.fresh() or self.answers()

    def answers(self):
        # -l WARNING hides the ready line: the queue's binding tells.
        import redis
        url = self.env["BENCH_BROKER"]
        client = redis.Redis.from_url(url)
        return client.exists("_kombu.binding.celery") and self.children() \
            and len(self.children()) >= self.concurrency \
            and any("brpop" == c.get("cmd") for c in client.client_list())


def our_worker(broker, backend="", database=None, acks_late=False,
               concurrency=2, env=None):
    settings = {"LOVAGE_LOG_LEVEL": "info",
                "LOVAGE_TASK_ACKS_LATE": "true" if acks_late else "false",
                "LOVAGE_TASK_IGNORE_RESULT": "false" if backend else "true",
                **(env or {})}
    return servers.Worker(broker.url, "-I", servers.plugin("examples/tour"),
                          backend=backend, database=database, include=False,
                          concurrency=concurrency, env=settings)


def drain(redis, worker, n, task, results):
    """Lets the worker run n waiting tasks; seconds and CPU seconds of it."""
    client, store = redis.client(), redis.client(1)
    client.delete("celery")
    store.flushdb()
    preload(redis, "bench.waiting", n, task)
    time.sleep(0.5)
    cpu0, t0 = measure.cpu_seconds(worker.pid), time.monotonic()
    client.rename("bench.waiting", "celery")

    def done():
        if results and store.dbsize() < n:
            return False
        return client.llen("celery") == 0 and client.hlen("unacked") == 0

    t1 = measure.wait_until(done, 300)
    time.sleep(0.3)  # what is still being written counts as CPU
    return t1 - t0, measure.cpu_seconds(worker.pid) - cpu0


def noop_round(redis, make, n, task, results):
    client = redis.client()
    client.flushall()
    with make() as worker:
        drain(redis, worker, max(200, n // 20), task, results)  # warm up
        seconds, cpu = drain(redis, worker, n, task, results)
        rss = measure.pss_mib(worker.pid)
    return {"per_s": n / seconds, "cpu_per_1000": cpu / n * 1000, "mib": rss}


def compare(table, name, ours, theirs, rounds=ROUNDS):
    """Rounds in turn; one row a figure."""
    a, b = [], []
    for _ in range(rounds):
        a.append(ours())
        b.append(theirs())
    mid = lambda rows, k: measure.median([r[k] for r in rows])  # noqa: E731
    for key, unit, better in (("per_s", "tasks/s", "high"),
                              ("cpu_per_1000", "CPU s per 1,000", "low"),
                              ("mib", "MiB, PSS of the tree", "low")):
        table.add(f"{name}: {unit}", mid(a, key), mid(b, key), better)


class Table:
    """Rows: our figure, the peer's, the ratio (how many times better)."""

    def __init__(self, targets):
        self.rows = []
        self.targets = targets

    def add(self, name, ours, peer, better):
        ratio = None
        if peer is not None and ours and peer:
            ratio = ours / peer if better == "high" else peer / ours
        target = self.targets.get(name)
        self.rows.append({"row": name, "ours": ours, "peer": peer,
                          "times_better": ratio, "target": target})
        print(self.line(self.rows[-1]), flush=True)

    @staticmethod
    def line(r):
        num = lambda v: "-" if v is None else f"{v:,.3f}" if v < 10 \
            else f"{v:,.0f}"  # noqa: E731
        times = "-" if r["times_better"] is None \
            else f"{r['times_better']:,.1f} x"
        return (f"{r['row']:<82}{num(r['ours']):>12}{num(r['peer']):>12}"
                f"{times:>10}  {r['target'] or ''}")

    def header(self):
        print(f"{'':<82}{'lovage':>12}{'peer':>12}{'better':>10}  target")


# What performance.md section 5 asks for.
TARGETS = {
    "no-op, Redis results: tasks/s": ">= 25 x",
    "no-op, Redis results: CPU s per 1,000": ">= 40 x",
    "no-op, with PostgreSQL records: tasks/s": ">= 10 x",
    "submit with commit, 32 connections: requests/s": ">= 10 x",
    "submit with commit, 32 connections: CPU s per 1,000": ">= 15 x",
    "submit with commit, 32 connections: p99 ms": "< 20 ms",
    "no-op, RabbitMQ, results ignored: tasks/s": ">= 25 x",
    "no-op, RabbitMQ, results ignored: CPU s per 1,000": ">= 30 x",
    "publish with confirms, RabbitMQ: messages/s": ">= 10,000",
    "LLM (llm_server.c), 10,000 calls of 200 ms, 1,000 at once: s (peer: the ideal)":
        "<= 1.1 x ideal",
    "idle node: MiB resident": "< 12",
    "idle node: % of a core": "< 0.2",
    "publish to result, idle: p50 ms": "< 1 ms",
    "publish to result, idle: p99 ms": "< 4 ms",
}


def row_noop(table, kind, redis, n_ours, n_theirs, task, **kw):
    results = kw.get("results", True)
    backend = f"{redis.base}/1" if results else ""
    late = kw.get("acks_late", False)
    compare(
        table, kind,
        lambda: noop_round(redis, lambda: our_worker(
            redis, backend, kw.get("database"), late), n_ours, task, results),
        lambda: noop_round(redis, lambda: CeleryPeer(
            redis.url, backend, late), n_theirs, "bench.noop", results))


def rows_amqp(table):
    with servers.Rabbit() as server:
        bench = rabbit.Bench(server)
        ours = lambda late: our_worker(server, acks_late=late)  # noqa: E731
        peer = lambda late: CeleryPeer(  # noqa: E731
            server.url, acks_late=late)
        name = "no-op, RabbitMQ, results ignored"
        rabbit.row_noop(table, bench, name, ours, peer)
        rabbit.row_noop(table, bench, name + ", acks_late", ours, peer, True)
        rabbit.row_publish(table, bench)


def row_latency(table, redis):
    """One message at a time, from LPUSH to the published result."""
    def round_(make, task):
        redis.client().flushall()
        with make():
            return latencies(redis, task, 300)
    backend = f"{redis.base}/1"
    a, b = [], []
    for _ in range(ROUNDS):
        a.append(round_(lambda: our_worker(redis, backend),
                        "tour.inline_noop"))
        b.append(round_(lambda: CeleryPeer(redis.url, backend), "bench.noop"))
    for p in (50, 99):
        mid = lambda rounds: measure.median(  # noqa: E731
            [measure.percentile(r, p) for r in rounds]) * 1000  # noqa: B023
        table.add(f"publish to result, idle: p{p} ms", mid(a), mid(b), "low")


def latencies(redis, task, n):
    client, store = redis.client(), redis.client(1)
    sub = store.pubsub()
    base = json.dumps(template(redis)).replace("bench.noop", task)
    old, tag = ENVELOPE["headers"]["id"], \
        ENVELOPE["properties"]["delivery_tag"]
    out = []
    for i in range(n):
        new = str(uuid.uuid4())
        text = base.replace(old, new).replace(tag, str(uuid.uuid4()))
        channel = f"celery-task-meta-{new}"
        sub.subscribe(channel)
        sub.get_message(timeout=5)
        time.sleep(0.01)
        t0 = time.perf_counter()
        client.lpush("celery", text)
        if sub.get_message(timeout=10) is None:
            raise TimeoutError("no result within 10 s")
        if i >= 10:
            out.append(time.perf_counter() - t0)
        sub.unsubscribe(channel)
        sub.get_message(timeout=5)
    return out


WRK = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"name": "bench", "task": "bench.noop", "args": [1, 2]}'
done = function(s, l, r)
  io.write(string.format("RESULT %d %d %d %f %f\\n", s.requests, s.duration,
    s.errors.status + s.errors.connect + s.errors.read + s.errors.timeout,
    l:percentile(50) / 1000, l:percentile(99) / 1000))
end
"""


def wrk(url, script, seconds=5, connections=32):
    out = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script),
         url], capture_output=True, text=True, check=True).stdout
    n, us, errors, p50, p99 = re.search(
        r"RESULT (\d+) (\d+) (\d+) ([\d.]+) ([\d.]+)", out).groups()
    if int(errors) > 0:
        raise RuntimeError(f"{errors} failed requests:\n{out}")
    return int(n), int(us) / 1e6, float(p50), float(p99)


class FastApi(servers.Process):
    name = "uvicorn"

    def __init__(self, redis, database):
        super().__init__()
        self.port = servers.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = {"BENCH_BROKER": redis.url, "BENCH_DATABASE": database,
                    "PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1"}

    def command(self):
        return [servers.PYTHON, "-m", "uvicorn", "fastapi_app:app",
                "--port", str(self.port), "--log-level", "warning",
                "--no-access-log"]

    def ready(self):
        return servers.port_open(self.port)


def submit_round(make, script):
    with make() as server:
        url = f"{server.url}/api/v1/tasks"
        wrk(url, script, 2)
        cpu0 = measure.cpu_seconds(server.pid)
        n, seconds, p50, p99 = wrk(url, script)
        cpu = measure.cpu_seconds(server.pid) - cpu0
    return {"per_s": n / seconds, "cpu": cpu / n * 1000, "p50": p50,
            "p99": p99}


def row_submit(table, redis, pg, scratch):
    script = scratch / "post.lua"
    script.write_text(WRK)
    ours, theirs = [], []
    for _ in range(ROUNDS):
        redis.client().flushall()
        db = servers.migrate(pg.database())
        ours.append(submit_round(lambda: servers.Api(
            redis.url, db, env={"LOVAGE_LOG_LEVEL": "warning"}), script))
        redis.client().flushall()
        theirs.append(submit_round(lambda: FastApi(redis, pg.database()),
                                   script))
    name = "submit with commit, 32 connections"
    for key, unit, better in (("per_s", "requests/s", "high"),
                              ("cpu", "CPU s per 1,000", "low"),
                              ("p50", "p50 ms", "low"),
                              ("p99", "p99 ms", "low")):
        table.add(f"{name}: {unit}",
                  measure.median([r[key] for r in ours]),
                  measure.median([r[key] for r in theirs]), better)


def row_llm(table, redis):
    """A queue of queries, each 200 ms at the provider, 1,000 in flight.  The
    provider is llm_server.c."""
    n, width = 10000, 1000
    with LlmServer() as llm:
        env = {"LOVAGE_COMPATIBLE_BASE_URL": f"{llm.url}/v1",
               "LOVAGE_COMPATIBLE_API_KEY": "k",
               "LOVAGE_LLM_CACHE_TTL": "0",
               "LOVAGE_WORKER_ASYNC_CONCURRENCY": str(width)}
        redis.client().flushall()
        with our_worker(redis, f"{redis.base}/1", env=env) as worker:
            llm_drain(redis, worker, width, llm)  # connections are opened here
            runs = [llm_drain(redis, worker, n, llm) for _ in range(ROUNDS)]
            mib = measure.rss_mib(worker.nodes()[0])
        stats = llm.stats()
    if stats["max_open"] != width:
        raise RuntimeError(f"not {width} calls at once: {stats}")
    name = "LLM (llm_server.c), 10,000 calls of 200 ms, 1,000 at once"
    table.add(f"{name}: s (peer: the ideal)",
              measure.median([r[0] for r in runs]), n / width * 0.2, "low")
    table.add(f"{name}: CPU s per 1,000",
              measure.median([r[1] for r in runs]) / n * 1000, None, "low")
    table.add(f"{name}: MiB resident", mib, None, "low")


def llm_drain(redis, worker, n, llm):
    client, store = redis.client(), redis.client(1)
    store.flushdb()
    for i in range(n):
        publish(redis, "bench.waiting", "llm.query",
                {"model": llm.model, "prompt": f"question {i}",
                 "cache": False})
    cpu0, t0 = measure.cpu_seconds(worker.pid), time.monotonic()
    client.rename("bench.waiting", "celery")
    t1 = measure.wait_until(lambda: store.dbsize() >= n, 60)
    bad = [v for v in store.mget(store.keys("celery-task-meta-*"))
           if json.loads(v)["status"] != "SUCCESS"]
    if bad:
        raise RuntimeError(f"{len(bad)} queries failed: {bad[0]}")
    return t1 - t0, measure.cpu_seconds(worker.pid) - cpu0


def publish(redis, key, task, kwargs):
    import base64
    env = json.loads(json.dumps(template(redis)))
    env["headers"].update(task=task, id=str(uuid.uuid4()))
    env["properties"]["delivery_tag"] = str(uuid.uuid4())
    body = json.dumps([[], kwargs, {"callbacks": None, "errbacks": None,
                                    "chain": None, "chord": None}])
    env["body"] = base64.b64encode(body.encode()).decode()
    redis.client().lpush(key, json.dumps(env))


class LlmServer(servers.Process):
    """The provider's stand-in: answers after 200 ms (llm_server.c)."""

    name = "llm-server"
    model = "compatible/bench"

    def prepare(self):
        self.port = servers.free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def command(self):
        return [servers.lovage_bin().parent / "tests/bench/llm_server", self.port, 200]

    def ready(self):
        return servers.port_open(self.port)

    def stats(self):
        with urllib.request.urlopen(self.url) as answer:
            return json.load(answer)


def row_idle(table, redis):
    redis.client().flushall()
    with our_worker(redis, f"{redis.base}/1") as worker:
        time.sleep(3)
        node = worker.nodes()[0]
        mib = measure.rss_mib(node)
        c0, t0 = measure.schedstat_seconds(node), time.monotonic()
        time.sleep(10)
        share = (measure.schedstat_seconds(node) - c0) / (
            time.monotonic() - t0) * 100
    with CeleryPeer(redis.url, f"{redis.base}/1") as peer:
        time.sleep(3)
        peer_mib = measure.rss_mib(peer.pid)
        c0, t0 = measure.schedstat_seconds(peer.pid), time.monotonic()
        time.sleep(10)
        peer_share = (measure.schedstat_seconds(peer.pid) - c0) / (
            time.monotonic() - t0) * 100
    table.add("idle node: MiB resident", mib, peer_mib, "low")
    table.add("idle node: % of a core", share, peer_share, "low")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--rows", default="")
    p.add_argument("--out", default=str(servers.ROOT / "build/bench.json"))
    args = p.parse_args()
    words = [w for w in args.rows.split(",") if w]
    wanted = lambda name: not words or any(w in name for w in words)  # noqa
    table = Table(TARGETS)
    table.header()
    with servers.Redis() as redis, servers.Postgres(durable=True) as pg:
        run(table, wanted, redis, pg)
    out = pathlib.Path(args.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(table.rows, indent=1) + "\n")


def run(table, wanted, redis, pg):
    many, few = 20000, 2000
    template(redis)  # before any worker could take it
    inline, child = "tour.inline_noop", "tour.noop"
    if wanted("noop"):
        row_noop(table, "no-op, Redis results", redis, many, few, inline)
        row_noop(table, "no-op in an executor, Redis results", redis, many,
                 few, child)
        row_noop(table, "no-op, Redis results, acks_late", redis, many, few,
                 inline, acks_late=True)
        row_noop(table, "no-op, results ignored", redis, many, few, inline,
                 results=False)
        row_noop(table, "no-op, results ignored, acks_late", redis, many, few,
                 inline, results=False, acks_late=True)
    if wanted("records"):
        row_noop(table, "no-op, with PostgreSQL records", redis, many, few,
                 inline, database=servers.migrate(pg.database()))
    if wanted("amqp"):
        rows_amqp(table)
    if wanted("latency"):
        row_latency(table, redis)
    if wanted("submit"):
        row_submit(table, redis, pg, redis.dir)
    if wanted("llm"):
        row_llm(table, redis)
    if wanted("idle"):
        row_idle(table, redis)


if __name__ == "__main__":
    main()
