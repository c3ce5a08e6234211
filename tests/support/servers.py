# SPDX-License-Identifier: Apache-2.0
"""Private servers for tests: Redis, PostgreSQL, RabbitMQ, lovage, Celery.

Each is a context manager that starts a process of its own on free loopback
ports, in a fresh folder under the system's temporary folder, and stops it at
the end.  No system instance is ever used.  A server also dies when the process
that started it dies, so that nothing is left behind by a killed test run.

    with Redis() as redis, Worker(redis.url) as worker:
        ...
"""

import contextlib
import ctypes
import json
import os
import pathlib
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
INTEROP = ROOT / "tests" / "interop"
# Debian's, which has python3-celery; `make interop-latest` names another one.
PYTHON = os.environ.get("LOVAGE_TEST_PYTHON", "/usr/bin/python3")
# Sanitizers and a busy machine make all things slower.
SLOW = float(os.environ.get("LOVAGE_TEST_SLOW", "1"))
_libc = ctypes.CDLL(None, use_errno=True)
_running = []  # for the report of a failed test


def lovage_bin():
    """The program under test."""
    return pathlib.Path(
        os.environ.get("LOVAGE_BIN", ROOT / "build" / "plain" / "lovage")
    ).resolve()


def plugin(path="tests/interop/tasks"):
    """A plugin that was built with the program under test."""
    return str(lovage_bin().parent / (path + ".so"))


def running():
    """What is started now."""
    return list(_running)


def free_port():
    """A TCP port below the ephemeral range, so that no client takes it."""
    for _ in range(200):
        port = random.SystemRandom().randrange(15000, 32000)
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port between 15000 and 32000")


def wait_for(check, timeout=10.0, what="condition", step=0.02):
    """Polls until check() is true; returns what it returned."""
    end = time.monotonic() + timeout * SLOW
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() >= end:
            raise TimeoutError(f"{what}: not within {timeout * SLOW:g} s")
        time.sleep(step)


