"""What the benchmark counts: CPU of a process tree, resident memory, time."""
import os
import statistics
import time

TICK = os.sysconf("SC_CLK_TCK")


def children(pid):
    out = []
    try:
        for tid in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{tid}/children") as f:
                out += [int(p) for p in f.read().split()]
    except OSError:
        pass
    return out


def tree(pid):
    """pid and all its descendants."""
    todo, seen = [pid], []
    while todo:
        p = todo.pop()
        seen.append(p)
        todo += children(p)
    return seen


def cpu_seconds(pid):
    """User and system time of a tree, with its reaped children."""
    ticks = 0
    for p in tree(pid):
        try:
            with open(f"/proc/{p}/stat") as f:
                fields = f.read().rpartition(")")[2].split()
            ticks += sum(int(x) for x in fields[11:15])
        except OSError:
            pass
    return ticks / TICK


def schedstat_seconds(pid):
    """CPU time of a tree by the scheduler's own clock (nanoseconds): for idle
    processes, whose ticks are too coarse."""
    ns = 0
    for p in tree(pid):
        try:
            for tid in os.listdir(f"/proc/{p}/task"):
                with open(f"/proc/{p}/task/{tid}/schedstat") as f:
                    ns += int(f.read().split()[0])
        except OSError:
            pass
    return ns / 1e9


def rss_mib(pid):
    """Resident memory of one process."""
    with open(f"/proc/{pid}/status") as f:
        for line in f:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0


def pss_mib(pid):
    """A tree's memory with shared pages counted once, as far as the kernel
    tells."""
    kib = 0
    for p in tree(pid):
        try:
            with open(f"/proc/{p}/smaps_rollup") as f:
                for line in f:
                    if line.startswith("Pss:"):
                        kib += int(line.split()[1])
        except OSError:
            pass
    return kib / 1024


def wait_until(done, timeout, step=0.005):
    """The time at which done() became true."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if done():
            return time.monotonic()
        time.sleep(step)
    raise TimeoutError("the benchmark's work was not done in %d s" % timeout)


def percentile(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * p / 100))]


def median(values):
    return statistics.median(values)
