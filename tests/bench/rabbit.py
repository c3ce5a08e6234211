# SPDX-License-Identifier: Apache-2.0
"""The rows on RabbitMQ.

The queue is filled first, with persistent messages as Celery's producer sends
them.  A worker's rate is what it takes from the queue between two looks at its
depth, the first when a tenth is gone (it has started, and is in its stride), the
second near the end.  When it has stopped, nothing may have come back."""
import os
import subprocess
import sys
import time

import amqp

import measure
import servers

HERE = os.path.dirname(os.path.abspath(__file__))
AHEAD = 1000  # where a bare consumer is fastest; 64 to 20,000 differ by 10 %


def tool(name, *args):
    """Runs a C program of this folder: what it printed, and its CPU seconds."""
    path = servers.lovage_bin().parent / "tests/bench" / name
    before = os.times()
    out = subprocess.run([path, *[str(a) for a in args]], check=True,
                         stdout=subprocess.PIPE, text=True).stdout
    after = os.times()
    return out, sum(after[2:4]) - sum(before[2:4])


class Bench:
    """A RabbitMQ server and a look at one of its queues."""

    def __init__(self, rabbit):
        self.rabbit = rabbit
        self.link = amqp.Connection(f"127.0.0.1:{rabbit.port}",
                                    userid="guest", password="guest")
        self.link.connect()
        self.channel = self.link.channel()
        self.channel.queue_declare("celery", durable=True, auto_delete=False)
        self.send(1, "bench.template")

    def send(self, n, queue, confirm=False):
        """n calls of bench.noop by Celery's producer: seconds and CPU."""
        code = ("import sys, time, celery_app as c\n"
                "n, queue, confirm = sys.argv[1:]\n"
                "c.app.conf.broker_transport_options = "
                "{'confirm_publish': confirm == 'True'}\n"
                "with c.app.producer_or_acquire() as p:\n"
                "    p.connection.ensure_connection()\n"
                "    t0, c0 = time.perf_counter(), time.process_time()\n"
                "    for i in range(int(n)):\n"
                "        c.app.send_task('bench.noop', (1, 2), queue=queue,\n"
                "                        producer=p)\n"
                "    print(time.perf_counter() - t0,\n"
                "          time.process_time() - c0)\n")
        env = {**os.environ, "BENCH_BROKER": self.rabbit.url,
               "PYTHONPATH": HERE, "PYTHONDONTWRITEBYTECODE": "1"}
        out = subprocess.run(
            [servers.PYTHON, "-c", code, str(n), queue, str(confirm)],
            env=env, check=True, stdout=subprocess.PIPE, text=True).stdout
        return [float(x) for x in out.split()]

    def fill(self, n, task):
        self.channel.queue_purge("celery")
        tool("amqp_raw", self.rabbit.port, "fill", n, task)

    def depth(self):
        return self.channel.queue_declare("celery", passive=True).message_count

    def falls_to(self, n, seconds=300):
        """The depth when it is n or less."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            depth = self.depth()
            if depth <= n:
                return depth
            time.sleep(0.005)
        raise TimeoutError(f"the queue has {depth} messages after {seconds} s")

    def broker_cpu(self):
        return measure.cpu_seconds(self.rabbit.pid)

    def drain(self, make, n, task):
        """Rates of a worker that make() starts."""
        self.fill(n, task)
        with make() as worker:
            d0 = self.falls_to(n - n // 10)
            t0, c0, b0 = (time.monotonic(), measure.cpu_seconds(worker.pid),
                          self.broker_cpu())
            d1 = self.falls_to(n // 20)
            t1, c1, b1 = (time.monotonic(), measure.cpu_seconds(worker.pid),
                          self.broker_cpu())
            self.falls_to(0)
            time.sleep(1)  # what is in the worker's hands is not in depth
            mib = measure.pss_mib(worker.pid)
        left = self.depth()
        if left > 0:
            raise RuntimeError(f"{left} messages were not acknowledged")
        done = d0 - d1
        return {"per_s": done / (t1 - t0), "mib": mib,
                "cpu_per_1000": (c1 - c0) / done * 1000,
                "broker": (b1 - b0) / done * 1000}

    def ceiling(self, n):
        """A consumer that does nothing but acknowledge."""
        self.fill(n, "bench.noop")
        b0 = self.broker_cpu()
        out, _ = tool("amqp_raw", self.rabbit.port, "drain", n, AHEAD)
        return {"per_s": n / float(out),
                "broker": (self.broker_cpu() - b0) / n * 1000}

    def publish_ours(self, n):
        self.channel.queue_purge("celery")
        out, cpu = tool("amqp_publish", self.rabbit.url, n)
        if self.depth() != n:
            raise RuntimeError(f"{self.depth()} of {n} are in the queue")
        return {"per_s": n / float(out), "cpu": cpu / n * 1000}

    def publish_theirs(self, n):
        self.channel.queue_purge("celery")
        seconds, cpu = self.send(n, "celery", confirm=True)
        return {"per_s": n / seconds, "cpu": cpu / n * 1000}


def mid(rounds, key):
    return measure.median([r[key] for r in rounds])


def row_noop(table, bench, name, ours, theirs, late=False, rounds=3):
    many, few = 40000, 4000
    a, b, top = [], [], []
    for _ in range(rounds):
        a.append(bench.drain(lambda: ours(late), many, "tour.inline_noop"))
        b.append(bench.drain(lambda: theirs(late), few, "bench.noop"))
        top.append(bench.ceiling(many))
    table.add(f"{name}: tasks/s", mid(a, "per_s"), mid(b, "per_s"), "high")
    table.add(f"{name}: CPU s per 1,000", mid(a, "cpu_per_1000"),
              mid(b, "cpu_per_1000"), "low")
    table.add(f"{name}: RabbitMQ's CPU s per 1,000", mid(a, "broker"),
              mid(b, "broker"), "low")
    table.add(f"{name}: MiB, PSS of the tree", mid(a, "mib"), mid(b, "mib"),
              "low")
    # Beside the limit: with it, what is missing is the broker's to give.
    table.add(f"{name}: tasks/s (peer: it only acknowledges)",
              mid(a, "per_s"), mid(top, "per_s"), "high")


def row_publish(table, bench, rounds=3):
    a, b = [], []
    for _ in range(rounds):
        a.append(bench.publish_ours(30000))
        b.append(bench.publish_theirs(2000))
    name = "publish with confirms, RabbitMQ"
    table.add(f"{name}: messages/s", mid(a, "per_s"), mid(b, "per_s"), "high")
    table.add(f"{name}: CPU s per 1,000", mid(a, "cpu"), mid(b, "cpu"), "low")


if __name__ == "__main__":
    sys.exit("a module: see bench.py")
