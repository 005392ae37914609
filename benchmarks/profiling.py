"""Where the gateway's time goes: py-spy samples it from outside (it is attached only for `--profile`)."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from pathlib import Path

from benchmarks.harness import BenchError, Child, Lab, wait_until

TOP = 30
ROOTS = (
    "typer/",
    "(shouwang",
    "uvloop/",
    "asyncio/runners",
    "gateway/__main__",
    "app/life",
    "app/run",
    "threading.py",
    "futures/",
)
WAITING = frozenset({"_worker (concurrent/futures/thread.py"})  # idle, though py-spy cannot see it


def start(lab: Lab, subject: Child, seconds: float) -> Child:
    """Attach to the running process."""
    spy = shutil.which("py-spy") or str(Path(sys.executable).parent / "py-spy")
    if not Path(spy).exists():
        raise BenchError("--profile needs py-spy: pip install py-spy")
    out = str(lab.dir / "stacks.txt")
    length = str(max(3, int(seconds) - 1))
    argv = [spy, "record", "-p", str(subject.pid), "-d", length, "-r", "200", "-f", "raw", "-o", out]
    return lab.spawn("py-spy", argv)


def finish(lab: Lab, profiler: Child) -> str:
    """Share of samples by function: own time, and with everything it calls."""
    wait_until(lambda: not profiler.is_running, 30, "py-spy ends")
    path = lab.dir / "stacks.txt"
    if not path.exists():
        raise BenchError(f"py-spy recorded nothing: {profiler.tail()}")
    own: Counter[str] = Counter()
    within: Counter[str] = Counter()
    for line in path.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [each.split(":")[0] for each in stack.split(";")]
        if frames[-1] in WAITING:
            continue
        own[frames[-1]] += int(count)
        for each in set(frames):
            within[each] += int(count)
    total = sum(own.values()) or 1
    inner = [(name, n) for name, n in within.most_common() if not any(each in name for each in ROOTS)]
    lines = [f"profile ({total} samples of busy threads): own time | with callees"]
    for (a, n), (b, m) in zip(own.most_common(TOP), inner, strict=False):
        lines.append(f"     {n / total:5.1%} {a:60.60} | {m / total:5.1%} {b:.60}")
    return "\n".join(lines)
