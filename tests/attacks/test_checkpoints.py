"""Checkpoints made by someone else: never code, never more memory than their size accounts for, one line."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from greed import measured
from payloads import GREEDY, Calls, changed, members_of, sealed, write, zip_of

from ganrun.checkpoints import checkpoint
from ganrun.cli.main import main
from ganrun.common.errors import CheckpointError

Refused = Callable[..., str]
SAMPLE = ["sample", "ckpt=a.pt", "n=2", "device=cpu", "out=made.png"]
COMMANDS = [
    SAMPLE,
    ["synthesize", "ckpt=a.pt", "per_class=1", "device=cpu", "out=made"],
    ["apply", "ckpt=a.pt", "input=a.png", "device=cpu", "out=made"],
    ["train", "resume=a.pt", "steps=9", "device=cpu"],
]
CGAN = ["model.generator.network.base_channels=4", "model.discriminator.network.base_channels=4"]
EVIL = [
    "os.system",
    "logging.os.system",
    "builtins.eval",
    "builtins.exec",
    "site.addsitedir",
    "numpy.load",
    "torch.load",
    "torch.hub.load",
    "torch.nn.modules.module.torch.hub.load",
    "ganrun.checkpoints.checkpoint.os.system",
    "ganrun.config.builders.torch.hub.load",
    "ganrun.data.torchvision_sets.datasets.MNIST",
    "ganrun.config.builders.nn.Module.__class__",
    "evil_plugin.Evil",
    "../../evil",
    "..",
    "",
    "ganrun.systems.gan.Nothing",
]


@pytest.fixture
def plugin(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that can be imported, and tells when it is."""
    (here.parent / "lib").mkdir()
    (here.parent / "lib/evil_plugin.py").write_text(f"open({str(here / 'canary')!r}, 'w')\nclass Evil: ...\n")
    monkeypatch.syspath_prepend(str(here.parent / "lib"))


# -- code -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: words[0])
def test_a_pickled_call_is_not_made(good: dict[str, Any], here: Path, refused: Refused, command: list[str]) -> None:
    write({**good, "more": Calls(os.system, f"touch {here / 'canary'}")}, here / "a.pt")
    assert "names 'posix system', which is no tensor" in refused(*command)


@pytest.mark.parametrize(
    "call", [(os.mkdir, "canary"), (bytearray, 8), (complex, 1, 2)], ids=lambda call: call[0].__name__
)
def test_what_torch_would_still_call_is_refused_too(
    good: dict[str, Any], here: Path, refused: Refused, call: tuple[Any, ...]
) -> None:
    write({**good, "more": Calls(*call)}, here / "a.pt")
    assert "which is no tensor" in refused(*SAMPLE)


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize("target", EVIL)
def test_a_config_names_classes_of_ours_only(good: dict[str, Any], here: Path, refused: Refused, target: str) -> None:
    node = {"_target_": target, "command": f"touch {here / 'canary'}"}
    write(changed(good, "config.model", node), here / "a.pt")
    assert "model" in refused(*SAMPLE)
    assert not (here / "canary").exists()


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize("target", ["os.system", "ganrun.checkpoints.checkpoint.os.system", "evil_plugin.Evil"])
@pytest.mark.parametrize("place", ["discriminator", "latent", "generator.widths", "generator._args_"])
def test_nor_deeper_inside(good: dict[str, Any], here: Path, refused: Refused, place: str, target: str) -> None:
    node: Any = {"_target_": target, "command": f"touch {here / 'canary'}"}
    write(changed(good, f"config.model.{place}", [node, node] if "generator." in place else node), here / "a.pt")
    refused(*SAMPLE)
    assert not (here / "canary").exists()


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize("place", ["dataset", "loss", "hooks.x", "optimizer", "optimizer.schedule"])
@pytest.mark.parametrize("target", ["os.system", "ganrun.checkpoints.checkpoint.os.system", "evil_plugin.Evil"])
def test_nor_beside_the_model_of_a_run_that_is_resumed(
    good: dict[str, Any], here: Path, refused: Refused, place: str, target: str
) -> None:
    write(changed(good, f"config.{place}", {"_target_": target, "command": "touch canary"}), here / "a.pt")
    refused("train", "resume=a.pt", "steps=9")
    assert not (here / "canary").exists()


def test_a_place_without_a_type_takes_no_class_that_opens_or_downloads(
    good: dict[str, Any], here: Path, refused: Refused
) -> None:
    node = {"_target_": "ganrun.data.sources.Archive", "root": str(here / "a.pt")}
    model = {"_target_": "torch.nn.Softmax", "dim": node}  # torch's own parameters say little of what they take
    write(changed(good, "config.model.generator", model), here / "a.pt")
    assert "Archive is not a Module" in refused(*SAMPLE)


