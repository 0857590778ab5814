"""Formats the figures of `ganrun bench` as a table."""

from __future__ import annotations

from typing import Any

from ganrun.common.plurals import plural


def table(measured: dict[str, Any]) -> str:
    """The figures of one run: medians over the rounds, with [smallest .. largest]."""
    channels, height, width = measured["images"]
    networks = ", ".join(f"{name} {count:,}" for name, count in measured["parameters"].items())
    threads = f"{measured['threads']} {plural('thread', measured['threads'])}"
    return "\n".join(
        [
            f"device      {measured['device']}; {threads}, {measured['precision']}; "
            f"torch {measured['versions']['torch']}",
            *(f"measured    {reason}" for reason in measured["measured"].values()),
            f"run         batch {measured['batch_size']} of {height}×{width}×{channels}; {networks}",
            "",
            *speeds(measured),
            "",
            *anatomy(measured),
        ]
    )


def speeds(measured: dict[str, Any]) -> list[str]:
    loops = [name for name in ("ganrun", "naive") if name in measured["loops"]]
    rows = {"images/s": "images_per_second", "ms/step": "ms_per_step", "CPU ms/step": "cpu_ms_per_step"}
    lines = ["            " + "".join(f"{name:<28}" for name in loops).rstrip()]
    for title, key in rows.items():
        cells = [with_range(measured["loops"][name][key]) for name in loops]
        lines.append(f"{title:<12}" + "".join(f"{cell:<28}" for cell in cells).rstrip())
    if "ratio" in measured:
        ratios = f"{with_range(measured['ratio'])}, CPU {with_range(measured['ratio_cpu'])}"
        lines.append(f"ratio       {ratios} × the naive loop ({measured['workers']} workers), paired round by round")
    return lines


def anatomy(measured: dict[str, Any]) -> list[str]:
    """Where the time of a step goes, and the memory."""
    apart, busy = dict(measured["apart"]), measured["device_busy"]
    step = apart.pop("step")
    width = max(map(len, apart))
    parts = [f"  {name:<{width}}  {ms:>9.3f} ms  {ms / step:6.1%}" for name, ms in apart.items()]
    where = "the whole process" if busy is None else "on the GPU"
    host = "n/a: no GPU" if busy is None else f"the GPU is idle {1 - busy:.1%} of the time"
    return [
        f"one step    {step:.3f} ms, each part measured separately",
        *parts,
        f"frame       hooks, meter, average, seeds: {share(measured['frame'])}; CPU {share(measured['frame_cpu'])}",
        f"host gaps   {host}",
        f"memory      {measured['peak_memory_MiB']:,.0f} MiB peak, {where}",
    ]


def with_range(spread: dict[str, float]) -> str:
    """Median [smallest .. largest], with three digits or more: 1,234 [1,200 .. 1,300]."""
    digits = 0 if spread["median"] >= 1000 else 1 if spread["median"] >= 100 else 2
    return f"{spread['median']:,.{digits}f} [{spread['min']:,.{digits}f} .. {spread['max']:,.{digits}f}]"


def share(spread: dict[str, float]) -> str:
    return f"{spread['median']:.1%} [{spread['min']:.1%} .. {spread['max']:.1%}]"
