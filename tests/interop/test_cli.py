# SPDX-License-Identifier: Apache-2.0
"""The command line: flags and their precedence; call, result, purge."""

import json
import os
import subprocess

import pytest

import servers
from servers import lovage


@pytest.fixture
def env(redis):
    return {
        "LOVAGE_BROKER_URL": redis.url,
        "LOVAGE_RESULT_BACKEND": redis.url,
    }


@pytest.mark.parametrize(
    "argv,complaint",
    [
        ([], "usage: lovage COMMAND"),
        (["nope"], "unknown command: nope"),
        (["worker", "--bogus"], "unknown option --bogus"),
        (["worker", "-Z"], "unknown option -Z"),
        (["worker", "-c"], "-c needs a value"),
        (["worker", "-c", "many"], "worker_concurrency"),
        (["worker", "extra"], "unexpected argument: extra"),
        (["worker", "--openai-api-key=k"], "never from the command line"),
        (["worker", "--without-gossip=1"], "unexpected value"),
        (["worker", "--config", "/nowhere"], "/nowhere"),
        (["worker", "-b", "carrier-pigeon://x"], "carrier-pigeon"),
        (["call"], "usage: lovage call"),
        (["call", "t", "--args={}"], "not a JSON array"),
        (["call", "t", "--args=[1"], "--args"),
        (["call", "t", "--kwargs=[]"], "not a JSON object"),
        (["call", "t", "--eta=soon"], "--eta"),
        (["call", "t", "--priority=1.5"], "--priority"),
        (["call", "t", "--countdown=1", "--eta=2030-01-01"], "only one"),
        (["call", "t", "--timeout=x", "--wait"], "--timeout"),
        (["purge"], "not without -f"),
        (["help", "nope"], "unknown command: nope"),
        (["migrate"], "database_url is not set"),
    ],
)
def test_a_wrong_command_line_is_told_and_ends_with_2(argv, complaint):
    done = lovage(*argv)
    assert done.returncode == 2
    assert complaint in done.stdout + done.stderr


@pytest.mark.parametrize(
    "command",
    ["api", "worker", "migrate", "call", "result", "purge", "config", "version"],
)
def test_every_command_is_explained(command):
    text = lovage("help", command).stdout
    assert text.startswith(f"usage: lovage {command}")
    assert lovage(command, "--help").stdout == text
    assert command in lovage("help").stdout


def test_celery_worker_s_flags_are_all_there():
    text = lovage("help", "worker").stdout
    for flag in (
        "-Q, --queues -c, --concurrency -n, --hostname -l, --loglevel "
        "-I, --include -b, --broker --result-backend -E, -O, -P, "
        "--prefetch-multiplier --max-tasks-per-child --max-memory-per-child "
        "--time-limit --soft-time-limit --nodes --without-gossip "
        "--without-mingle --without-heartbeat --heartbeat-interval --pidfile "
        "--config"
    ).split():
        assert flag in text, flag


def values(*argv, env=None):
    done = lovage("config", *argv, env=env, check=True)
    return dict(line.split(" = ", 1) for line in done.stdout.splitlines())


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path):
    f = tmp_path / "lovage.conf"
    f.write_text("task_time_limit = 1\nworker_nodes = 2\nresult_expires = 3\n")
    env = {"LOVAGE_WORKER_NODES": "4", "LOVAGE_RESULT_EXPIRES": "5"}
    got = values(f"--config={f}", "--result-expires=6", env=env)
    assert got["task_time_limit"] == "1"
    assert got["worker_nodes"] == "4"
    assert got["result_expires"] == "6"
    assert got["worker_concurrency"] == "0"


def test_the_file_may_be_named_by_the_environment(tmp_path):
    f = tmp_path / "lovage.conf"
    f.write_text("task_default_queue = garden\n")
    got = values(env={"LOVAGE_CONFIG": str(f)})
    assert got["task_default_queue"] == "garden"


def test_celery_s_variables_are_honoured():
    got = values(env={"CELERY_BROKER_URL": "redis://c:1/2"})
    assert got["broker_url"] == "redis://c:1/2"
    got = values(
        env={
            "CELERY_BROKER_URL": "redis://c:1/2",
            "LOVAGE_BROKER_URL": "redis://l:1/2",
        }
    )
    assert got["broker_url"] == "redis://l:1/2"


def test_a_switch_may_be_given_without_its_value():
    assert values("--task-acks-late")["task_acks_late"] == "true"
    assert values("--task-acks-late=false")["task_acks_late"] == "false"


def test_secrets_are_not_printed():
    out = lovage(
        "config",
        env={
            "OPENAI_API_KEY": "sk-verysecret",
            "LOVAGE_DATABASE_URL": "postgresql://u:hidden@h/d",
        },
    ).stdout
    assert "verysecret" not in out
    assert "hidden" not in out


def test_the_manual_in_docs_is_current():
    manual = lovage("config", "--manual").stdout
    assert (servers.ROOT / "docs" / "configuration.md").read_text() == manual


def test_the_version_is_that_of_the_tree():
    version = (servers.ROOT / "VERSION").read_text().strip()
    assert lovage("version").stdout == f"lovage {version}\n"
    assert lovage("--version").stdout == f"lovage {version}\n"


