# SPDX-License-Identifier: Apache-2.0
"""One api with its servers for all tests of a file."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import servers  # noqa: E402
import wire  # noqa: E402


@pytest.fixture(scope="session")
def shared_database(postgres):
    return servers.migrate(postgres.database())


@pytest.fixture(scope="session")
def api(redis, shared_database):
    env = {"LOVAGE_API_REQUEST_TIMEOUT": "3", "LOVAGE_API_THREADS": "80"}
    with servers.Api(redis.url, shared_database, env=env) as a:
        yield a


@pytest.fixture
def call(api):
    """call("POST", "/api/v1/tasks", {...}) -> Answer"""

    def go(method, path, body=None, headers=None):
        return wire.request(api.port, method, path, body, headers)

    return go
