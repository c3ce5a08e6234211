# SPDX-License-Identifier: Apache-2.0
"""The fault tests' own helpers are beside them."""

import contextlib
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from stage import SITES  # noqa: E402


@pytest.fixture(scope="module", params=SITES)
def site(request):
    """A broker and what belongs to it, for all tests of a file."""
    with contextlib.ExitStack() as stack:
        yield SITES[request.param](stack)