def test_output_that_cannot_be_written_is_an_error():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [servers.lovage_bin(), "version"], stdout=full, stderr=subprocess.PIPE
        )
    assert done.returncode == 1


def test_a_called_task_is_a_message_that_kombu_reads(app, env, redis, queue):
    done = lovage(
        *("call", "t.work", "--args=[1, \"ž\"]", '--kwargs={"k": null}'),
        *("--queue", queue, "--priority=3", "--countdown=60", "--expires=90"),
        env=env,
        check=True,
    )
    with app.connection_for_read() as conn, conn.channel() as channel:
        message = channel.basic_get(f"{queue}\x06\x163") or channel.basic_get(queue)
        assert message is not None
        message = channel.Message(message, channel=channel) if not hasattr(
            message, "payload"
        ) else message
        args, kwargs, embed = message.payload
        message.ack()
    assert (args, kwargs) == ([1, "ž"], {"k": None})
    assert embed == {
        "callbacks": None, "errbacks": None, "chain": None, "chord": None,
    }
    assert message.headers["id"] == done.stdout.strip()
    assert message.headers["task"] == "t.work"
    assert message.headers["eta"] < message.headers["expires"]
    assert message.properties["priority"] == 3


def test_call_waits_for_a_result(env, worker):
    done = lovage(
        *("call", "interop.add", "--args=[1, 2]", "-Q", "c", "--wait"), env=env
    )
    task_id, value = done.stdout.split()
    assert (value, done.returncode) == ("3", 0)
    again = lovage("result", task_id, env=env)
    assert (again.stdout, again.returncode) == ("3\n", 0)


def test_call_tells_a_failure(env, worker):
    done = lovage(
        *("call", "interop.fail", '--args=["ValueError", "builtins", "no"]'),
        *("-Q", "c", "--wait"),
        env=env,
    )
    assert done.returncode == 1
    assert "ValueError('no')" in done.stderr
    assert "in the interop plugin" in done.stderr


def test_python_reads_the_result_of_a_call(app, env, worker):
    done = lovage("call", "interop.add", "--args=[2, 2]", "-Q", "c", env=env)
    assert app.AsyncResult(done.stdout.strip()).get(timeout=10) == 4


def test_a_call_is_run_by_a_python_worker(env, pyworker):
    done = lovage(
        *("call", "py.request", "-Q", "py", "--wait", "--timeout=20"),
        env=env,
        check=True,
    )
    task_id, document = done.stdout.split("\n", 1)
    seen = json.loads(document)
    assert seen["id"] == seen["root_id"] == seen["correlation_id"] == task_id
    assert seen["parent_id"] is None
    assert seen["retries"] == 0
    assert seen["delivery_info"]["routing_key"] == "py"
    assert seen["argsrepr"] == "()"
    assert seen["origin"].startswith("gen")


def test_a_failure_in_python_is_read_here(env, pyworker):
    done = lovage(
        *("call", "py.fail", '--args=["bad"]', "-Q", "py", "--wait"), env=env
    )
    assert done.returncode == 1
    assert "ValueError('bad', 42)" in done.stderr
    assert "Traceback" in done.stderr


def test_a_result_that_does_not_come_is_told_in_time(env):
    done = lovage("result", "no-such-id", "--timeout=0.3", env=env)
    assert done.returncode == 1
    assert "not done in 0.3 s" in done.stderr


def test_a_broker_that_is_away_is_told(env):
    port = servers.free_port()
    env = {**env, "LOVAGE_BROKER_URL": f"redis://:secret@127.0.0.1:{port}/0"}
    done = lovage("call", "t", env=env)
    assert done.returncode == 1
    assert "broker" in done.stderr
    assert "secret" not in done.stderr


def test_purge_removes_what_waits(app, env, redis, queue):
    for i in range(1500):
        app.send_task("t", (i,), queue=queue, priority=i % 10)
    done = lovage("purge", "-f", "-Q", queue, env=env, check=True)
    assert done.stdout == "Purged 1500 messages from 1 known task queue.\n"
    r = redis.client()
    left = [k for k in r.keys(queue + "*") if not k.startswith(b"_kombu")]
    assert left == []
    assert not r.exists("unacked", "unacked_index")
    done = lovage("purge", "-f", "-Q", queue, env=env, check=True)
    assert done.stdout == "No messages purged from 1 queue\n"


def test_a_pidfile_keeps_a_second_worker_away(redis, queue, tmp_path):
    pidfile = tmp_path / "worker.pid"
    flag = f"--pidfile={pidfile}"
    with servers.Worker(redis.url, flag, queues=queue) as w:
        assert int(pidfile.read_text()) == w.pid
        second = lovage("worker", flag, "-b", redis.url)
        assert second.returncode == 1
        assert f"process {w.pid} lives" in second.stderr
        assert w.stop() == 0
        assert not pidfile.exists()
    # Of a worker that was killed; its number is another process's by now.
    pidfile.write_text(f"{os.getpid()}\n")
    with servers.Worker(redis.url, flag, queues=queue) as w:
        assert int(pidfile.read_text()) == w.pid


def test_a_plugin_that_is_none_is_told(redis, tmp_path):
    bad = tmp_path / "bad.so"
    bad.write_bytes(os.urandom(64))
    done = lovage("worker", "-b", redis.url, "-I", bad)
    assert done.returncode != 0
    assert "bad.so" in done.stderr
