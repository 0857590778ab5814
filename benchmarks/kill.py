"""Kill: one run, killed at random moments and restarted by the same command, beside one that nobody disturbed.

python benchmarks/kill.py OUT [--kills 50] [--seed 0] [--steps 1500]

SIGKILL comes at random steps, while a checkpoint or a grid is being written, at random moments of the start, when
Hydra has just written its files, and right after the last checkpoint. Prints a table, writes OUT/kill.json, and exits
1 where anything differs. Needs POSIX.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ganrun.checkpoints import checkpoint
from ganrun.common.errors import CheckpointError

WORDS = "model=mlp model.generator.widths=[16] model.discriminator.widths=[16] dataset=digits device=cpu"
OFTEN = "threads=1 precision=fp32 checkpoint.every=20 grids.every=50 grids.count=16 log.every=10 resume=auto"
NEVER_THE_SAME = {"run/images_per_second", "run/memory_MiB"}
KINDS = {"a random step": 18, "checkpoint write": 12, "grid write": 8, "start": 7, "Hydra's files": 4, "the end": 1}
LONGEST = 300  # seconds that a session may take


def command(folder: Path, steps: int) -> list[str]:
    return [sys.executable, "-m", "ganrun", "train", *WORDS.split(), *OFTEN.split(), f"steps={steps}", f"out={folder}"]


def planned(kills: int, steps: int, rng: random.Random) -> list[tuple[str, int]]:
    """(kind, step from which on it may strike), so that every session but those killed in their start gets further."""
    share = kills / sum(KINDS.values())
    kinds = [kind for kind, count in KINDS.items() if kind != "the end" for _ in range(round(count * share))]
    rng.shuffle(kinds)
    first = ["Hydra's files", "start", "a random step"]  # before there is a checkpoint
    kinds = [*first, *kinds][: kills - 1]
    moments = sorted(rng.randrange(1, steps - 200) for _ in kinds)
    moments[: len(first)] = [1] * len(first)
    return [*zip(kinds, moments, strict=True), ("the end", steps)]


def striker(kind: str, moment: int, folder: Path, rng: random.Random) -> Callable[[], bool]:
    """Says when to strike."""
    begun, delay = time.monotonic(), rng.uniform(0, 7)
    hydra, marked = folder / ".hydra/config.yaml", time.time()
    places = {"checkpoint write": folder / "checkpoints", "grid write": folder / "grids"}
    if kind == "start":
        return lambda: time.monotonic() - begun > delay
    if kind == "Hydra's files":
        return lambda: hydra.exists() and hydra.stat().st_mtime > marked
    if kind == "the end":
        return lambda: (folder / f"checkpoints/step_{moment:06d}.pt").exists()
    if kind == "a random step":
        return lambda: step_of(folder, marked) >= moment and not time.sleep(rng.uniform(0, 0.08))
    late = moment + 80  # a busy machine may look away for as long as a write takes

    def strike() -> bool:
        seen = any(places[kind].glob(".*.part"))
        return step_of(folder, marked) >= (moment if seen else late)

    return strike


def step_of(folder: Path, since: float) -> int:
    """The step that status.json has told since then; -1 before."""
    try:
        path = folder / "status.json"
        return int(json.loads(path.read_text())["step"]) if path.stat().st_mtime > since else -1
    except (OSError, ValueError):
        return -1


def session(words: list[str], strike: Callable[[], bool] | None) -> tuple[bool, int, str]:
    """(killed?, exit code, stderr) of one start of the command."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline, killed = time.monotonic() + LONGEST, False
    while strike and process.poll() is None and time.monotonic() < deadline:
        if strike():
            process.kill()
            killed = process.wait() < 0
            break
        time.sleep(0.0003)
    _, error = process.communicate(timeout=LONGEST)
    return killed, process.returncode, error


def unreadable(folder: Path) -> list[str]:
    wrong = []
    for path in folder.glob("checkpoints/*.pt"):
        try:
            checkpoint.load(path)
        except CheckpointError as error:
            wrong.append(str(error))
    return wrong