@pytest.mark.usefixtures("plugin")
def test_a_users_package_is_imported_only_when_the_user_trusts_it(
    good: dict[str, Any], here: Path, refused: Refused
) -> None:
    write(changed(good, "config.model.generator", {"_target_": "evil_plugin.Evil"}), here / "a.pt")
    assert "trust=evil_plugin" in refused(*SAMPLE)
    assert not (here / "canary").exists()
    main([*SAMPLE, "trust=evil_plugin"])
    assert (here / "canary").exists(), "the test would notice"


# -- what is looked up ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: words[0])
@pytest.mark.parametrize(
    ("place", "text"),
    [("dataset.root", "${oc.env:SECRET}"), ("model.generator.leak", "${oc.decode:1}"), ("out", "x${run_folder:a,b,c}")],
)
def test_an_interpolation_is_refused_and_never_looked_up(
    good: dict[str, Any],
    here: Path,
    refused: Refused,
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
    place: str,
    text: str,
) -> None:
    monkeypatch.setenv("SECRET", "hunter2-hunter2")
    write(changed(good, f"config.{place}", text), here / "a.pt")
    assert "is not allowed here" in refused(*command)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("config.notes", "\x1b[2J\x1b[31mgone"),
        ("config.notes", "two\nlines"),
        ("config.notes", "x" * 5000),
        ("config.notes", {1: 2}),
        ("config.notes", {"a\nb": 2}),
        ("config.notes", torch.zeros(3)),
        ("data", []),
        ("data.class_names", "abc"),
        ("data.class_names", [1, 2]),
        ("progress.step", "../../evil"),
        ("progress.step", True),
        ("format_version", "1"),
        ("config.model", None),
        ("config.model", [1]),
        ("average", {}),
        ("system", {}),
        ("system", {"../../evil": torch.zeros(1)}),
        ("system", {"\x1b[2J": "text"}),
    ],
    ids=lambda value: str(value)[:20] if isinstance(value, str) and value.isprintable() else "value",
)
def test_what_no_run_of_ours_writes_is_refused(
    good: dict[str, Any], here: Path, refused: Refused, place: str, value: Any
) -> None:
    write(changed(good, place, value), here / "a.pt")
    refused(*SAMPLE)


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("optimizers", {}, "it holds no optimizers"),
        ("optimizers.generator", {"state": {}}, "not what torch saves"),
        ("optimizers.generator.state", {0: {"step": "x"}}, "text where they keep numbers"),
        ("meter", {"x": 1}, "its meter"),
        ("progress.seconds", "x", "told in numbers"),
        ("progress.step", -5, "counted in whole numbers"),
        ("config.batch_size", "x", "batch_size=x must be"),
        ("config.log", {}, "holds no log.every"),
        ("config.hooks", [], "hooks=[] must be"),
        ("config.threads", 5000, "threads is a number beyond 1024"),
        ("config.device", "../../evil", "device=../../evil must be auto | cpu | cuda | cuda:1 | mps"),
        ("config", {}, "seed is no whole number"),
        ("system", {}, "do not fit its own config"),
        ("average", {}, "do not fit its own config"),
    ],
)
def test_what_a_run_cannot_go_on_from_is_said_before_it_does(
    good: dict[str, Any], here: Path, refused: Refused, place: str, value: Any, said: str
) -> None:
    write(changed(good, place, value), here / "a.pt")
    assert said in refused("train", "resume=a.pt", "steps=9")


def test_class_names_lead_nowhere_and_paint_nothing(good_run: Path, here: Path, tmp_path: Path) -> None:
    assert main(["train", "model=cgan", "dataset.limit=20", "batch_size=4", "grids.count=10", "device=cpu", "steps=1",
                 *CGAN, "out=run"]) == 0  # fmt: skip
    state = checkpoint.load(here / "run/checkpoints/last.pt")
    names = ["../../evil", "/evil", "..", "a\nb", "\x1b[2J", "", ".", "con", "a/b\\c", "é"]
    write({**state, "data": {"class_names": names}}, here / "a.pt")
    before = set(tmp_path.rglob("*"))
    assert main(["synthesize", "ckpt=a.pt", "per_class=1", "device=cpu", "out=made"]) == 0
    made = set(tmp_path.rglob("*")) - before
    assert all(path.is_relative_to(here / "made") or path == here / "made" for path in made)
    assert sum(path.suffix == ".png" for path in made) == 10
    assert all(str(path).isprintable() for path in made)
    assert "\x1b" not in (here / "made/manifest.csv").read_text() + (here / "made/manifest.json").read_text()

    write({**state, "data": {"class_names": names[:3]}}, here / "b.pt")
    assert main(["synthesize", "ckpt=b.pt", "per_class=1", "device=cpu", "out=numbers"]) == 0
    assert (here / "numbers/7/000000.png").exists(), "three names are not the names of ten classes"


