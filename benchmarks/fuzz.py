"""Fuzz: thousands of command lines and checkpoints with mistakes in them; each must end in a line and an exit code.

python benchmarks/fuzz.py OUT [--lines 1200] [--checkpoints 1000] [--seed 0]

Prints the exit codes of each kind and every case that raised, hung, printed a traceback or wrote where it may not;
OUT/offences.json has them whole. Exits 1 where there is one. Needs POSIX.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import resource
import sys
import warnings
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MEMORY = 24 * 2**30  # bytes of address space; torch alone maps several


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--lines", type=int, default=1200)
    parser.add_argument("--checkpoints", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    from tests import fuzzing

    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    out = args.out.absolute()
    here = fuzzing.sandbox(out / "sandbox")
    counts: dict[str, Counter[str]] = {}
    offences, slowest = [], 0.0
    with open(out / "hang.txt", "w") as hung:
        for kind, count in (("line", args.lines), ("checkpoint", args.checkpoints)):
            for number, case in enumerate(fuzzing.cases(args.seed, count, here, kind)):
                faulthandler.dump_traceback_later(2 * fuzzing.HANG, exit=True, file=hung)
                code, seconds, wrong = fuzzing.offence(case, here)
                counts.setdefault(case.kind.strip(), Counter())[str(code)] += 1
                slowest = max(slowest, seconds)
                if wrong:
                    offences.append({"number": number, "kind": case.kind, "words": case.words, "wrong": wrong})
                    print(f"{kind} {number} {case.words!r:.300}: {wrong:.500}", flush=True)
                    (out / "offences.json").write_text(json.dumps(offences, indent=1))
    faulthandler.cancel_dump_traceback_later()
    print(f"{'mistakes in':<16}{'cases':>7}   exit codes")
    for kind, seen in counts.items():
        print(f"{kind:<16}{seen.total():>7}   {', '.join(f'{code}: {count}' for code, count in sorted(seen.items()))}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 2**10
    print(f"{len(offences)} offences; the slowest case took {slowest:.1f} s; most memory {peak} MiB")
    return 1 if offences else 0


if __name__ == "__main__":
    raise SystemExit(main())