def curves(folder: Path) -> dict[str, list[tuple[int, Any]]]:
    """Tag -> the (step, value) that TensorBoard shows; of pictures the bytes."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    tags = events.Tags()
    shown = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in set(tags["scalars"]) - NEVER_THE_SAME}
    return shown | {tag: [(e.step, e.encoded_image_string) for e in events.Images(tag)] for tag in tags["images"]}


def same(a: Any, b: Any) -> bool:
    """Bit for bit."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    return bool(a == b)


def compare(whole: Path, killed: Path) -> dict[str, bool]:
    last, metrics, grids = "checkpoints/last.pt", "metrics.jsonl", sorted(p.name for p in whole.glob("grids/*"))
    a, b = (curves(folder) for folder in (whole, killed))
    return {
        "last.pt, byte for byte": (whole / last).read_bytes() == (killed / last).read_bytes(),
        "last.pt, every tensor": same(checkpoint.load(whole / last), checkpoint.load(killed / last)),
        "the kept checkpoints": names(whole / "checkpoints") == names(killed / "checkpoints"),
        "metrics.jsonl, byte for byte": (whole / metrics).read_bytes() == (killed / metrics).read_bytes(),
        f"{len(grids)} grids, byte for byte": grids == sorted(p.name for p in killed.glob("grids/*"))
        and all((whole / "grids" / name).read_bytes() == (killed / "grids" / name).read_bytes() for name in grids),
        f"{len(a)} curves, {sum(map(len, a.values()))} points": a == b and bool(a),
        "status.json": (whole / "status.json").read_text() == (killed / "status.json").read_text(),
        "no *.part left": not [*killed.rglob("*.part")],
        "no other file": {n for n in names(killed) if "tfevents" not in n}
        == {n for n in names(whole) if "tfe" not in n},
    }


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=1500)
    args = parser.parse_args()
    args.out.mkdir(parents=True)
    begun = time.monotonic()
    session(command(args.out / "whole", args.steps), None)
    alone = time.monotonic() - begun
    report = disturb(args.out / "killed", args.kills, args.steps, random.Random(args.seed))
    report["equal"] = compare(args.out / "whole", args.out / "killed")
    report["seconds"] = {"whole": round(alone, 1), "all": round(time.monotonic() - begun, 1)}
    (args.out / "kill.json").write_text(json.dumps(report, indent=2) + "\n")
    print(f"{'killed in':<20}{'kills':>6}{'a .part was there':>20}")
    for kind, count in report["kills"].items():
        print(f"{kind:<20}{count:>6}{report['caught'].get(kind, 0):>20}")
    print(f"{sum(report['kills'].values())} kills, {report['read']} checkpoints read after them, ", end="")
    print(f"{len(report['unreadable'])} unreadable, {len(report['failed'])} sessions failed; {report['seconds']} s")
    for what, equal in report["equal"].items():
        print(f"{what:<34}{'equal' if equal else 'DIFFERENT'}")
    print(*report["unreadable"], *report["failed"], sep="\n")
    return 0 if all(report["equal"].values()) and not report["unreadable"] and not report["failed"] else 1


def disturb(folder: Path, kills: int, steps: int, rng: random.Random) -> dict[str, Any]:
    """Kill and restart until the plan is done, then let it end."""
    report: dict[str, Any] = {"kills": {}, "caught": {}, "read": 0, "unreadable": [], "failed": []}
    for kind, moment in planned(kills, steps, rng):
        killed, code, error = session(command(folder, steps), striker(kind, moment, folder, rng))
        if not killed:
            report["failed"].append(f"{kind} at {moment}: ended by itself with {code}: {error[-300:]}")
            if len(report["failed"]) > 3:
                break
            continue
        report["kills"][kind] = report["kills"].get(kind, 0) + 1
        report["caught"][kind] = report["caught"].get(kind, 0) + bool([*folder.rglob("*.part")])
        report["read"] += len([*folder.glob("checkpoints/*.pt")])
        report["unreadable"] += unreadable(folder)
        print(f"{kind} at {moment}: killed", file=sys.stderr, flush=True)
    killed, code, error = session(command(folder, steps), None)
    if code:
        report["failed"].append(f"the last session ended with {code}: {error[-300:]}")
    return report


if __name__ == "__main__":
    raise SystemExit(main())
