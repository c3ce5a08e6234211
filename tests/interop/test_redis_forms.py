# SPDX-License-Identifier: Apache-2.0
# timeout: 240
"""Each way to reach a Redis and each option of its layout, with an unmodified
Celery on the other side: a task from it is run by Lovage, its result is read,
a node answers `inspect ping`."""

import json
import subprocess
import time

import pytest
from celery import Celery

import servers
from servers import CERTIFICATES, CeleryWorker, Redis, Worker, wait_for

PASSWORD = "p@ss:w/rd%"
QUOTED = "p%40ss%3Aw%2Frd%25"


@pytest.fixture(scope="module")
def acl():
    """A user with a difficult name and password, and one without."""
    user = ["on", f">{PASSWORD}", "~*", "&*", "+@all"]
    with Redis() as r:
        r.client().execute_command("ACL", "SETUSER", "us%r", *user)
        user[1] = "nopass"
        r.client().execute_command("ACL", "SETUSER", "nopass", *user)
        yield r


def celery_of(url, backend=None, **conf):
    a = Celery("forms", broker=url, backend=backend or url)
    a.conf.task_default_queue = "c"
    a.conf.update(conf)
    return a


def serves(app, worker):
    try:
        result = app.send_task("interop.add", args=(2, 3))
        assert result.get(timeout=20) == 5
        nodes = app.control.inspect(
            destination=[worker.hostname], timeout=10, limit=1
        ).ping()
        assert nodes == {worker.hostname: {"ok": "pong"}}
    finally:
        app.close()