def port_open(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def children(pid):
    """The processes started by pid, and theirs, parents first."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            stat = pathlib.Path("/proc", name, "stat").read_text()
        except OSError:
            continue
        state, ppid = stat.rpartition(")")[2].split()[:2]
        if int(ppid) == pid and state != "Z":
            found.append(int(name))
    return found + [c for f in found for c in children(f)]


def alive(pid):
    try:
        stat = pathlib.Path("/proc", str(pid), "stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def command_line(pid):
    try:
        raw = pathlib.Path("/proc", str(pid), "cmdline").read_bytes()
    except OSError:
        return []
    return raw.decode(errors="replace").rstrip("\0").split("\0")


class Process:
    """One process with its folder and its log."""

    name = "process"
    death = signal.SIGKILL  # what it gets if we die
    user = None
    stop_signal = signal.SIGTERM
    stop_timeout = 20.0

    def __init__(self):
        self.dir = None
        self.proc = None
        self.env = {}

    # What a subclass gives.
    def prepare(self):
        """Called once, when self.dir exists."""

    def command(self):
        raise NotImplementedError

    def ready(self):
        """True when it can be used."""
        return True

    def __enter__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="lovage-test-"))
        self.dir.chmod(0o711)  # PostgreSQL's own user passes through
        self.log = self.dir / (self.name + ".log")
        self.log.touch()
        try:
            self.prepare()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc):
        self.resume()
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    @property
    def pid(self):
        return self.proc.pid

    def running(self):
        return self.proc is not None and self.proc.poll() is None

    def spawn(self):
        """Starts it; ready() is not waited for."""
        assert not self.running(), f"{self.name} runs already"
        death = self.death

        def last_words():  # in the child: SIGKILL of the tests ends it too
            _libc.prctl(1, death, 0, 0, 0)

        identity = {}
        if self.user:
            identity = dict(user=self.user, group=self.user, extra_groups=[])
        with open(self.log, "ab") as log:
            self.proc = subprocess.Popen(
                [str(c) for c in self.command()],
                cwd=self.dir,
                env={**os.environ, **{k: str(v) for k, v in self.env.items()}},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=last_words,
                **identity,
            )
        _running.append(self)

    def start(self, timeout=30.0):
        self.mark = self.log.stat().st_size
        self.spawn()
        try:
            wait_for(self._ready_or_dead, timeout, f"{self.name} ready")
        except Exception as e:
            self.kill()
            raise RuntimeError(f"{e}\n{self.tail()}") from None

    def _ready_or_dead(self):
        if not self.running():
            raise RuntimeError(f"{self.name} ended with {self.proc.returncode}")
        return self.ready()

    def send(self, sig):
        if self.running():
            os.kill(self.proc.pid, sig)

    def wait(self, timeout=None):
        """The exit code."""
        code = self.proc.wait((timeout or self.stop_timeout) * SLOW)
        if self in _running:
            _running.remove(self)
        return code

    def stop(self, sig=None, timeout=None):
        """Ends it the polite way; by force (and an error code) if it hangs."""
        if self.proc is None:
            return None
        self.send(sig or self.stop_signal)
        try:
            return self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.proc.returncode
        finally:
            self.reap_group()

    def kill(self):
        """kill -9 of this one process; its children are left to notice."""
        if self.proc is None:
            return
        self.send(signal.SIGKILL)
        self.wait()

    def reap_group(self):
        """Nothing of it outlives its stop()."""
        try:
            os.killpg(self.proc.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass

    def restart(self):
        self.stop()
        self.start()

    def pause(self):
        self.send(signal.SIGSTOP)

    def resume(self):
        self.send(signal.SIGCONT)

    def children(self):
        return children(self.pid)

    def text(self):
        """The whole log."""
        return self.log.read_text(errors="replace")

    def fresh(self):
        """The log since the last start()."""
        return self.log.read_bytes()[self.mark :].decode(errors="replace")

    def tail(self, lines=40):
        return "\n".join(
            [f"--- {self.name} ---"] + self.text().splitlines()[-lines:]
        )


class Redis(Process):
    """redis-server.  Flags as on its command line: Redis("--appendonly", "yes")."""

    name = "redis"

    def __init__(self, *flags, password=None):
        super().__init__()
        self.flags = flags
        self.password = password

    def prepare(self):
        self.port = free_port()
        self.socket = self.dir / "redis.sock"
        auth = f":{self.password}@" if self.password else ""
        self.base = f"redis://{auth}127.0.0.1:{self.port}"
        self.url = f"{self.base}/0"
        self.socket_url = f"redis+socket://{auth}{self.socket}"

    def command(self):
        auth = ["--requirepass", self.password] if self.password else []
        return [
            "redis-server",
            *("--port", self.port, "--bind", "127.0.0.1"),
            *("--unixsocket", self.socket, "--dir", self.dir),
            *("--save", "", "--daemonize", "no"),
            *auth,
            *self.flags,
        ]

    def ready(self):
        import redis

        try:
            return self.client().ping()
        except redis.exceptions.RedisError:
            return False

    def client(self, db=0):
        """A redis-py client; bytes in, bytes out."""
        import redis

        return redis.Redis(port=self.port, db=db, password=self.password)


class Sentinel(Process):
    """One sentinel; Sentinels below has them and what they watch."""

    name = "sentinel"
    master = "mymaster"

    def __init__(self, target, quorum, password=None, auth=None):
        super().__init__()
        self.target, self.quorum = target, quorum
        self.password, self.auth = password, auth

    def prepare(self):
        self.port = free_port()
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {self.dir}",
            f"sentinel monitor {self.master} 127.0.0.1 {self.target} {self.quorum}",
            f"sentinel down-after-milliseconds {self.master} 1000",
            f"sentinel failover-timeout {self.master} 5000",
        ]
        if self.auth:
            lines.append(f"sentinel auth-pass {self.master} {self.auth}")
        if self.password:
            lines.append(f"requirepass {self.password}")
        (self.dir / "sentinel.conf").write_text("\n".join(lines) + "\n")

    def command(self):
        return ["redis-server", self.dir / "sentinel.conf", "--sentinel"]

    def ready(self):
        import redis

        try:
            return self.client().ping()
        except redis.exceptions.RedisError:
            return False

    def client(self):
        import redis

        return redis.Redis(
            port=self.port,
            password=self.password,
            decode_responses=True,
            socket_timeout=5,
        )


class Sentinels:
    """A master, a replica and three sentinels, with or without passwords."""

    def __init__(self, password=None, sentinel_password=None):
        self.password, self.sentinel_password = password, sentinel_password

    def __enter__(self):
        self.stack = contextlib.ExitStack()
        flags = ["--appendonly", "yes", "--repl-diskless-sync-delay", "0"]
        if self.password:
            flags += ["--masterauth", self.password]
        first = self._start(Redis(*flags, password=self.password))
        follow = ["--replicaof", "127.0.0.1", str(first.port)]
        second = self._start(Redis(*flags, *follow, password=self.password))
        self.servers = [first, second]
        self.sentinels = [
            self._start(
                Sentinel(first.port, 2, self.sentinel_password, self.password)
            )
            for _ in range(3)
        ]
        auth = f":{self.password}@" if self.password else ""
        self.url = ";".join(
            f"sentinel://{auth}127.0.0.1:{s.port}/0" for s in self.sentinels
        )
        self.options = {"master_name": Sentinel.master}
        if self.sentinel_password:
            self.options["sentinel_kwargs"] = {
                "password": self.sentinel_password
            }
        self.env = {
            "LOVAGE_BROKER_TRANSPORT_OPTIONS": json.dumps(self.options),
            "LOVAGE_RESULT_BACKEND_TRANSPORT_OPTIONS": json.dumps(self.options),
        }
        wait_for(self._complete, 30, "sentinels know each other")
        return self

    def __exit__(self, *exc):
        self.stack.close()

    def _start(self, process):
        return self.stack.enter_context(process)

    def _complete(self):
        for s in self.sentinels:
            m = s.client().sentinel_master(Sentinel.master)
            if m["num-other-sentinels"] < 2 or m["num-slaves"] < 1:
                return False
        return self.replicates()

    def master(self):
        """The server that most sentinels take for the master."""
        ports = [
            int(s.client().sentinel_get_master_addr_by_name(Sentinel.master)[1])
            for s in self.sentinels
            if s.running()
        ]
        port = max(ports, key=ports.count)
        return next(r for r in self.servers if r.port == port)

    def other(self, server):
        return self.servers[1 - self.servers.index(server)]

    def replicates(self):
        """True when one is the master and the other has all that it has."""
        info = self.master().client().info("replication")
        state = info.get("slave0", {})
        return info["role"] == "master" and state.get("state") == "online"


def postgres_bin():
    """The folder of the newest PostgreSQL of Debian's packages."""
    found = sorted(
        pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"),
        key=lambda p: int(p.parts[-3]) if p.parts[-3].isdigit() else 0,
    )
    if not found:
        raise RuntimeError("no initdb in /usr/lib/postgresql/*/bin")
    return found[-1].parent


class Postgres(Process):
    """PostgreSQL with trust on loopback; initdb is run once a checkout."""

    name = "postgres"
    death = signal.SIGQUIT
    stop_signal = signal.SIGINT  # "fast": clients are cut off

    def __init__(self, durable=False, **settings):
        super().__init__()
        self.user = "postgres" if os.geteuid() == 0 else None
        self.superuser = pwd.getpwuid(os.geteuid()).pw_name
        if self.user:
            self.superuser = self.user
        self.settings = {
            "max_connections": 200,
            "shared_buffers": "32MB",
            "fsync": "on" if durable else "off",
            "synchronous_commit": "on",
            "autovacuum_naptime": "10s",
            **settings,
        }

    def prepare(self):
        self.port = free_port()
        self.data = self.dir / "data"
        cache = ROOT / "build" / f"initdb-{postgres_bin().parts[-2]}.tar"
        if not cache.exists():
            self.initdb(cache)
        self.data.mkdir(mode=0o700)
        subprocess.run(["tar", "-xf", cache, "-C", self.data], check=True)
        self.own(self.data)
        self.own(self.dir)
        self.base = f"postgresql://{self.superuser}@127.0.0.1:{self.port}"
        self.url = f"{self.base}/lovage"

    def own(self, path):
        if self.user:
            subprocess.run(["chown", "-R", self.user, path], check=True)

    def initdb(self, cache):
        first = self.dir / "initdb"
        first.mkdir(mode=0o700)
        self.own(first)
        who = {}
        if self.user:
            who = dict(user=self.user, group=self.user, extra_groups=[])
        subprocess.run(
            [
                postgres_bin() / "initdb",
                *("-D", first, "-U", self.superuser, "-A", "trust"),
                *("-E", "UTF8", "--locale=C.UTF-8", "--no-sync"),
            ],
            check=True,
            cwd=self.dir,
            stdout=subprocess.DEVNULL,
            **who,
        )
        cache.parent.mkdir(parents=True, exist_ok=True)
        part = cache.with_suffix(f".{os.getpid()}")
        subprocess.run(["tar", "-cf", part, "-C", first, "."], check=True)
        part.rename(cache)
        shutil.rmtree(first)

    def command(self):
        options = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self.dir,
            **self.settings,
        }
        pairs = [("-c", f"{k}={v}") for k, v in options.items()]
        return [
            postgres_bin() / "postgres",
            *("-D", self.data),
            *(x for pair in pairs for x in pair),
        ]

    def start(self, timeout=60.0):
        super().start(timeout)
        if not self.query(
            "SELECT 1 FROM pg_database WHERE datname = 'lovage'", db="postgres"
        ):
            self.query("CREATE DATABASE lovage", db="postgres")

    def ready(self):
        import psycopg2

        try:
            self.connect("postgres").close()
        except psycopg2.OperationalError:
            return False
        return True

    def connect(self, db="lovage"):
        import psycopg2

        conn = psycopg2.connect(f"{self.base}/{db}", connect_timeout=5)
        conn.autocommit = True
        return conn

    def query(self, sql, *params, db="lovage"):
        """Rows of one statement; [] for one without rows."""
        conn = self.connect(db)
        try:
            cur = conn.cursor()
            cur.execute(sql, params or None)
            return cur.fetchall() if cur.description else []
        finally:
            conn.close()

    def database(self):
        """A fresh, empty database; its URL."""
        name = "t" + secrets.token_hex(6)
        self.query(f"CREATE DATABASE {name}", db="postgres")
        return f"{self.base}/{name}"