def test_a_resumed_run_fetches_nothing_and_starts_no_cache_elsewhere(
    good: dict[str, Any], here: Path, tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision import datasets

    def fetched(*args: object, **options: object) -> None:
        assert not options.get("download"), "it would be fetched"
        raise RuntimeError("not there")

    mnist = {"_target_": "ganrun.data.torchvision_sets.MNIST", "root": str(tmp_path / "evil"), "download": True}
    monkeypatch.setattr("ganrun.data.torchvision_sets.MNIST.source", fetched)
    assert datasets.MNIST is not fetched
    write(changed(good, "config.dataset", mnist), here / "a.pt")
    assert "missing or damaged" in refused("train", "resume=a.pt", "steps=9")

    from PIL import Image

    (here / "pictures").mkdir()
    for number in range(4):
        Image.new("L", (28, 28), number).save(here / f"pictures/{number}.png")
    folder = {"_target_": "ganrun.data.folder.Folder", "root": str(here / "pictures"), "image_size": 28, "channels": 1}
    write(changed(good, "config.dataset", {**folder, "cache": str(tmp_path / "evil")}), here / "a.pt")
    main(["train", "resume=a.pt", "steps=2", "device=cpu"])
    assert not (tmp_path / "evil").exists()


# -- memory and time ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def takings(good_run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """How every greedy file ended in a process of its own, in the order of the list."""
    folder = tmp_path_factory.mktemp("greedy")
    good = checkpoint.load(good_run / "checkpoints/last.pt")
    commands = {}
    for number, (name, (place, make, _)) in enumerate(GREEDY.items()):
        write(changed(good, place, make()), folder / f"{number}.pt")
        resumes = place.startswith(("config.dataset", "config.grids", "config.loss"))
        commands[name] = (
            ["train", f"resume={number}.pt", "steps=9", "device=cpu"]
            if resumes
            else ["sample", f"ckpt={number}.pt", "n=2", "device=cpu", f"out={number}.png"]
        )
    return measured(commands, folder)


@pytest.mark.parametrize("name", GREEDY)
def test_a_greedy_file_gets_one_line_and_no_memory(takings: dict[str, dict[str, Any]], name: str) -> None:
    found, expected = takings[name], GREEDY[name][2]
    assert found["code"] == 2, found
    assert len(found["said"].splitlines()) == 1, found
    assert expected in found["said"], found
    assert found["MiB"] < 500, found


def test_190_kilobytes_do_not_unfold_to_190_megabytes(good: dict[str, Any], here: Path, refused: Refused) -> None:
    members = members_of(write({**good, "zeros": torch.zeros(50_000_000)}, here / "big.pt"))
    (here / "a.pt").write_bytes(sealed(zip_of(members, zipfile.ZIP_DEFLATED)))
    assert (here / "a.pt").stat().st_size < 2**20
    (here / "big.pt").unlink()
    assert "compressed" in refused(*SAMPLE)


def test_two_lists_of_content_are_one_too_many(good: dict[str, Any], here: Path, refused: Refused) -> None:
    """Of two members with one name, or with names that differ in case, two readers may take different ones."""
    members = members_of(write(good, here / "a.pt"))
    pickle = next(name for name in members if name.endswith("data.pkl"))
    for twin in (pickle.upper(), f"{Path(pickle).parent}/constants.pkl"):
        (here / "a.pt").write_bytes(sealed(zip_of({**members, twin: members[pickle]})))
        assert "one list of its content" in refused(*SAMPLE)


def test_a_file_swapped_between_check_and_load_changes_nothing(
    good: dict[str, Any], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(good, here / "good.pt")
    write(Calls(os.mkdir, str(here / "canary")), here / "evil.pt")
    (here / "a.pt").symlink_to(here / "good.pt")
    real = hashlib.sha256

    def swapping(data: bytes) -> Any:
        (here / "a.pt").unlink(missing_ok=True)
        (here / "a.pt").symlink_to(here / "evil.pt")
        return real(data)

    monkeypatch.setattr(checkpoint.hashlib, "sha256", swapping)
    assert checkpoint.load(here / "a.pt")["progress"] == good["progress"]
    with pytest.raises(CheckpointError):
        checkpoint.load(here / "a.pt")
    assert not (here / "canary").exists()


def test_torch_is_asked_for_weights_only_whatever_the_environment_says(
    good: dict[str, Any], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second lock, tried alone: `TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD` must not open it."""
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    monkeypatch.setattr(checkpoint, "check_container", lambda data: None)
    write({**good, "more": Calls(os.mkdir, str(here / "canary"))}, here / "a.pt")
    with pytest.raises(CheckpointError):
        checkpoint.load(here / "a.pt")
    assert not (here / "canary").exists()


def test_a_file_of_a_hundred_megabytes_that_is_no_checkpoint_is_said_at_once(here: Path, refused: Refused) -> None:
    (here / "a.pt").write_bytes(bytes(100 * 10**6))
    assert "not a checkpoint" in refused(*SAMPLE)


def test_an_honest_checkpoint_still_opens(good: dict[str, Any], here: Path) -> None:
    write(good, here / "a.pt")
    assert main(SAMPLE) == 0
    assert (here / "made.png").read_bytes().startswith(b"\x89PNG")
