"""The walks of docs/architecture.md lead to lines where the code is."""

from __future__ import annotations

import importlib.util

from tests.test_house import MAY_IMPORT, PACKAGE

ROOT = PACKAGE.parent
spec = importlib.util.spec_from_file_location("walks", ROOT / "benchmarks" / "walks.py")
assert spec is not None
assert spec.loader is not None
walks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(walks)


def test_the_page_shows_the_walks_as_the_code_is_now() -> None:
    page = walks.PAGE.read_text(encoding="utf-8")
    assert page == walks.with_walks(page), "run python benchmarks/walks.py --write"


def test_a_walk_has_at_most_eight_stops_and_each_is_where_the_page_says() -> None:
    assert len(walks.WALKS) == 3
    for stops in walks.WALKS.values():
        assert len(stops) <= 8
        for stop in stops:
            if stop.name:
                line = (ROOT / walks.path_of(stop)).read_text(encoding="utf-8").splitlines()[walks.line_of(stop) - 1]
                assert stop.name.split(".")[-1] in line


def test_the_page_names_every_folder_in_the_order_of_imports() -> None:
    page = walks.PAGE.read_text(encoding="utf-8")
    places = [page.index(f"| `{folder}/` |") for folder in MAY_IMPORT]
    assert places == sorted(places)
