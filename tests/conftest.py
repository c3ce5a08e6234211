# SPDX-License-Identifier: Apache-2.0
"""Fixtures of all Python tests: servers live as long as the session (one test
file, as tests/run starts them), queues and databases as long as one test."""

import pathlib
import secrets
import sys

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
sys.path.insert(0, str(pathlib.Path(__file__).parent / "interop"))

import servers  # noqa: E402


@pytest.fixture(scope="session")
def redis():
    with servers.Redis() as r:
        yield r


@pytest.fixture(scope="session")
def postgres():
    with servers.Postgres() as p:
        yield p


@pytest.fixture(scope="session")
def rabbit():
    with servers.Rabbit() as r:
        yield r


@pytest.fixture
def queue():
    """A queue name that no other test uses."""
    return "q-" + secrets.token_hex(6)


@pytest.fixture
def database(postgres):
    """The URL of a fresh database with the schema in it."""
    return servers.migrate(postgres.database())


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        for process in servers.running():
            lines = 8 if process.name in ("redis", "postgres") else 40
            report.sections.append(
                (f"log of {process.name}", process.tail(lines))
            )
