"""Unpaired: two domains that nobody has matched."""

import numpy as np
import pytest
import torch
from pictures import encoded, noise, real

from ganrun.data.digits import Digits
from ganrun.data.domains import find_domain_facts
from ganrun.data.unpaired import Unpaired


def everything(dataset):
    return dataset.take(torch.arange(len(dataset)))


def pixels(seed):
    return torch.from_numpy(np.asarray(noise(seed)).transpose(2, 0, 1).copy())


def rows_of(images, among):
    """Which of `among` each image is."""
    return [next(i for i, one in enumerate(among) if torch.equal(one, image)) for image in images]


@pytest.fixture
def domains(tree, tmp_path):
    a = tree(*(f"{i}.png" for i in range(3)), root="a")
    b = tmp_path / "b"
    b.mkdir()
    for i in range(8):
        (b / f"{i}.png").write_bytes(encoded(noise(10 + i)))
    return {"root_a": str(a), "root_b": str(b)}


def test_it_is_as_long_as_the_larger_domain_and_the_smaller_one_comes_again(domains):
    dataset = Unpaired(**domains)
    batch = everything(dataset)
    assert len(dataset) == 8
    assert rows_of(batch["a"], [pixels(i) for i in range(3)]) == [0, 1, 2, 0, 1, 2, 0, 1]
    order = rows_of(batch["b"], [pixels(10 + i) for i in range(8)])
    assert sorted(order) == list(range(8))
    assert order != list(range(8))


def test_a_smaller_b_is_shuffled_anew_each_time_it_comes_round(domains):
    batch = everything(Unpaired(root_a=domains["root_b"], root_b=domains["root_a"]))
    order = rows_of(batch["b"], [pixels(i) for i in range(3)])
    assert sorted(order[:3]) == sorted(order[3:6]) == [0, 1, 2]
    assert order == rows_of(
        everything(Unpaired(domains["root_b"], domains["root_a"]))["b"], [pixels(i) for i in range(3)]
    )
    long = Unpaired(domains["root_b"], domains["root_b"]).order
    assert long.tolist() != sorted(long.tolist())


def test_a_limit_holds_for_each_domain(domains):
    dataset = Unpaired(**domains, limit=5)
    assert len(dataset) == 5
    assert len(dataset.images) == 3
    assert dataset.nbytes == (3 + 5) * 3 * 64
    assert len(Unpaired(**domains, limit=9)) == 8, "a limit is the most, not the least"


def test_without_a_root_the_halves_of_the_digits_share_no_digit():
    dataset, digits = Unpaired(), Digits().images
    batch = everything(dataset)
    assert len(dataset) == 899
    assert torch.equal(batch["a"], digits[:899])
    back = 255 - dataset.others
    assert torch.equal(back, digits[899:])
    assert batch["a"].float().mean() < 128 < batch["b"].float().mean()


def test_two_classes_of_one_zip_are_two_domains(tree, zipped):
    root = zipped(tree("train/cat/0.png", "train/cat/1.png", "train/dog/2.png", "test/dog/3.png"))
    dataset = Unpaired(str(root), split="train", class_a="cat", class_b="dog")
    assert rows_of(dataset.images, [pixels(i) for i in range(4)]) == [0, 1]
    assert rows_of(dataset.others, [pixels(i) for i in range(4)]) == [2]


def test_a_domain_may_be_several_classes(tree):
    root = tree("cat/0.png", "dog/1.png", "cow/2.png", "fox/3.png")
    dataset = Unpaired(str(root), class_a=["cat", "cow"], class_b="fox")
    among = [pixels(i) for i in range(4)]
    assert sorted(rows_of(dataset.images, among)) == [0, 2]
    assert rows_of(dataset.others, among) == [3]


