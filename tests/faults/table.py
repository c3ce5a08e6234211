# SPDX-License-Identifier: Apache-2.0
"""The fault table: what is lost, stuck or run twice, and for how long nothing
is consumed, under each fault, on each broker, with late and early acks.

    make faults                                    all of it: half an hour
    make faults ROWS=restart,partition BROKERS=redis ACKS=late TASKS=500

Prints a table, writes build/faults.json, and exits with 1 if a row breaks a
requirement (judge() has them)."""

import argparse
import contextlib
import json
import pathlib
import sys
import time
import traceback

from mixed import play_mixed
from rows import ROWS
from servers import ROOT
from stage import SITES, Stage

STALL_S = 0.05
COLUMNS = (
    ("broker", "broker"),
    ("fault", "fault"),
    ("acks", "acks"),
    ("tasks", "tasks"),
    ("lost", "lost"),
    ("told as failed", "failed"),
    ("stuck", "stuck"),
    ("run twice", "twice"),
    ("idle for good", "idle"),
    ("recovery, s", "recovery_text"),
    ("longest stall, ms", "stall_text"),
    ("verdict", "verdict"),
)


def judge(row, late, recovery_s):
    """What is wrong with what a row has found; [] if nothing is."""
    wrong = [k for k in ("lost", "untold", "stuck", "idle") if row[k]]
    if row["unexcused"]:
        wrong.append(f"{row['unexcused']} run twice without need")
    if late and row["failed"]:
        wrong.append("failed")
    if not row["alive"] or row["exit"] != 0:
        wrong.append(f"the worker ended with {row['exit']}")
    if row["stall"] is None:
        wrong.append("remote control is not answered")
    elif row["stall"] >= STALL_S:
        wrong.append(f"a stall of {row['stall'] * 1e3:.0f} ms")
    for seconds, short in zip(row["recovery"], row["shortage"]):
        # Not what the machine needed for others meanwhile.
        if seconds - short > recovery_s:
            wrong.append(f"recovery after {seconds:.1f} s")
    return wrong


def play(site, row, late, tasks):
    if row.fleet:
        return play_mixed(
            site, round(tasks * row.share), row.fleet == "mixed"
        )
    with contextlib.ExitStack() as stack:
        stage = Stage(site, row, late, round(tasks * row.share), stack)
        try:
            found = stage.run()
        except BaseException:
            print(stage.log, file=sys.stderr)
            raise
        found["wrong"] = judge(found, late, row.recovery_s)
        if found["wrong"]:
            print(stage.log, file=sys.stderr)
        return found


def line(cells):
    return "| " + " | ".join(str(c) for c in cells) + " |"


def lost_by_python(row):
    n = row.get("lost_by_python", 0)
    return {"lost": f"{row['lost']} (and {n} by Python)"} if n else {}


def show(row):
    worst = max(row["recovery"], default=None)
    stall = row.get("stall")
    shown = {
        **row,
        "recovery_text": "-" if worst is None else f"{worst:.2f}",
        "stall_text": f"{1e3 * stall:.1f}" if stall is not None else "-",
        "verdict": ", ".join(row["wrong"]) or "ok",
        **lost_by_python(row),
    }
    print(line(shown.get(key, "-") for _, key in COLUMNS), flush=True)


def chosen(args):
    words = [w.strip() for w in args.rows.split(",") if w.strip()]
    return [r for r in ROWS if not words or any(w in r.name for w in words)]


def run(args):
    found = []
    print(line(name for name, _ in COLUMNS))
    print(line("---" for _ in COLUMNS), flush=True)
    for broker in args.brokers.split(","):
        with contextlib.ExitStack() as stack:
            site = SITES[broker](stack)
            for late in [a == "late" for a in args.acks.split(",")]:
                for row in chosen(args):
                    if row.fleet and not late:
                        continue  # Python loses what it ran
                    found.append(one(site, row, late, args.tasks))
                    show(found[-1])
    return found


def one(site, row, late, tasks):
    name = {
        "broker": site.name,
        "fault": row.name,
        "acks": "late" if late else "early",
    }
    t0 = time.monotonic()
    try:
        result = play(site, row, late, tasks)
    except Exception as e:
        traceback.print_exc()
        result = {"wrong": [f"{type(e).__name__}: {e}"], "recovery": []}
        with contextlib.suppress(Exception):
            site.server.resume()
            site.proxy.release()
            if not site.server.running():
                site.server.start()
    return {**name, **result, "seconds": round(time.monotonic() - t0, 1)}


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--rows", default="")
    p.add_argument("--brokers", default="")
    p.add_argument("--acks", default="")
    p.add_argument("--tasks", type=int, default=2000)
    p.add_argument("--out", default=str(ROOT / "build" / "faults.json"))
    args = p.parse_args()
    args.brokers = args.brokers or ",".join(SITES)
    args.acks = args.acks or "late,early"
    if not chosen(args):
        sys.exit("no such row: " + ", ".join(r.name for r in ROWS))
    found = run(args)
    pathlib.Path(args.out).write_text(json.dumps(found, indent=1) + "\n")
    bad = [r for r in found if r["wrong"]]
    print(f"{len(found)} rows, {len(bad)} broken")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
