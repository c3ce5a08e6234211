# SPDX-License-Identifier: Apache-2.0
# timeout: 600
"""`make install` gives what a plugin's author needs; `make run` shows itself."""

import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

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


@pytest.fixture
def state():
    """A state folder that PostgreSQL's user can reach."""
    top = pathlib.Path(tempfile.mkdtemp(prefix="lovage-run-"))
    top.chmod(0o711)
    yield top / "state"
    shutil.rmtree(top)


def command(state, *flags, **env):
    return dict(
        args=[ROOT / "deploy" / "run", *flags, servers.lovage_bin()],
        env={**CLEAN, "LOVAGE_STATE": str(state), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run_once(state, **env):
    """Runs it to its end; CompletedProcess, and what it had started."""
    return subprocess.run(
        **command(state, "--once", **env), timeout=120 * servers.SLOW
    )


def start(state):
    """Starts it; the process, and those that it has started."""
    proc = subprocess.Popen(**command(state))
    for line in proc.stdout:
        if line.startswith("Ctrl-C"):
            break
    started = servers.children(proc.pid)
    names = " ".join(" ".join(servers.command_line(p)[:2]) for p in started)
    for name in ("redis-server", "postgres", "lovage worker", "lovage api"):
        assert name in names
    return proc, started


def all_gone(started):
    return not any(servers.alive(p) for p in started)


def test_run_once_shows_everything_and_ends(state):
    done = run_once(state)
    assert done.returncode == 0, done.stdout
    assert '"model": "echo-slow"' in done.stdout
    assert "\n42\n" in done.stdout and "SUCCESS" in done.stdout
    assert "Stopping api, worker, postgres, redis" in done.stdout
    again = run_once(state)
    assert again.returncode == 0, again.stdout
    assert "the schema is up to date" in again.stdout


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_run_stays_until_it_is_told_to_end(state, sig):
    proc, started = start(state)
    proc.send_signal(sig)
    out = proc.stdout.read()
    assert proc.wait(60 * servers.SLOW) == 0, out
    assert all_gone(started)


def test_run_ends_all_when_it_is_killed(state):
    proc, started = start(state)
    proc.kill()
    proc.wait()
    proc.stdout.close()
    servers.wait_for(lambda: all_gone(started), 40, "all gone", 0.2)


def test_run_ends_all_when_a_part_ends(state):
    proc, started = start(state)
    api = [p for p in started if servers.command_line(p)[1:2] == ["api"]]
    os.kill(api[0], signal.SIGKILL)
    out = proc.stdout.read()
    assert proc.wait(60 * servers.SLOW) == 1
    assert "FAILED: api ended with -9" in out
    assert all_gone(started)


def test_run_uses_the_servers_that_it_is_given(state, redis, postgres):
    done = run_once(
        state,
        LOVAGE_BROKER_URL=redis.url,
        LOVAGE_DATABASE_URL=postgres.database(),
    )
    assert done.returncode == 0, done.stdout
    assert not (state / "redis").exists()
    assert not (state / "postgres").exists()
    assert "Stopping api, worker\n" in done.stdout


def test_run_says_what_failed_and_stops_the_rest(state, redis):
    port = servers.free_port()
    done = run_once(
        state, LOVAGE_DATABASE_URL=f"postgresql://127.0.0.1:{port}/none"
    )
    assert done.returncode == 1
    assert "FAILED: " in done.stdout
    assert "Stopping redis" in done.stdout


def test_a_second_run_in_the_same_folder_is_refused(state):
    proc, started = start(state)
    second = run_once(state)
    assert second.returncode == 1
    assert "another one runs" in second.stdout
    proc.send_signal(signal.SIGINT)
    proc.stdout.read()
    assert proc.wait(60 * servers.SLOW) == 0
    assert all_gone(started)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's tree is out of reach")
def test_a_tree_that_postgresql_cannot_reach_is_no_obstacle(state):
    state.parent.chmod(0o700)
    done = run_once(state)
    assert done.returncode == 0, done.stdout
    folder = pathlib.Path((state / "postgres-folder").read_text())
    assert folder.parent == pathlib.Path("/var/tmp")
    shutil.rmtree(folder)
