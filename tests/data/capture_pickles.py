#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Captures pickles of real Python and Celery, for the unit tests of
protocol/pickle.h and the seeds of their fuzz target.

usage: tests/data/capture_pickles.py        rewrites tests/data/pickles.json and
                                            tests/fuzz/corpus/fuzz_pickle
Each case has the JSON that is to come of it, or the word that its refusal is to
name."""
import collections
import datetime as dt
import decimal
import fractions
import json
import os
import pathlib
import pickle
import uuid

import celery.exceptions
import pytz
from celery import Celery

HERE = pathlib.Path(__file__).parent
SEEDS = HERE.parent / "fuzz" / "corpus" / "fuzz_pickle"
app = Celery("capture", broker="memory://", backend="db+sqlite:////nonexistent")


def tag(kind, value):
    return {"__type__": kind, "__value__": value}


def shared():
    inner = {"a": [1, 2], "name": "x" * 20}
    return [inner, inner, "x" * 20, "y" * 20, "y" * 20]


def recursive():
    own = [1]
    own.append(own)
    return own


def recursive_dict():
    own = {}
    own["me"] = [own]
    return own


class Evil:
    def __reduce__(self):
        return eval, ("1 + 1",)


class Shell:
    def __reduce__(self):
        return os.system, ("true",)


def nested(depth):
    v = 0
    for _ in range(depth):
        v = [v]
    return v


FAILURE = {"exc_type": "ValueError", "exc_message": ("boom", 42), "exc_module": "builtins"}
SAME = object()
CASES = [
    ("none", None, SAME),
    ("true", True, SAME),
    ("false", False, SAME),
    *((f"int {i}"[:24], i, SAME) for i in
      (0, 3, 255, 256, 65535, 65536, -1, -128, -129, 2**31 - 1, 2**31, -2**31, -2**31 - 1,
       2**63 - 1, 2**63, -2**63, -2**63 - 1, 2**64 - 1, 2**64, 10**40, -10**40, 2**3000)),
    *((f"float {f}", f, SAME) for f in (0.0, -0.5, 1.5, 0.1, 1e300, 5e-324)),
    ("inf", float("inf"), SAME),
    ("text", "hello", SAME),
    ("empty text", "", SAME),
    ("text beyond ASCII", "é\u20ac\U0001f600\0x", SAME),
    ("long text", "z" * 300, SAME),
    ("huge text", "z" * 3000, SAME),
    ("bytes", b"ab\xc3\xa9", tag("bytes", "abé")),
    ("other bytes", b"\xff\x00\x80", tag("base64", "/wCA")),
    ("no bytes", b"", tag("bytes", "")),
    ("bytearray", bytearray(b"xy"), tag("bytes", "xy")),
    ("list", [1, [2, [3, None]], []], SAME),
    ("list of one", ["a"], SAME),
    ("long list", list(range(1200)), SAME),
    ("tuples", ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)), [[], [1], [1, 2], [1, 2, 3], [1, 2, 3, 4]]),
    ("dict", {"a": 1, "b": {"c": [True]}, "": None}, SAME),
    ("dict of one", {"a": 1}, SAME),
    ("long dict", {f"k{i}": i for i in range(1100)}, SAME),
    ("dict with odd keys", {7: "i", None: "n", 1.5: "f", False: "b"},
     {"7": "i", "null": "n", "1.5": "f", "false": "b"}),
    ("dict with tuple key", {(1, 2): 3}, "!key"),
    ("set", {7}, [7]),
    ("frozenset", frozenset(["a"]), ["a"]),
    ("ordered dict", collections.OrderedDict([("b", 1), ("a", 2)]), {"b": 1, "a": 2}),
    ("default dict", collections.defaultdict(list, {"a": [1]}), {"a": [1]}),
    ("shared", shared(), SAME),
    ("failure", FAILURE, {**FAILURE, "exc_message": ["boom", 42]}),
    ("date and time", dt.datetime(2024, 1, 2, 3, 4, 5, 6), tag("datetime", "2024-01-02T03:04:05.000006")),
    ("whole second", dt.datetime(2024, 12, 31, 23, 59, 59), tag("datetime", "2024-12-31T23:59:59")),
    ("aware", dt.datetime(2024, 1, 2, 3, 4, 5, 6, dt.timezone.utc),
     tag("datetime", "2024-01-02T03:04:05.000006+00:00")),
    ("west", dt.datetime(2024, 1, 2, 3, 4, 5, 6, dt.timezone(dt.timedelta(minutes=-210))),
     tag("datetime", "2024-01-02T03:04:05.000006-03:30")),
    ("pytz", dt.datetime(2024, 1, 2, tzinfo=pytz.utc), tag("datetime", "2024-01-02T00:00:00+00:00")),
    ("date", dt.date(2024, 1, 2), tag("date", "2024-01-02")),
    ("time", dt.time(1, 2, 3, 400000), tag("time", "01:02:03.400000")),
    ("timedelta", dt.timedelta(days=1, seconds=2), 86402),
    ("negative timedelta", dt.timedelta(microseconds=-500000), -0.5),
    ("decimal", decimal.Decimal("1.50"), tag("decimal", "1.50")),
    ("uuid", uuid.UUID("12345678-9abc-def0-1234-56789abcdef0"),
     tag("uuid", {"hex": "123456789abcdef0123456789abcdef0"})),
    ("shared uuid", [uuid.UUID(int=5)] * 2, [tag("uuid", {"hex": "0" * 31 + "5"})] * 2),
    ("group", app.GroupResult("gid", [app.AsyncResult("a"), app.AsyncResult("b", parent=app.AsyncResult("p"))]),
     [["gid", None], [[["a", None], None], [["b", [["p", None], None]], None]]]),
    ("nested group", app.GroupResult("g", [app.GroupResult("h", [app.AsyncResult("a")]), app.AsyncResult("b")]),
     [["g", None], [[["h", None], [[["a", None], None]]], [["b", None], None]]]),
    ("result", app.AsyncResult("a"), [["a", None], None]),
    ("eval", Evil(), "!builtins.eval"),
    ("system", [1, {"x": Shell()}], "!posix.system"),
    ("a function", len, "!.len"),
    ("a class", {"c": dt.datetime}, "!datetime.datetime"),
    ("an exception", ValueError("x"), "!.ValueError"),
    ("Celery's exception", celery.exceptions.TimeoutError("x"), "!celery.exceptions.TimeoutError"),
    ("an object", fractions.Fraction(1, 3), "!fractions.Fraction"),
    ("complex", 1j, "!builtins.complex"),
    ("a zone alone", dt.timezone.utc, "!datetime.timezone"),
    ("recursive", recursive(), "!contains itself"),
    ("recursive dict", recursive_dict(), "!contains itself"),
    ("nested 200 deep", nested(200), SAME),
]


def main():
    out = []
    SEEDS.mkdir(parents=True, exist_ok=True)
    seen = set()
    for what, value, want in CASES:
        for protocol in range(2, 6):
            data = pickle.dumps(value, protocol)
            case = {"what": f"{what}, protocol {protocol}", "hex": data.hex()}
            if isinstance(want, str) and want.startswith("!"):
                case["refused"] = want[1:]
            else:
                case["json"] = json.dumps(value if want is SAME else want)
            out.append(case)
            if len(data) < 400 and protocol == 4 and data not in seen:
                seen.add(data)
                name = "".join(c if c.isalnum() else "_" for c in what)
                (SEEDS / f"{name}_{protocol}").write_bytes(data)
    (HERE / "pickles.json").write_text(json.dumps(out, indent=0) + "\n")


if __name__ == "__main__":
    main()
