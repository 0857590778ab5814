"""synthesis: folders that keep the labels' order."""

from __future__ import annotations

from ganrun.data.labels import folder_names


def test_sorted_names_stay_and_others_are_numbered() -> None:
    assert folder_names(["cat", "dog"]) == ["cat", "dog"]
    assert folder_names(["dog", "cat"]) == ["0_dog", "1_cat"]
    assert folder_names(["a\nb", "../../evil"]) == ["0_a_b", "1__.._evil"]
    eleven = folder_names([str(number) for number in range(11)])
    assert eleven == sorted(eleven)
