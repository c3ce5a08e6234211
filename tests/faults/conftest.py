# SPDX-License-Identifier: Apache-2.0
"""The fault tests' own helpers are beside them."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