FORMS = {
    "database": ("redis://127.0.0.1:{port}/7", None),
    "no database": ("redis://127.0.0.1:{port}", None),
    "user": ("redis://us%25r:" + QUOTED + "@127.0.0.1:{port}/1", None),
    "user without password": ("redis://nopass@127.0.0.1:{port}/2", None),
    "socket": (
        "redis+socket://{socket}?virtual_host=3",
        "redis+socket://{socket}?virtual_host=4",
    ),
    "socket and user": (
        "redis+socket://us%25r:" + QUOTED + "@{socket}?virtual_host=5",
        "redis+socket://us%25r:" + QUOTED + "@{socket}?virtual_host=6",
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_urls_are_understood_as_celery_does(acl, form):
    broker, backend = [
        f and f.format(port=acl.port, socket=acl.socket) for f in FORMS[form]
    ]
    with Worker(broker, backend=backend, queues="c", concurrency=1) as w:
        serves(celery_of(broker, backend), w)


def test_the_default_user_has_a_password():
    with Redis(password="s3cret") as r:
        with Worker(r.url, queues="c", concurrency=1) as w:
            serves(celery_of(r.url), w)


OPTIONS = {
    "prefix": {"global_keyprefix": "PFX_"},
    "priorities": {
        "priority_steps": list(range(10)),
        "sep": ":",
        "queue_order_strategy": "priority",
    },
    "fanout": {"fanout_prefix": "/all.", "fanout_patterns": True},
    "no fanout prefix": {"fanout_prefix": False, "fanout_patterns": False},
    "names": {
        "unacked_key": "u",
        "unacked_index_key": "i",
        "unacked_mutex_key": "m",
    },
    "connection": {
        "socket_timeout": 5,
        "socket_connect_timeout": 2,
        "socket_keepalive": True,
        "health_check_interval": 3,
        "retry_on_timeout": True,
        "max_connections": 20,
    },
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_of_the_layout_are_shared(acl, name):
    url = f"redis://127.0.0.1:{acl.port}/9"
    env = {"LOVAGE_BROKER_TRANSPORT_OPTIONS": json.dumps(OPTIONS[name])}
    acl.client(9).flushdb()
    app = celery_of(url, broker_transport_options=OPTIONS[name])
    silent = celery_of(
        url, "disabled://", broker_transport_options=OPTIONS[name]
    )
    for priority in (0, 4, 9):
        silent.send_task("interop.add", args=(1, 1), priority=priority)
    silent.close()
    with Worker(url, queues="c", concurrency=1, env=env) as w:
        serves(app, w)
        wait_for(
            lambda: not [
                k
                for k in acl.client(9).keys("*")
                if acl.client(9).type(k) in (b"list", b"hash")
            ],
            10,
            "all are taken and acknowledged",
        )


def test_work_goes_on_after_flushall(acl):
    url = f"redis://127.0.0.1:{acl.port}/10"
    app = celery_of(url)
    with Worker(url, queues="c", concurrency=1) as w:
        for _ in range(3):
            acl.client().flushall()
            wait_for(
                lambda: acl.client(10).exists("_kombu.binding.c"), 1, "bound"
            )
            result = app.send_task("interop.add", args=(2, 3))
            assert result.get(timeout=5) == 5
            del result  # unsubscribes while Redis is there
        serves(app, w)
        assert "connection lost" not in w.text()


class TlsRedis(Redis):
    """With a certificate for 127.0.0.1; clients need one, too."""

    def prepare(self):
        super().prepare()
        self.tls = self.dir / "tls"
        self.tls.mkdir()
        subprocess.run(
            ["sh", "-ec", CERTIFICATES],
            cwd=self.tls,
            check=True,
            capture_output=True,
        )
        self.tls_port = servers.free_port()
        self.flags = [
            *("--tls-port", self.tls_port),
            *("--tls-cert-file", self.tls / "server.pem"),
            *("--tls-key-file", self.tls / "server.key"),
            *("--tls-ca-cert-file", self.tls / "ca.pem"),
            *("--tls-auth-clients", "yes"),
        ]

    def ssl(self):
        return {
            "ssl_cert_reqs": "required",
            "ssl_ca_certs": str(self.tls / "ca.pem"),
            "ssl_certfile": str(self.tls / "client.pem"),
            "ssl_keyfile": str(self.tls / "client.key"),
        }


@pytest.fixture(scope="module")
def tls():
    with TlsRedis() as r:
        yield r


def test_rediss_verifies_an_address_and_shows_its_own_certificate(tls):
    query = "&".join(f"{k}={v}" for k, v in tls.ssl().items())
    url = f"rediss://127.0.0.1:{tls.tls_port}/0?{query}"
    with Worker(url, queues="c", concurrency=1) as w:
        serves(celery_of(url), w)


def test_use_ssl_is_celery_s_setting(tls):
    url = f"redis://127.0.0.1:{tls.tls_port}/1"
    env = {
        "LOVAGE_BROKER_USE_SSL": json.dumps(tls.ssl()),
        "LOVAGE_REDIS_BACKEND_USE_SSL": json.dumps(tls.ssl()),
    }
    app = celery_of(
        url,
        f"rediss://127.0.0.1:{tls.tls_port}/1",
        broker_use_ssl=tls.ssl(),
        redis_backend_use_ssl=tls.ssl(),
    )
    with Worker(url, queues="c", concurrency=1, env=env) as w:
        serves(app, w)


def test_a_name_that_is_not_in_the_certificate_is_refused(tls):
    """Unless ssl_check_hostname says that it does not matter."""
    query = "&".join(f"{k}={v}" for k, v in tls.ssl().items())
    url = f"rediss://localhost:{tls.tls_port}/2?{query}"
    env = {"LOVAGE_BROKER_URL": url, "LOVAGE_RESULT_BACKEND": url}
    done = servers.lovage("call", "interop.add", "--args=[1,2]", env=env)
    assert done.returncode != 0
    assert "certificate refused" in done.stderr, done.stderr
    easy = {k: f"{v}&ssl_check_hostname=false" for k, v in env.items()}
    servers.lovage("call", "interop.add", "--args=[1,2]", env=easy, check=True)


VISIBILITY = {"visibility_timeout": 2}
ENV = {
    "LOVAGE_BROKER_TRANSPORT_OPTIONS": json.dumps(VISIBILITY),
    "VISIBILITY_TIMEOUT": "2",
}


def killed_while_holding(redis, db, first, second):
    """The first worker is killed with three tasks that wait for their time;
    the second one does them."""
    url = f"redis://127.0.0.1:{redis.port}/{db}"
    app = celery_of(url, "disabled://", broker_transport_options=VISIBILITY)
    client = redis.client(db)
    with first(url, backend=url, queues="c", env=ENV) as w:
        ids = [
            app.send_task("interop.add", args=(n, n), countdown=8).id
            for n in range(3)
        ]
        wait_for(lambda: client.hlen("unacked") == 3, 15, "taken")
        w.reap_group()
        w.wait()
    app.close()
    assert client.hlen("unacked") == 3, "nothing was handed back"
    time.sleep(VISIBILITY["visibility_timeout"])
    with second(url, backend=url, queues="c", env=ENV):
        found = lambda: client.mget(  # noqa
            [f"celery-task-meta-{i}" for i in ids]
        )
        wait_for(lambda: None not in found(), 40, "all done")
        assert [json.loads(d)["result"] for d in found()] == [0, 2, 4]
        wait_for(lambda: client.hlen("unacked") == 0, 10, "acknowledged")


def test_what_a_killed_python_worker_held_is_restored_by_lovage(acl):
    killed_while_holding(acl, 11, CeleryWorker, Worker)


def test_what_a_killed_lovage_worker_held_is_restored_by_python(acl):
    """No Lovage node is left that would notice sooner."""
    killed_while_holding(acl, 12, Worker, CeleryWorker)