class Lovage(Process):
    """`lovage SUBCOMMAND ...` of the program under test."""

    def __init__(self, name, *argv, env=None):
        super().__init__()
        self.name = name
        self.argv = argv
        self.env = {"LOVAGE_LOG_LEVEL": "debug", **(env or {})}

    def command(self):
        return [lovage_bin(), self.name, *self.argv]


class Worker(Lovage):
    """`lovage worker` with the plugin of the interop tests."""

    stop_timeout = 30.0

    def __init__(
        self,
        broker,
        *argv,
        backend=None,
        database=None,
        queues=None,
        concurrency=2,
        include="tests/interop/tasks",
        env=None,
    ):
        self.hostname = f"t{secrets.token_hex(4)}@lab"
        args = ["-n", self.hostname, "-c", str(concurrency)]
        if queues:
            args += ["-Q", queues]
        if include:
            args += ["-I", plugin(include)]
        settings = {
            "LOVAGE_BROKER_URL": broker,
            "LOVAGE_RESULT_BACKEND": broker if backend is None else backend,
            "LOVAGE_DATABASE_URL": database or "",
            **(env or {}),
        }
        super().__init__("worker", *args, *argv, env=settings)

    def ready(self):
        count = 1
        for arg in self.argv:
            if arg.startswith("--nodes="):
                count = int(arg.partition("=")[2])
        return self.fresh().count("worker ready node=") >= count

    def nodes(self):
        """The process ids of the nodes."""
        return [p for p in self.children() if "node" in command_line(p)[1:2]]

    def executors(self):
        return [
            p for p in self.children() if "executor" in command_line(p)[1:2]
        ]


