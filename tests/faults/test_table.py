# SPDX-License-Identifier: Apache-2.0
# timeout: 900
# alone
"""Rows of the fault table, short: 600 tasks, a broker is away for 3 s.  All of
them, in full and with early acknowledgement: make faults."""

import dataclasses

import pytest
from mixed import play_mixed
from rows import ROWS
from table import play

TASKS = 600
SHORT = {
    "resets": {},
    "partition": {"seconds": 3},
    "broker freeze": {"seconds": 3},
    "broker kill": {},
    "out of memory": {"seconds": 3},
    "kill, celery publishing": {},
    "20 restarts": {"times": 5, "share": 2},
}


def row(name):
    found = next(r for r in ROWS if r.name == name)
    return dataclasses.replace(found, **SHORT[name])


@pytest.mark.parametrize("name", SHORT)
def test_nothing_is_lost_stuck_or_idle_for_good(site, name):
    found = play(site, row(name), True, TASKS)
    assert found["wrong"] == [], found


def test_with_early_acks_what_ran_is_told(site):
    found = play(site, next(r for r in ROWS if r.name == "kill node"), False, TASKS)
    assert found["wrong"] == [], found
    assert found["failed"] > 0


def test_a_mixed_fleet_that_is_killed_all_the_time_does_every_task(site):
    found = play_mixed(site, 1500)
    assert found["wrong"] == [], found
    assert found["kills"] >= 4
