"""Disks: what a run does where its disk is full, cannot be written, or loses the run's folder.

python benchmarks/disks.py OUT [--steps 400] [--sizes 8]    (as root on Linux: it mounts small file systems in OUT)

Full: a tmpfs that is too small, in several sizes, so that another writer meets its end each time; then room is made
and the run goes on. Prints a table, writes OUT/disks.json, and exits 1 where something was lost.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from kill import WORDS, compare, unreadable

OFTEN = "checkpoint.every=20 grids.every=50 grids.count=16 log.every=10"
CHOSEN = ("last.pt, byte for byte", "metrics.jsonl, byte for byte", "byte for byte", "status.json", "no *.part left")


def ganrun(*words: str) -> tuple[int, list[str]]:
    """(exit code, lines on stderr)."""
    done = subprocess.run([sys.executable, "-m", "ganrun", *words], capture_output=True, text=True, timeout=300)
    return done.returncode, done.stderr.splitlines()


def training(folder: Path, steps: int) -> list[str]:
    return ["train", *WORDS.split(), *OFTEN.split(), f"steps={steps}", f"out={folder}"]


@contextlib.contextmanager
def mounted(place: Path, size: str) -> Iterator[Path]:
    place.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """A bind mount: root's rights do not help there."""
    for words in (["--bind", str(folder), str(folder)], ["-o", "remount,ro,bind", str(folder)]):
        subprocess.run(["mount", *words], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def one_line(code: int, lines: list[str], wanted: int) -> bool:
    return code == wanted and len(lines) == 1 and lines[0].startswith("ganrun: ")


def full(whole: Path, place: Path, kilobytes: int, steps: int) -> dict[str, Any]:
    """A run on a disk of so many KiB, looked at when it has ended, and continued with more."""
    with mounted(place, f"{kilobytes}k") as disk:
        run = disk / "run"
        code, lines = ganrun(*training(run, steps))
        kept = [*run.glob("checkpoints/*.pt")]
        result = {
            "KiB": kilobytes,
            "code": code,
            "lines": lines,
            "one line": one_line(code, lines, 1),
            "checkpoints whole": bool(kept) and not unreadable(run),
            "metrics kept": is_start_of(run / "metrics.jsonl", whole / "metrics.jsonl"),
            "grids whole": all(
                p.read_bytes() == (whole / "grids" / p.name).read_bytes() for p in run.glob("grids/*.png")
            ),
            "config kept": len((run / ".hydra/config.yaml").read_text().splitlines()) > 50,
        }
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        code, lines = ganrun("train", f"resume={run}")
        same = compare(whole, run)
        equal = {name: value for name, value in same.items() if name.endswith(CHOSEN)}
        differ = [name for name, value in equal.items() if not value]
        return result | {"goes on": code == 0, "curves whole": next(v for n, v in same.items() if "curves" in n)} | {
            "ends equal": not differ, "differ": differ, "resume said": lines,
        }  # fmt: skip


def is_start_of(path: Path, whole: Path) -> bool:
    """Every whole line is the undisturbed run's; the last one may be torn."""
    return whole.read_bytes().startswith(path.read_bytes())


def sampled(run: Path, place: Path) -> dict[str, Any]:
    """Samples on a full disk: each kind beside an older one of the same name, which must stay."""
    results: dict[str, Any] = {}
    with mounted(place, "400k") as disk:
        before = {}
        for name in ("x.png", "x.npz"):
            ganrun("sample", f"ckpt={run}", "n=2", f"out={disk / name}")
            before[name] = (disk / name).read_bytes()
        room = shutil.disk_usage(disk).free
        (disk / "ballast").write_bytes(bytes(max(0, room - 8192)))
        for name, count in (("x.png", 400), ("x.npz", 400), ("folder", 400)):
            code, lines = ganrun("sample", f"ckpt={run}", f"n={count}", f"out={disk / name}", "overwrite=true")
            old = name not in before or (disk / name).read_bytes() == before[name]
            left = [path.name for path in disk.rglob("*.part")]
            results[name] = {"code": code, "lines": lines, "one line": one_line(code, lines, 2), "old kept": old}
            results[name]["nothing torn"] = not left and all(map(opens, disk.glob("*.npz")))
    return results


def opens(path: Path) -> bool:
    with contextlib.suppress(Exception):
        return len(np.load(path)["images"]) > 0
    return False


def unwritable(run: Path, place: Path, steps: int) -> dict[str, Any]:
    shutil.copytree(run, place / "run")
    shutil.copytree(run, place / "unfinished")
    with read_only(place):
        cases = {
            "train out=": (["train", *training(place / "new", steps)[1:]], 2),
            "train resume=": (["train", f"resume={place / 'run'}", f"steps={2 * steps}"], 2),
            "sample": (["sample", f"ckpt={place / 'run'}", "n=2"], 2),
        }
        results = {}
        for name, (words, wanted) in cases.items():
            code, lines = ganrun(*words)
            results[name] = {"code": code, "lines": lines, "one line": one_line(code, lines, wanted)}
        code, lines = ganrun("sample", f"ckpt={place / 'run'}", "n=2", f"out={place.parent / 'elsewhere.png'}")
        results["sample out=elsewhere"] = {"code": code, "lines": lines, "one line": code == 0 and not lines}
    return results


def removed(place: Path, after: float) -> dict[str, Any]:
    """The run's folder goes away while it runs."""
    words = [sys.executable, "-m", "ganrun", *training(place, 100_000)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while not (place / "checkpoints/last.pt").exists() and process.poll() is None:
        time.sleep(0.01)
    time.sleep(after)
    place.rename(place.with_name(f"{place.name}-away"))  # at once, as no rmtree is
    try:
        _, error = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        _, error = process.communicate()
    lines = error.splitlines()
    named = one_line(process.returncode, lines, 1) and str(place) in lines[0]
    return {"code": process.returncode, "lines": lines, "one line": named, "stays away": not place.exists()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--sizes", type=int, default=8)
    args = parser.parse_args()
    out = args.out.absolute()
    out.mkdir(parents=True)
    whole = out / "whole"
    assert ganrun(*training(whole, args.steps))[0] == 0
    needed = sum(path.stat().st_blocks for path in whole.rglob("*")) // 2
    report: dict[str, dict[str, Any]] = {}
    for number in range(args.sizes):
        kilobytes = int(needed * (0.45 + 0.5 * number / args.sizes)) // 4 * 4
        report[f"full at {kilobytes} KiB"] = full(whole, out / f"disk{number}", kilobytes, args.steps)
    report |= {f"sample {name}, full": result for name, result in sampled(whole, out / "samples").items()}
    report |= {f"read-only, {name}": result for name, result in unwritable(whole, out / "fixed", args.steps).items()}
    report |= {f"removed {after} s later": removed(out / f"removed{after}", after) for after in (0.0, 0.3, 1.0)}
    (out / "disks.json").write_text(json.dumps(report, indent=2) + "\n")
    for name, result in report.items():
        wrong = [what for what, value in result.items() if value is False and what != "curves whole"]
        print(f"{name:<28}{'LOST: ' + ', '.join(wrong) if wrong else 'fine':<40}{' | '.join(result['lines'])[:300]}")
    print(f"{sum('KiB' in r and r['curves whole'] for r in report.values())} of {args.sizes} with all their curves")
    return 1 if any(v is False for r in report.values() for what, v in r.items() if what != "curves whole") else 0


if __name__ == "__main__":
    raise SystemExit(main())