class Api(Lovage):
    """`lovage api` on a free port."""

    def __init__(self, broker, database, *argv, backend=None, env=None):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        settings = {
            "LOVAGE_BROKER_URL": broker,
            "LOVAGE_RESULT_BACKEND": broker if backend is None else backend,
            "LOVAGE_DATABASE_URL": database,
            "LOVAGE_API_HOST": "127.0.0.1",
            "LOVAGE_API_PORT": self.port,
            **(env or {}),
        }
        super().__init__("api", *argv, env=settings)

    def ready(self):
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as r:
                return r.status == 200
        except (urllib.error.URLError, OSError):
            return False


class CeleryWorker(Process):
    """A real Celery worker with the tasks of tests/interop/celery_app.py."""

    stop_timeout = 30.0

    def __init__(
        self, broker, *argv, backend=None, queues="celery", concurrency=1, env=None
    ):
        super().__init__()
        self.name = "celery"
        self.hostname = f"py{secrets.token_hex(4)}@lab"
        self.argv = ["-n", self.hostname, "-Q", queues]
        self.argv += ["-c", str(concurrency), "-l", "INFO", *argv]
        self.env = {
            "CELERY_BROKER_URL": broker,
            "CELERY_RESULT_BACKEND": broker if backend is None else backend,
            "PYTHONPATH": str(INTEROP),
            "PYTHONDONTWRITEBYTECODE": "1",
            "C_FORCE_ROOT": "1",
            **(env or {}),
        }

    def command(self):
        return [PYTHON, "-m", "celery", "-A", "celery_app", "worker", *self.argv]

    def ready(self):
        return f"{self.hostname} ready" in self.fresh()


