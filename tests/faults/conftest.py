# SPDX-License-Identifier: Apache-2.0
"""The fault tests' own helpers are beside them."""

import contextlib
import functools
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from stage import SITES  # noqa: E402


@pytest.fixture(scope="module")
def open_site():
    """name -> a broker and what belongs to it, for all tests of a file."""
    with contextlib.ExitStack() as stack:
        yield functools.cache(lambda name: SITES[name](stack))


@pytest.fixture(scope="module", params=SITES)
def site(request, open_site):
    return open_site(request.param)
