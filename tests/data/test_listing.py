"""What a folder or .zip is found to hold."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from pictures import encoded, noise
from PIL import Image

from ganrun.common.headers import Header
from ganrun.data.listing import find_facts, list_images, size_of


def names(listing):
    return [picture.name for picture in listing.pictures]


def test_sub_folders_are_classes_in_the_order_of_their_names(tree):
    listing = list_images(tree("dog/0.png", "ant/1.png", "dog/2.png", "cat/deep/3.png"))
    assert names(listing) == ["ant/1.png", "cat/deep/3.png", "dog/0.png", "dog/2.png"]
    assert listing.class_names == ["ant", "cat", "dog"]
    assert listing.labels == [0, 1, 2, 2]


def test_a_zip_is_listed_as_its_folder(tree, zipped):
    folder = tree("b/0.png", "a/1.jpg", "a/2.png")
    one, other = list_images(folder), list_images(zipped(folder))
    assert names(one) == names(other)
    assert (one.labels, one.class_names) == (other.labels, other.class_names)


def test_a_folder_around_everything_is_looked_through(tree):
    assert list_images(tree("pets/cat/0.png", "pets/dog/0.png")).class_names == ["cat", "dog"]
    assert list_images(tree("around/0.png", "around/1.png", root="flat")).labels is None


def test_a_split_is_a_first_level_folder(tree):
    root = tree("train/cat/0.png", "train/dog/1.png", "test/cat/2.png", "test/eel/3.png")
    assert names(list_images(root, "train")) == ["train/cat/0.png", "train/dog/1.png"]
    assert list_images(root, "test").class_names == ["cat", "eel"]
    for everything in (None, "all"):
        assert list_images(root, everything).class_names == ["cat", "dog", "eel"]
        assert list_images(root, everything).labels == [0, 2, 0, 1]


def test_any_first_level_folder_can_be_the_split(tree):
    assert names(list_images(tree("a/0.png", "b/1.png", "2.png"), "b")) == ["b/1.png"]


def test_an_unknown_split_lists_the_folders_that_exist(tree):
    with pytest.raises(ValueError, match=r"dataset\.split=val: .* its folders: test, train"):
        list_images(tree("train/0.png", "test/1.png", "stray.png"), "val")


def test_the_only_folder_is_listed_too(tree):
    with pytest.raises(ValueError, match=r"dataset\.split=train: .* its folders: night"):
        list_images(tree("night/0.png"), "train")


def test_split_folders_beside_others_are_classes(tree):
    assert list_images(tree("train/0.png", "bus/1.png")).class_names == ["bus", "train"]


def test_a_flat_folder_is_unlabelled(tree):
    assert list_images(tree("0.png", "1.png")).labels is None


def test_labels_asked_of_a_flat_folder_are_refused(tree):
    with pytest.raises(ValueError, match=r"dataset\.labelled=true.*2 of 2 images lie in no class folder"):
        list_images(tree("0.png", "1.png"), labelled=True)


def test_labels_can_be_left_out(tree):
    listing = list_images(tree("a/0.png", "b/1.png"), labelled=False)
    assert (listing.labels, listing.class_names) == (None, [])


def test_pictures_beside_class_folders_make_it_unlabelled_and_are_noted(tree):
    listing = list_images(tree("a/0.png", "b/1.png", "stray.png"))
    assert listing.labels is None
    assert "1 of 3 images lie in no class folder, such as 'stray.png'" in listing.notes[0]


def test_an_unknown_wish_for_labels_is_named(tree):
    with pytest.raises(ValueError, match=r"dataset\.labelled=maybe must be auto, true or false"):
        list_images(tree("0.png"), labelled="maybe")


def test_what_is_no_image_or_hidden_is_ignored(tree):
    root = tree("a/0.png", "b/1.JPEG", "__MACOSX/2.png", ".thumbs/3.png", "a/._0.png", "a/notes.txt", "a/x.eps")
    assert names(list_images(root)) == ["a/0.png", "b/1.JPEG"]


@pytest.mark.parametrize("root", [None, ""])
def test_a_root_is_needed(root):
    with pytest.raises(ValueError, match=r"dataset\.root is needed: a folder or \.zip of images"):
        find_facts(root)


def test_missing_empty_and_odd_roots_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"dataset\.root=.*nowhere"):
        list_images(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"dataset\.root=.*holds no images"):
        list_images(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ValueError, match=r"dataset\.root=.*notes\.txt is neither a folder nor a \.zip"):
        list_images(tmp_path / "notes.txt")


def test_links_that_leave_the_root_are_left_out(tree, tmp_path):
    root = tree("a.png", "b.png")
    (tmp_path / "outside.png").write_bytes(encoded(noise(0)))
    (tmp_path / "elsewhere").mkdir()
    (root / "out.png").symlink_to(tmp_path / "outside.png")
    (root / "folder").symlink_to(tmp_path / "elsewhere")
    (root / "dangling.png").symlink_to(root / "gone.png")
    (root / "inside.png").symlink_to(root / "a.png")
    listing = list_images(root)
    assert names(listing) == ["a.png", "b.png", "inside.png"]
    assert sorted(note.split("'")[1] for note in listing.notes) == ["dangling.png", "folder", "out.png"]


def test_a_pipe_is_left_out_rather_than_waited_for(tree):
    root = tree("a.png")
    os.mkfifo(root / "pipe.png")
    listing = list_images(root)
    assert names(listing) == ["a.png"]
    assert "not a regular file" in listing.notes[0]


def test_zip_members_that_point_out_are_left_out(tmp_path):
    link = zipfile.ZipInfo("link.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        for name in ("good.png", "../up.png", "/root.png"):
            archive.writestr(name, encoded(noise(0)))
        archive.writestr(link, "/etc/passwd")
    listing = list_images(tmp_path / "evil.zip")
    assert names(listing) == ["good.png"]
    assert len(listing.notes) == 2  # a path with .. counts as hidden


def test_an_encrypted_zip_is_refused(tree, zipped):
    path = zipped(tree("a.png"))
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag in the central directory
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"'a\.png' is encrypted; unpack"):
        list_images(path)


def test_class_names_are_safe_to_print(tree):
    assert list_images(tree("a\n\x1b[31m/0.png", "b/1.png")).class_names == ["a??[31m", "b"]


def test_facts_of_colour_squares(tree):
    assert find_facts(str(tree("a/0.png", "b/1.png"))) == {
        "channels": 3, "image_size": 8, "depth": 8, "classes": 2,
    }  # fmt: skip


def test_facts_of_grey_pictures_of_two_sizes(tmp_path):
    noise(0, (8, 8), 1).save(tmp_path / "a.png")
    noise(0, (9, 8), 1).save(tmp_path / "b.png")
    assert find_facts(str(tmp_path)) == {"channels": 1, "image_size": 8, "depth": 8, "classes": 0}


def test_one_colour_picture_makes_it_colour(tmp_path):
    for i in range(5):
        noise(i, (8, 8), 1).save(tmp_path / f"{i}.png")
    noise(5).save(tmp_path / "z.png")
    assert find_facts(str(tmp_path))["channels"] == 3


def test_the_last_of_a_hundred_pictures_is_looked_near(tree):
    root = tree(*(f"{i:02}.png" for i in range(90)))
    for i in range(80):
        noise(i, (8, 8), 1).save(root / f"{i:02}.png")
    assert find_facts(str(root))["channels"] == 3


def test_large_squares_are_brought_to_64(tmp_path):
    noise(0, (257, 257), 1).save(tmp_path / "a.png")
    assert find_facts(str(tmp_path))["image_size"] == 64


def test_facts_do_not_stumble_over_broken_pictures(tree):
    root = tree("a.png", "b.png")
    (root / "a.png").write_bytes(b"not a picture")
    assert find_facts(str(root))["image_size"] == 8


def test_facts_are_found_once_a_process(tree):
    root = tree("a.png")
    before = find_facts(str(root))
    before["channels"] = 99
    (root / "a.png").unlink()
    assert find_facts(str(root))["channels"] == 3


def test_facts_need_no_torch():
    code = "import sys, ganrun.data.listing; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(("side", "found"), [(8, 8), (28, 28), (32, 32), (50, 48), (100, 96), (250, 224), (256, 256)])
def test_a_size_no_network_can_make_is_rounded_down(side, found):
    assert size_of([Header(3, (side, side), 8)]) == found


def test_facts_of_a_relative_name_are_those_of_the_current_folder(tmp_path: Path, monkeypatch) -> None:
    for folder, size in (("one", 8), ("two", 16)):
        (tmp_path / folder / "pictures").mkdir(parents=True)
        Image.new("L", (size, size)).save(tmp_path / folder / "pictures/a.png")
    found = []
    for folder in ("one", "two", "one"):
        monkeypatch.chdir(tmp_path / folder)
        found.append(find_facts("pictures")["image_size"])
    assert found == [8, 16, 8]
