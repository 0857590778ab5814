"""Labels from a file beside the pictures."""

import json
import logging

import pytest
import torch

from ganrun.data.folder import Folder
from ganrun.data.labels import in_order
from ganrun.data.listing import find_facts, list_images


def write(path, *rows):
    path.write_text("\n".join(rows))
    return str(path)


def classes(listing):
    named = zip(listing.pictures, listing.labels, strict=True)
    return {picture.name: listing.class_names[label] for picture, label in named}


def test_a_row_names_a_picture_by_its_path_or_its_file_name(tree, tmp_path):
    file = write(tmp_path / "labels.csv", "2.png,cat", "a\\0.png,dog", './b/1.png, "big, cat"')
    listing = list_images(tree("a/0.png", "b/1.png", "c/2.png"), labels=file)
    assert classes(listing) == {"a/0.png": "dog", "b/1.png": "big, cat", "c/2.png": "cat"}
    assert listing.notes == []


def test_a_header_is_known_by_naming_no_picture(tree, tmp_path):
    root = tree("0.png", "1.png")
    with_header = write(tmp_path / "a.csv", "\ufefffile,class,who", "", '0.png,"cat, big",me', "1.png,dog")
    listing = list_images(root, labels=with_header)
    assert classes(listing) == {"0.png": "cat, big", "1.png": "dog"}
    assert listing.notes == []
    assert classes(list_images(root, labels=write(tmp_path / "b.csv", "\ufeff1.png,dog", "0.png,cat"))).keys() == {
        "0.png",
        "1.png",
    }


def test_numbers_are_sorted_as_numbers_and_words_as_words():
    assert in_order(["10", "9", "-1", "9"]) == ["-1", "9", "10"]
    assert in_order(["10", "9", "b"]) == ["10", "9", "b"]


def test_the_file_may_lie_inside_the_root_or_its_zip(tree, zipped):
    root = tree("0.png", "1.png")
    write(root / "labels.csv", "0.png,7", "1.png,3")
    for place in (root, zipped(root)):
        listing = list_images(place, labels="labels.csv")
        assert classes(listing) == {"0.png": "7", "1.png": "3"}
        assert find_facts(str(place), labels="labels.csv")["classes"] == 2
        assert find_facts(str(place))["classes"] == 0


def test_the_file_of_stylegans_data_sets_is_read(tree):
    root = tree("00000/img0.png", "00000/img1.png")
    (root / "dataset.json").write_text(json.dumps({"labels": [["00000/img0.png", 3], ["00000/img1.png", 10]]}))
    assert list_images(root, labels="dataset.json").class_names == ["3", "10"]
    assert list_images(root, labels="dataset.json").labels == [0, 1]


def test_who_has_no_partner_is_left_out_with_one_note_each(tree, tmp_path):
    file = write(tmp_path / "labels.csv", "name,class", "1.png,cat", "gone.png,dog", "lost.png,eel")
    listing = list_images(tree("0.png", "1.png", "2.png"), labels=file)
    assert classes(listing) == {"1.png": "cat"}
    assert len(listing.notes) == 2
    assert listing.notes[0].startswith("2 of 3 images have no row in ")
    assert "2 of 4 rows of " in listing.notes[1]
    assert "'gone.png'" in listing.notes[1]


def test_the_split_still_applies(tree, tmp_path):
    file = write(tmp_path / "labels.csv", "train/0.png,cat", "test/0.png,dog")
    listing = list_images(tree("train/0.png", "test/0.png"), "test", labels=file)
    assert classes(listing) == {"test/0.png": "dog"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["0.png,cat", "b/1.png,dog"], r"'0\.png' may be 'a/0\.png' and 'b/0\.png': give its path"),
        (["a/0.png,cat", "a/0.png,dog"], r"'a/0\.png' has two classes, 'cat' and 'dog'"),
        (["a/0.png"], r"row 1 needs an image's name, a comma and its class, not 'a/0\.png'"),
        (["a/0.png,cat", "b/1.png,"], r"row 2 needs an image's name"),
        (["x.png,cat", "y.png,cat"], r"no row names an image of .*: the rows name 'y\.png', the images 'a/0\.png'"),
        ([], r"the rows name 'nothing', the images 'a/0\.png'"),
        (['"a/0.png,cat'], r"unexpected end of data"),
    ],
)
def test_what_a_file_cannot_mean_is_refused_in_one_line(tree, tmp_path, rows, message):
    root = tree("a/0.png", "b/0.png", "b/1.png")
    with pytest.raises(ValueError, match=r"^dataset\.labels=\S*labels\.csv: [^\n]*" + message):
        list_images(root, labels=write(tmp_path / "labels.csv", *rows))


@pytest.mark.parametrize("content", ["{", "[]", '{"labels": null}', '{"labels": [["0.png", [0, 1]]]}'])
def test_another_json_is_refused(tree, tmp_path, content):
    with pytest.raises(ValueError, match=r"^dataset\.labels=\S*dataset\.json: "):
        list_images(tree("0.png"), labels=write(tmp_path / "dataset.json", content))


def test_a_missing_file_and_a_contradiction_are_named(tree):
    with pytest.raises(FileNotFoundError, match=r"dataset\.labels=none\.csv: there is no such file"):
        list_images(tree("0.png"), labels="none.csv")
    with pytest.raises(ValueError, match=r"dataset\.labels=x\.csv and dataset\.labelled=false contradict"):
        list_images(tree("0.png"), labelled=False, labels="x.csv")


def test_a_cache_holds_the_right_pictures_whatever_their_labels(tree, tmp_path, caplog):
    root, place = tree("0.png", "1.png", "2.png"), str(tmp_path / "cache")
    plain = Folder(str(root), cache=place)
    one = Folder(str(root), labels=write(tmp_path / "a.csv", "0.png,x", "1.png,y", "2.png,x"), cache=place)
    with caplog.at_level(logging.WARNING):
        few = Folder(str(root), labels=write(tmp_path / "b.csv", "2.png,x", "0.png,y"), cache=place)
    assert torch.equal(one.images, plain.images)
    assert (one.labels.tolist(), one.classes) == ([0, 1, 0], 2)
    assert torch.equal(few.images, plain.images[[0, 2]])
    assert few.labels.tolist() == [1, 0]
    assert caplog.messages == ["1 of 3 images have no row in " + str(tmp_path / "b.csv") + " and are left out: '1.png'"]