# A CA, a server and a client that it vouches for.
CERTIFICATES = """
key() { openssl ecparam -name prime256v1 -genkey -noout -out $1.key; }
key ca; key server; key client
openssl req -x509 -new -key ca.key -out ca.pem -days 2 -subj /CN=ca
sign() {
    openssl req -new -key $1.key -subj /CN=$2 |
        openssl x509 -req -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \\
            -out $1.pem -extfile $1.ext
}
echo subjectAltName=IP:127.0.0.1 > server.ext
echo extendedKeyUsage=clientAuth > client.ext
sign server rabbit
sign client guest
"""


class Epmd(Process):
    """Erlang's name server, for one RabbitMQ."""

    name = "epmd"

    def prepare(self):
        self.port = free_port()

    def command(self):
        return ["epmd", "-address", "127.0.0.1", "-port", self.port]

    def ready(self):
        return port_open(self.port)


class Rabbit(Process):
    """A RabbitMQ node of its own: name, ports, data, cookie."""

    name = "rabbitmq"
    stop_timeout = 40.0

    def __init__(self, tls=False):
        """tls: also a port with a certificate for 127.0.0.1, and who has the
        certificate of "guest" needs no password (EXTERNAL)."""
        super().__init__()
        self.tls = tls

    def __enter__(self):
        # Started here, because the one that Erlang starts stays for ever.
        self.epmd = Epmd().__enter__()
        return super().__enter__()

    def __exit__(self, *exc):
        super().__exit__()
        self.epmd.__exit__()

    def prepare(self):
        self.port = free_port()
        self.node = f"lovage{secrets.token_hex(4)}@localhost"
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        self.user = "rabbitmq" if os.geteuid() == 0 else None
        home = self.dir / "home"
        home.mkdir()
        (home / ".erlang.cookie").write_text(secrets.token_hex(16))
        (home / ".erlang.cookie").chmod(0o400)
        (self.dir / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            "vm_memory_high_watermark.relative = 0.8\n"
            "disk_free_limit.absolute = 1MB\n" + self.tls_settings()
        )
        plugins = "rabbitmq_auth_mechanism_ssl" if self.tls else ""
        (self.dir / "enabled_plugins").write_text(f"[{plugins}].\n")
        (self.dir / "advanced.config").write_text("[].\n")
        self.env = {
            "HOME": home,
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_CONFIG_FILE": self.dir / "rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": self.dir / "advanced.config",
            "RABBITMQ_ENABLED_PLUGINS_FILE": self.dir / "enabled_plugins",
            "RABBITMQ_MNESIA_BASE": self.dir / "mnesia",
            "RABBITMQ_LOG_BASE": self.dir / "log",
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": self.dir / "pid",
            "RABBITMQ_DIST_PORT": free_port(),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            # The script becomes Erlang instead of waiting for it: signals hit.
            "RUNNING_UNDER_SYSTEMD": "true",
            "ERL_EPMD_PORT": self.epmd.port,
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2",
        }
        if self.user:
            subprocess.run(["chown", "-R", self.user, self.dir], check=True)

    def tls_settings(self):
        if not self.tls:
            return ""
        self.tls_port = free_port()
        self.certificates = self.dir / "tls"
        self.certificates.mkdir()
        subprocess.run(
            ["sh", "-ec", CERTIFICATES],
            cwd=self.certificates,
            check=True,
            capture_output=True,
        )
        lines = [
            f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}",
            f"ssl_options.cacertfile = {self.certificates}/ca.pem",
            f"ssl_options.certfile = {self.certificates}/server.pem",
            f"ssl_options.keyfile = {self.certificates}/server.key",
            "ssl_options.verify = verify_peer",
            "ssl_options.fail_if_no_peer_cert = false",
            "auth_mechanisms.1 = PLAIN",
            "auth_mechanisms.2 = EXTERNAL",
            "ssl_cert_login_from = common_name",
        ]
        return "\n".join(lines) + "\n"

    def command(self):
        return ["/usr/lib/rabbitmq/bin/rabbitmq-server"]

    def start(self, timeout=90.0):
        super().start(timeout)

    def ready(self):
        return "Server startup complete" in self.fresh() and port_open(self.port)

    def ctl(self, *args):
        """rabbitmqctl of this node."""
        return subprocess.run(
            ["/usr/lib/rabbitmq/bin/rabbitmqctl", "-n", self.node, *args],
            env={**os.environ, **{k: str(v) for k, v in self.env.items()}},
            cwd=self.dir,
            check=True,
            capture_output=True,
            text=True,
            user=self.user,
            group=self.user,
        ).stdout


def lovage(*argv, env=None, timeout=60.0, check=False):
    """Runs a subcommand to its end; the CompletedProcess, with text."""
    return subprocess.run(
        [str(lovage_bin()), *[str(a) for a in argv]],
        env={**os.environ, **{k: str(v) for k, v in (env or {}).items()}},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout * SLOW,
        check=check,
    )


def migrate(database):
    """Brings an empty database to the schema of the program under test."""
    done = lovage("migrate", env={"LOVAGE_DATABASE_URL": database})
    if done.returncode != 0:
        raise RuntimeError(f"lovage migrate: {done.stderr}")
    return database


if __name__ == "__main__":
    sys.exit("a module: see the tests that use it")
