# SPDX-License-Identifier: Apache-2.0
# timeout: 600
"""`make install` gives what a plugin's author needs; `make run` shows itself."""

import os
import pathlib
import signal
import subprocess

import pytest

import servers
from servers import ROOT

PLUGIN = """
#include <lovage/task.h>
static lovage_status
run(lovage_task *t)
{
    return lovage_return(t, lovage_string("from a plugin"));
}
LOVAGE_PLUGIN int
lovage_plugin_init(lovage_registry *r)
{
    const lovage_task_def def = {.size = sizeof(def), .name = "mine", .run = run};
    return lovage_register(r, &def);
}
"""

# The test may itself run below make; its flags are not meant for others.
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
PLAIN = servers.lovage_bin().parent.name == "plain"


def make(*args):
    return subprocess.run(
        ["make", *args], cwd=ROOT, env=CLEAN, capture_output=True, text=True
    )


@pytest.mark.skipif(not PLAIN, reason="what is installed is the plain build")
def test_a_plugin_is_built_against_what_was_installed(redis, queue, tmp_path):
    done = make("install", f"DESTDIR={tmp_path}", "PREFIX=/opt/lovage")
    assert done.returncode == 0, done.stderr
    top = tmp_path / "opt" / "lovage"
    assert (top / "share" / "lovage" / "models.json").exists()
    (tmp_path / "mine.c").write_text(PLUGIN)
    env = {
        **CLEAN,
        "PKG_CONFIG_PATH": str(top / "lib" / "pkgconfig"),
        "PKG_CONFIG_SYSROOT_DIR": str(tmp_path),
    }
    subprocess.run(
        "cc -Wall -Werror -fPIC -shared $(pkg-config --cflags lovage) "
        "-o mine.so mine.c",
        shell=True, cwd=tmp_path, env=env, check=True,
    )
    with servers.Worker(
        redis.url, "-I", str(tmp_path / "mine.so"), queues=queue, include=None
    ):
        out = subprocess.run(
            [
                *(top / "bin" / "lovage", "call", "mine", "--wait"),
                *("-Q", queue, f"--broker-url={redis.url}"),
                f"--result-backend={redis.url}",
            ],
            capture_output=True, text=True, timeout=30,
        )
    assert out.stdout.endswith('"from a plugin"\n'), out.stderr
    done = make("uninstall", f"DESTDIR={tmp_path}", "PREFIX=/opt/lovage")
    assert done.returncode == 0
    assert [p for p in top.rglob("*") if p.is_file()] == []


def start_run(tmp_path, *flags):
    state = tmp_path / "state"
    return state, subprocess.Popen(
        [ROOT / "deploy" / "run", *flags, servers.lovage_bin()],
        env={**CLEAN, "LOVAGE_STATE": str(state)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def processes_of(state):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            raw = pathlib.Path("/proc", pid, "cmdline").read_bytes()
        except OSError:
            continue
        if str(state).encode() in raw:
            found.append(raw)
    return found


@pytest.fixture
def reachable(tmp_path):
    """PostgreSQL's user must reach the state folder, or /var/tmp is used."""
    return tmp_path


def test_run_once_shows_everything_and_ends(reachable):
    state, proc = start_run(reachable, "--once")
    out, _ = proc.communicate(timeout=120 * servers.SLOW)
    assert proc.returncode == 0, out
    assert '"model": "echo-slow"' in out
    assert "42" in out and "SUCCESS" in out
    assert processes_of(state) == []


def test_run_stays_until_it_is_told_to_end(reachable):
    state, proc = start_run(reachable)
    for line in proc.stdout:
        if line.startswith("Ctrl-C"):
            break
    assert processes_of(state) != []
    proc.send_signal(signal.SIGINT)
    out = proc.stdout.read()
    assert proc.wait(60 * servers.SLOW) == 0, out
    assert processes_of(state) == []


def test_run_ends_all_when_it_is_killed(reachable):
    state, proc = start_run(reachable)
    for line in proc.stdout:
        if line.startswith("Ctrl-C"):
            break
    proc.kill()
    proc.wait()
    servers.wait_for(lambda: processes_of(state) == [], 40, "all gone", 0.2)


def test_run_uses_the_servers_that_it_is_given(reachable, redis, postgres):
    state = reachable / "state"
    done = subprocess.run(
        [ROOT / "deploy" / "run", "--once", servers.lovage_bin()],
        env={
            **CLEAN,
            "LOVAGE_STATE": str(state),
            "LOVAGE_BROKER_URL": redis.url,
            "LOVAGE_DATABASE_URL": postgres.database(),
        },
        capture_output=True, text=True, timeout=120 * servers.SLOW,
    )
    assert done.returncode == 0, done.stdout
    assert not (state / "redis").exists()
    assert not (state / "postgres").exists()


def test_run_says_what_failed_and_stops_the_rest(reachable, redis):
    state = reachable / "state"
    port = servers.free_port()
    done = subprocess.run(
        [ROOT / "deploy" / "run", "--once", servers.lovage_bin()],
        env={
            **CLEAN,
            "LOVAGE_STATE": str(state),
            "LOVAGE_BROKER_URL": redis.url,
            "LOVAGE_DATABASE_URL": f"postgresql://127.0.0.1:{port}/none",
        },
        capture_output=True, text=True, timeout=120 * servers.SLOW,
    )
    assert done.returncode == 1
    assert "FAILED: " in done.stdout
    assert processes_of(state) == []