def test_a_domain_may_be_a_list(tree):
    """Names by path or by file name, of the list's own folder where no root is given."""
    root = tree("x/0.png", "x/1.png", "y/2.png", "y/3.png")
    (root / "a.txt").write_text("x/0.png\n\n2.png\n", encoding="utf-8")
    (root / "b.csv").write_text('file,season\n"y/3.png",winter\n', encoding="utf-8")
    among = [pixels(i) for i in range(4)]
    by_folder = Unpaired(list_a=str(root / "a.txt"), list_b=str(root / "b.csv"))
    by_root = Unpaired(str(root), list_a="a.txt", list_b="b.csv")
    for dataset in (by_folder, by_root):
        assert rows_of(dataset.images, among) == [0, 2]
        assert rows_of(dataset.others, among) == [3]
    assert find_domain_facts(str(root), list_a="a.txt", list_b="b.csv") == find_domain_facts(str(root), str(root))
    one_class = Unpaired(str(root), class_a="y", list_a="a.txt", list_b="b.csv")
    assert rows_of(one_class.images, among) == [2], "what both keys ask for"


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"list_a": "no.txt", "list_b": "b.txt"}, r"^dataset\.list_a=no\.txt: there is no such file"),
        ({"list_a": "b.txt", "list_b": "b.txt"}, r"list_a and dataset\.list_b are both b\.txt"),
        ({"list_a": "a.txt"}, r"dataset\.root_b is needed, or two classes .* or two lists"),
        ({"list_a": "bad.txt", "list_b": "b.txt"}, r"list_a=bad\.txt: 1 of 2 names are of no picture in .*'9\.png'"),
        ({"list_a": "empty.txt", "list_b": "b.txt"}, r"list_a=empty\.txt: it is empty"),
        ({"list_a": "other.txt", "list_b": "b.txt"}, r"list_a=other\.txt: no line names a picture of .* '7\.png'"),
        ({"class_a": ["cat", "cow"], "class_b": "dog"}, r"class_a=cow: no such class in .*; its classes: cat, dog"),
        ({"class_a": ["cat", "dog"], "class_b": "dog"}, r"dataset\.root_b is needed, .*; dog is in both"),
    ],
)
def test_a_domain_that_cannot_be_is_named_in_one_line(tree, lists, message):
    root = tree("cat/0.png", "dog/1.png")
    texts = {"a": "0.png", "b": "1.png", "bad": "0.png\n9.png", "empty": "\n", "other": "7.png"}
    for name, content in texts.items():
        (root / f"{name}.txt").write_text(content, encoding="utf-8")
    with pytest.raises((ValueError, FileNotFoundError), match=message) as raised:
        Unpaired(str(root), **lists)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, r"dataset\.root_b is needed, or two classes"),
        ({"class_a": "cat", "class_b": "cat"}, r"dataset\.root_b is needed"),
        ({"class_a": "cat", "class_b": "cow"}, r"dataset\.class_b=cow: no such class in .*; its classes: cat, dog"),
        ({"root_b": "nowhere"}, r"^dataset\.root_b=nowhere"),
    ],
)
def test_what_is_missing_is_named(tree, settings, message):
    root = tree("cat/0.png", "dog/1.png")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        Unpaired(str(root), **settings)


def test_a_needs_a_root_when_b_has_one(tree):
    with pytest.raises(ValueError, match=r"dataset\.root_a is needed"):
        Unpaired(root_b=str(tree("0.png")))


def test_facts_are_of_both_domains(domains, tmp_path):
    assert find_domain_facts(**domains) == {"channels": 3, "image_size": 8, "depth": 8, "kimg": 1000}
    grey = tmp_path / "grey"
    grey.mkdir()
    (grey / "0.png").write_bytes(encoded(noise(0, (9, 9), 1)))
    assert find_domain_facts(str(grey), domains["root_b"]) == {"channels": 3, "image_size": 8, "depth": 8, "kimg": 1000}
    assert find_domain_facts(str(grey), str(grey))["channels"] == 1
    assert Unpaired(str(grey), domains["root_b"], image_size=4).images.shape == (1, 3, 4, 4)


@pytest.mark.slow
def test_cats_and_dogs_of_the_real_zip():
    dataset = Unpaired(str(real("cifar10.zip")), split="test", class_a="cat", class_b="dog", limit=20)
    assert everything(dataset)["b"].shape == (20, 3, 32, 32)
