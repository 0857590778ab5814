"""What the benches of method × seeds share: their words, what a run costs, and a table with intervals."""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from ganrun.evaluation.metrics.intervals import interval


def arguments(about: str | None, methods: Iterable[str], more: Collection[str] = ()) -> argparse.ArgumentParser:
    """OUT, words for all runs, --methods and --seeds. `more` are methods that are not played unless they are named."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", help="the folder of all runs")
    parser.add_argument("words", nargs="*", help="further words of ganrun train, for all runs")
    known = {*methods, *more}

    def some(text: str) -> list[str]:
        if unknown := set(text.split(",")) - known:
            raise argparse.ArgumentTypeError(f"{','.join(sorted(unknown))}: choose from {', '.join(sorted(known))}")
        return text.split(",")

    told = "some of %(default)s" + "".join(f", {name}" for name in more)
    parser.add_argument("--methods", type=some, default=",".join(methods), help=told)
    parser.add_argument("--seeds", default="0,1,2", type=lambda text: text.split(","))
    return parser


def is_done(run: Path, asked: dict[str, Any]) -> bool:
    """Whether the run has its result already. Stops where it was made by another wish."""
    done = run / "bench.json"
    if not done.exists():
        return False
    if (before := json.loads(done.read_text(encoding="utf-8"))["asked"]) != asked:
        raise SystemExit(f"{run} was made with {before}, and {asked} is asked for: choose another OUT")
    return True


def keep(run: Path, **result: Any) -> None:
    (run / "bench.json").write_text(json.dumps(result), encoding="utf-8")


def results(out: Path, pattern: str) -> list[dict[str, Any]]:
    """What `keep` wrote for the runs OUT/<pattern>, in the order of their names."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(out.glob(f"{pattern}/bench.json"))]


def cost(*words: str) -> float:
    """Runs ganrun in a process of its own and returns its CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "ganrun", *words], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def scores_in(path: Path, which: str = "value") -> dict[str, float | None]:
    """{score: value} of the first result that `ganrun eval out=` wrote; which: value, or reference."""
    found = json.loads(path.read_text(encoding="utf-8"))["results"][0]["scores"]
    return {score["score"]: score.get(which) for score in found}


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of markdown."""
    lines = [f"| {' | '.join(map(str, row))} |" for row in (heads, ["---"] * len(heads), *rows)]
    return "\n".join([*lines, ""])


def cells(runs: Sequence[dict[str, Any]], scores: Iterable[str], which: str = "values") -> list[str]:
    """Each score over these runs, as `shown`."""
    return [shown([value for run in runs if (value := run[which].get(score)) is not None]) for score in scores]


def shown(values: Sequence[float]) -> str:
    """[6, 7] -> 6.5 ± 6.4: the mean and half of its 95 % interval; one value alone has none."""
    if not values:
        return "–"
    mean, half = interval(values)
    return f"{mean:.3g}" if half is None else f"{mean:.3g} ± {half:.2g}"
