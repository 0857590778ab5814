"""Keys: every key of every command with values that mean nothing there; each must end in a line and an exit code.

python benchmarks/keys.py OUT [--every 1] [--first 0] [--only TEXT] [--processes 0] [--seed 0]

All in one process; `--every 7 --first 2` takes each seventh from the third on, `--only loss.` keys with it.
With --processes 100 so many drawn at random run as processes of their own instead. Prints the exit codes of each
command and each case that raised, hung, took 500 MB, showed a traceback, over three lines or words that are not ours.
OUT/offences.json has them whole. Exits 1 where there is one. Needs POSIX.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import resource
import subprocess
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 300  # seconds that a process may take on a machine that others use too


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("--processes", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    from tests import mistakes

    warnings.simplefilter("ignore")
    out = args.out.absolute()
    here = mistakes.sandbox(out / "sandbox")
    if args.processes:
        tried = mistakes.some(args.processes, args.seed)
    else:
        tried = [line for line in mistakes.lines() if args.only in line.key][args.first :: args.every]
    codes: dict[str, Counter[str]] = {}
    offences, slowest = [], (0.0, "")
    with open(out / "hang.txt", "w") as hung, open(out / "said.txt", "w") as log:
        for line in tried:
            faulthandler.dump_traceback_later(6 * mistakes.SECONDS, exit=not args.processes, file=hung)
            started = time.monotonic()
            if args.processes:
                code, said, wrong = alone(line.argv, line.key, here)
            else:
                code, said, wrong = mistakes.offence(line, here, mistakes.SECONDS)
            slowest = max(slowest, (time.monotonic() - started, " ".join(line.argv)))
            codes.setdefault(line.command, Counter())[str(code)] += 1
            log.write(f"{line.key}={line.value[:40]} [{code}] {said.strip()[:300]}\n")
            if wrong:
                offences.append({"words": line.argv, "wrong": wrong})
                print(f"{line.command} {line.key}={line.value:.60}: {wrong:.400}", flush=True)
                (out / "offences.json").write_text(json.dumps(offences, indent=1))
    faulthandler.cancel_dump_traceback_later()
    print(f"{'command':<16}{'cases':>7}   exit codes")
    for command, seen in codes.items():
        print(f"{command:<16}{seen.total():>7}   {mistakes.counts(seen)}")
    print(f"{len(offences)} offences of {len(tried)}; the slowest took {slowest[0]:.1f} s: {slowest[1]:.200}")
    print(f"the most memory of the process that tried them: {mistakes.memory()} MiB")
    return 1 if offences else 0


def alone(words: list[str], key: str, here: Path) -> tuple[int | None, str, str]:
    """One line as a process of its own; its time is the CPU's, Python's and torch's start included."""
    from tests import mistakes

    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "ganrun", *words]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        done = subprocess.run(command, cwd=here, env=env, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return None, "", "does not end"
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    slow = f"took {seconds:.0f} s of CPU" if seconds > mistakes.SECONDS else ""
    return done.returncode, done.stderr, mistakes.judged(key, done.returncode, done.stderr) or slow


if __name__ == "__main__":
    raise SystemExit(main())
