"""Crops of pictures that keep their own size, checked by coordinates that are painted into the pixels."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import encoded, noise
from PIL import Image, ImageOps

from ganrun.cli.composition import compose_plain
from ganrun.config.builders import load_dataset
from ganrun.data.crops import Crops, Window, make_crops
from ganrun.data.damage import LowResolution
from ganrun.data.damaged import Damaged
from ganrun.data.decode import Decoder, crop
from ganrun.data.folder import Folder
from ganrun.data.loading.stream import Stream, prepare
from ganrun.data.opened import METHODS, Opened, opened, whole_window
from ganrun.data.paired import Paired
from ganrun.data.storage import preview
from ganrun.data.unpaired import Unpaired
from tests.common.test_pixels import linear_profile


def painted(height: int, width: int, mark: int = 0, factor: int = 1) -> Image.Image:
    """Red is the column, green the row, blue the mark; each in steps of `factor` pixels."""
    rows, columns = np.mgrid[:height, :width] // factor
    return Image.fromarray(np.stack([columns, rows, np.full_like(rows, mark)], 2).astype(np.uint8))


SIZES = [(40, 60), (33, 50), (64, 32), (50, 70)]


@pytest.fixture
def write(tmp_path):
    def to(folder: str, pictures: list[Image.Image], **options: object) -> str:
        (tmp_path / folder).mkdir(exist_ok=True)
        for i, picture in enumerate(pictures):
            (tmp_path / folder / f"{i}.png").write_bytes(encoded(picture, **options))
        return str(tmp_path / folder)

    return to


@pytest.fixture
def folder(write):
    return write("whole", [painted(*size, mark) for mark, size in enumerate(SIZES)])


KEYS = list(range(4))
ALL = torch.arange(4)


def place(image: torch.Tensor) -> tuple[int, int]:
    """(top, left) of a painted crop, which must be a part of the picture without a pixel changed."""
    left, top = (int(image[channel, 0, 0]) for channel in (0, 1))
    rows, columns = torch.meshgrid(*(torch.arange(side) for side in image.shape[1:]), indexing="ij")
    assert torch.equal(image[0].long(), columns + left)
    assert torch.equal(image[1].long(), rows + top)
    return top, left


def test_a_window_worked_out_by_hand():
    crops = Crops((20, 20), (0.5, 1))
    assert crops.window((40, 60)) == Window(10, 20, 20, 20)  # the centre, not reduced
    assert crops.window((40, 60), (0, 0, 0.999)) == Window(0, 40, 20, 20)
    assert crops.window((100, 100), (0.999999, 0, 0)) == Window(0, 0, 40, 40)  # reduced by half
    assert crops.window((30, 100), (0.999999, 0, 0)) == Window(0, 0, 30, 30)  # no more than fits
    assert crops.window((10, 100), (0, 0, 0)) == Window(0, 0, 10, 10)  # too small: enlarged
    assert Crops((20, 20), small="pad").window((10, 25), (0, 0.5, 0.5)) == Window(-5, 3, 20, 20)


@pytest.mark.parametrize("options", [{"mode": "memory"}, {"mode": "stream", "workers": 0}, {"cache": "kept"}])
def test_a_crop_is_a_part_of_its_picture_to_the_pixel(folder, tmp_path, options):
    if "cache" in options:
        options = {"cache": str(tmp_path / "kept")}
    data = Folder(folder, crop=[20, 24], **options)
    assert (data.image_size, data.channels, len(data), data.classes) == ((20, 24), 3, 4, 0)
    seen = set()
    for keys in (None, KEYS, range(9, 13)):
        image = data.take(ALL, keys)["image"]
        assert image[:, 2, 0, 0].tolist() == [0, 1, 2, 3]
        seen.add(tuple(map(place, image)))
    assert len(seen) == 3
    assert [place(image) for image in data.take(ALL)["image"]] == [(10, 18), (7, 13), (22, 4), (15, 23)]


def test_memory_cache_and_stream_give_the_same_crops(folder, tmp_path):
    options = {"crop": 16, "crop_scale": [0.5, 0.9]}
    stores = [{"mode": "memory"}, {"mode": "stream"}, {"cache": str(tmp_path / "c")}, {"cache": str(tmp_path / "c")}]
    batches = [Folder(folder, **options, **store).take(ALL, KEYS)["image"] for store in stores]
    assert all(torch.equal(batches[0], batch) for batch in batches)
    assert len(list((tmp_path / "c").glob("*.npy"))) == 1


def test_reduced_crops_are_the_reduced_window(folder):
    data = Folder(folder, crop=16, crop_scale=0.5)
    (image,) = data.take(torch.tensor([0]))["image"]
    window = Image.open(Path(folder) / "0.png").crop((14, 4, 46, 36)).resize((16, 16), Image.Resampling.BICUBIC)
    assert torch.equal(image, torch.from_numpy(np.array(window)).permute(2, 0, 1))


@pytest.mark.parametrize("mode", ["memory", "stream"])
@pytest.mark.parametrize("swap", [False, True])
def test_pairs_are_cut_alike(write, mode, swap):
    roots = [write(name, [painted(*size, mark) for size in SIZES]) for name, mark in (("x", 1), ("y", 2))]
    for options in ({"crop": 16}, {"crop": 16, "crop_scale": [0.4, 1]}):
        data = Paired(root_source=roots[0], root_target=roots[1], swap=swap, mode=mode, **options)
        for keys in (None, KEYS):
            batch = data.take(ALL, keys)
            assert torch.equal(batch["source"][:, :2], batch["target"][:, :2])
            assert (batch["source"][:, 2] == (2 if swap else 1)).all()
            assert (batch["target"][:, 2] == (1 if swap else 2)).all()
    assert len({place(image) for image in Paired(root_source=roots[0], root_target=roots[1], crop=16).take(
        torch.zeros(9, dtype=torch.int64), range(9))["source"]}) > 5  # fmt: skip


@pytest.mark.parametrize("mode", ["memory", "stream"])
def test_low_resolution_pairs_are_aligned_on_the_grid_of_the_source(write, mode):
    sources = write("low", [painted(*size, 7) for size in SIZES])
    targets = write("high", [painted(2 * h, 2 * w, 9, factor=2) for h, w in SIZES])
    pairs = {"root_source": sources, "root_target": targets, "scale": 2, "mode": mode}
    for keys in (None, KEYS):
        batch = Paired(crop=[24, 32], **pairs).take(ALL, keys)
        assert batch["source"].shape == (4, 3, 12, 16)
        assert torch.equal(
            batch["target"][:, :2], batch["source"][:, :2].repeat_interleave(2, 2).repeat_interleave(2, 3)
        )
        assert [place(image) for image in batch["source"]]
    scaled = Paired(crop=24, crop_scale=0.5, **pairs).take(ALL, KEYS)  # windows of 48 and 24 pixels
    small = torch.nn.functional.avg_pool2d(scaled["target"].float(), 2)
    assert (small - scaled["source"].float())[:, :2].abs().max() <= 1


@pytest.mark.parametrize("mode", ["memory", "stream"])
@pytest.mark.parametrize("odd", [0, 1])
def test_halves_are_cut_alike(write, mode, odd):
    both = []
    for height, width in SIZES:
        side = Image.new("RGB", (2 * width + odd, height))
        side.paste(painted(height, width, 1), (0, 0))
        side.paste(painted(height, width, 2), (width + odd, 0))
        both.append(side)
    for swap in (False, True):
        batch = Paired(root=write("both", both), crop=20, mode=mode, swap=swap).take(ALL, KEYS)
        assert torch.equal(batch["source"][:, :2], batch["target"][:, :2])
        assert [place(image) for image in batch["source"]]
        assert (batch["source"][:, 2] == (2 if swap else 1)).all()


def test_domains_are_cut_independently(write):
    roots = {f"root_{name}": write(name, [painted(60, 60, i) for i in range(4)]) for name in "ab"}
    batch = Unpaired(**roots, crop=16).take(ALL, KEYS)
    places = [[place(image) for image in batch[name]] for name in "ab"]
    assert places[0] != places[1]


def test_low_resolution_made_from_crops(folder):
    data = Damaged(Folder(folder, crop=16, mode="stream"), {"low_res": LowResolution(2)}, damage="low_res", turns=True)
    assert data.turns
    assert data.crops
    assert data.workers is not None
    batch = Stream(data, 4, seed=3)[5]
    whole = prepare(batch, torch.device("cpu"), turns=True)
    assert data.transform(whole)["source"].shape == (4, 3, 8, 8)
    assert [place(image) for image in batch["target"]] != [place(image) for image in data.take(ALL)["target"]]


@pytest.mark.parametrize("workers", [0, 2])
def test_where_a_crop_lies_depends_on_seed_epoch_and_index_alone(folder, workers):
    memory, streamed = Folder(folder, crop=8), Folder(folder, crop=8, mode="stream", workers=workers)
    whole = Stream(memory, 2, seed=5)
    for step, batch in zip(range(3, 6), Stream(streamed, 2, seed=5).starting_at(3), strict=False):
        assert torch.equal(batch["image"], whole[step]["image"])
    ranks = [Stream(memory, 2, 5, rank, 2)[4]["image"] for rank in range(2)]
    assert torch.equal(torch.cat(ranks), whole[4]["image"])
    others = [Stream(memory, 4, seed=5), Stream(memory, 4, seed=6)]
    crops = {(int(image[2, 0, 0]), *place(image)) for stream in others for step in range(4) for image in
             stream[step]["image"]}  # fmt: skip
    assert len(crops) > 28  # of 32: other epochs and other seeds have other crops


def test_a_batch_may_show_more_crops_than_there_are_pictures(folder):
    image = Stream(Folder(folder, crop=8), 12, seed=0)[0]["image"]
    assert len({(int(one[2, 0, 0]), *place(one)) for one in image}) == 12
    with pytest.raises(ValueError, match="batch_size=12 is larger than the data"):
        Stream(Folder(folder), 12, seed=0)


def test_small_pictures_are_counted_and_enlarged_padded_or_left_out(folder, caplog):
    caplog.set_level("INFO")
    found = {}
    for small in ("enlarge", "pad", "skip"):
        found[small] = Folder(folder, crop=40, small=small)
    ends = ["are enlarged (dataset.small=enlarge)", "are padded with black (dataset.small=pad)"]
    ends += ["are left out (dataset.small=skip)"]
    head = f"2 of 4 pictures in {folder} are smaller than dataset.crop=40×40 and"
    assert caplog.messages == [f"{head} {end}" for end in ends]
    assert [*found["skip"].names] == ["0.png", "3.png"]
    padded = found["pad"].take(torch.tensor([1]), [0])["image"][0]
    assert padded[:, :3].max() == padded[:, 36:].max() == 0
    assert place(padded[:, 3:36])[0] == 0
    enlarged = found["enlarge"].take(torch.tensor([1]))["image"][0]
    assert (int(enlarged[1].min()), int(enlarged[1].max())) == (0, 32)


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_part_of_a_picture_that_lies_on_its_side(turn):
    exif = Image.Exif()
    exif[0x0112] = turn
    data = encoded(painted(20, 30), "PNG", exif=exif)
    whole = np.asarray(ImageOps.exif_transpose(Image.open(BytesIO(data)))).transpose(2, 0, 1)
    picture = Opened(data, 3)
    assert picture.sides == whole.shape[1:]
    assert np.array_equal(picture.part(Window(3, 5, 7, 11)), whole[:, 3:10, 5:16])
    assert np.array_equal(picture.part(whole_window(picture)), whole)
    assert set(METHODS) == set(range(2, 9))


def test_a_jpeg_is_decoded_smaller_where_no_crop_loses_pixels_by_it(tmp_path):
    (tmp_path / "0.jpg").write_bytes(encoded(painted(240, 200), "JPEG", quality=95))
    (tmp_path / "1.jpg").write_bytes(encoded(painted(40, 40), "JPEG", quality=95))
    stores = [Folder(str(tmp_path), crop=16, crop_scale=[0.1, 0.25], mode=mode) for mode in ("memory", "stream")]
    assert stores[0].images.files[0].shapes.tolist() == [[60, 50, 4], [20, 20, 2]]
    one, other = (data.take(torch.tensor([0, 1]), [3, 4])["image"] for data in stores)
    assert torch.equal(one, other)
    centre = stores[0].take(torch.tensor([0]))["image"][0]  # 64 pixels around the centre, (120, 100)
    assert centre[0].float().mean() == pytest.approx(99.5, abs=2)
    assert int(centre[0].max()) - int(centre[0].min()) == pytest.approx(60, abs=5)


def test_a_plan_decodes_a_few_and_counts_the_memory_of_all(folder):
    with preview():
        data, streamed = Folder(folder, crop=16), Folder(folder, crop=16, mode="stream", workers=3)
    assert (data.nbytes, data.workers) == (3 * sum(h * w for h, w in SIZES), None)
    assert (streamed.nbytes, streamed.workers, streamed.decoded_bytes) == (0, 3, 4 * 50 * 70)
    assert data.take(torch.arange(9) % 4)["image"].shape == (9, 3, 16, 16)


def test_broken_pictures_are_left_out_or_replaced(folder, caplog):
    Path(folder, "1.png").write_bytes(encoded(noise(0, (33, 50)))[:400])
    assert [*Folder(folder, crop=16).names] == ["0.png", "2.png", "3.png"]
    assert "'1.png' is broken" in caplog.text
    streamed = Folder(folder, crop=16, mode="stream").take(torch.tensor([1]), [0])["image"]
    assert int(streamed[0, 2, 0, 0]) == 2
    with pytest.raises(ValueError, match=r"1 of 4 images are broken"):
        Folder(folder, crop=16, broken="refuse")


def test_a_cache_entry_that_was_cut_is_made_again(folder, tmp_path):
    options = {"crop": 16, "cache": str(tmp_path / "c")}
    before = Folder(folder, **options).take(ALL, KEYS)["image"].clone()
    (entry,) = (tmp_path / "c").glob("*.npy")
    entry.write_bytes(entry.read_bytes()[:2000])
    assert torch.equal(Folder(folder, **options).take(ALL, KEYS)["image"], before)


def test_turns_are_quarters_alike_for_a_pair():
    image = torch.arange(2 * 3 * 4 * 4, dtype=torch.uint8).view(2, 3, 4, 4).repeat(20, 1, 1, 1)
    torch.manual_seed(0)
    batch = prepare({"source": image, "target": image.clone()}, torch.device("cpu"), turns=True)
    assert torch.equal(batch["source"], batch["target"])
    plain = prepare({"image": image[:1]}, torch.device("cpu"))["image"][0]
    four = [plain.rot90(count, (1, 2)) for count in range(4)]
    counts = [sum(torch.equal(one, turned) for one in batch["source"][::2]) for turned in four]
    assert sum(counts) == 20
    assert min(counts) > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop_scale": [1, 0.5]}, r"dataset.crop_scale=\[1,0.5\] must be \[low, high\] with 0 < low ≤ high ≤ 1"),
        ({"crop": 8, "crop_scale": [0, 0.5]}, r"dataset.crop_scale=\[0,0.5\] must be"),
        ({"crop_scale": 0.5}, "dataset.crop_scale=0.5 has no effect without dataset.crop"),
        ({"crop": 8, "small": "drop"}, "dataset.small=drop must be one of enlarge, pad, skip"),
        ({"crop": 8, "resize": "pad"}, "dataset.resize=pad has no effect with dataset.crop"),
        ({"crop": 8, "image_size": 16}, r"dataset.image_size=16, but with dataset.crop=8×8"),
        ({"crop": [8, 16], "turns": True}, "dataset.turns=true turns by quarters, but pictures of 8×16"),
        (
            {"crop": 100, "small": "skip"},
            r"4 of 4 pictures in \S+ are smaller than dataset.crop=100×100, the largest is 50×70",
        ),
        ({"crop": [8, 8, 8]}, r"dataset.crop=\[8,8,8\] must be a whole number of pixels or \[height, width\]"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(folder, options, message):
    with pytest.raises(ValueError, match=message):
        Folder(folder, **options)


def test_pairs_of_unlike_size_are_named(write):
    one = write("x", [painted(20, 20), painted(21, 20)])
    other = write("y", [painted(20, 20), painted(20, 20)])
    with pytest.raises(
        ValueError, match=r"in 1 of 2 pairs the target has not the same size.*'1.png' \(20×20 beside 21"
    ):
        Paired(root_source=one, root_target=other, crop=8)
    with pytest.raises(ValueError, match="in 2 of 2 pairs the target has not exactly 2 times the size of its source"):
        Paired(root_source=one, root_target=other, crop=8, scale=2)
    with pytest.raises(ValueError, match=r"dataset.scale=3 must be a whole number that divides dataset.crop=8"):
        Paired(root_source=one, root_target=other, crop=8, scale=3)
    with pytest.raises(ValueError, match=r"dataset.crop=8 needs pictures of yours"):
        Paired(crop=8)


def test_without_a_crop_there_are_none(folder):
    assert make_crops(None) is None
    assert Folder(folder).crops is None
    assert Decoder(3, (8, 8), crop).whole(encoded(painted(9, 7))).shape == (3, 9, 7)


@pytest.mark.parametrize("mode", ["memory", "stream"])
def test_crops_keep_sixteen_bits(tmp_path, mode):
    deep = np.arange(40 * 50, dtype=np.uint16).reshape(40, 50) * 32
    Image.fromarray(deep).save(tmp_path / "0.png")
    options = {"root": str(tmp_path), "crop": 16, "depth": 16, "mode": mode}
    image = Folder(**options).take(torch.tensor([0]))["image"]
    assert image.dtype == torch.uint16
    assert np.array_equal(image[0, 0].numpy(), deep[12:28, 17:33])
    (reduced,) = Folder(**options, crop_scale=0.5).take(torch.tensor([0]))["image"]
    assert abs(float(reduced.float().mean()) - deep[4:36, 9:41].mean()) < 40
    ranged = Folder(**{**options, "depth": 32, "crop": 48, "small": "pad"}, range=[0, 65535])
    black = ranged.take(torch.tensor([0]))["image"][0, 0]
    assert (black[:4] == -1).all()


def test_a_part_is_what_the_whole_picture_has_there(tmp_path):
    """Whatever its kind: grey and alpha, palettes, 16 bits, bands of a .npy; as 8 bits, as 16 and with a range."""
    rgba = noise(0, (30, 20), 4)
    files = [
        encoded(rgba),
        encoded(rgba.convert("P")),
        encoded(rgba.convert("LA")),
        encoded(noise(1, (30, 20)), "JPEG"),
    ]
    files += [encoded(Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30) * 99)), BytesIO()]
    np.save(files[-1], np.random.default_rng(0).integers(0, 65536, (20, 30, 5), dtype=np.uint16))
    window = Window(3, 5, 7, 11)
    for data, bands in [(data, (1, 3)) for data in files[:-1]] + [(files[-1].getvalue(), (5,))]:
        for channels in bands:
            for kind, span in ((np.uint8, None), (np.uint16, None), (np.float32, (0, 65535))):
                decoder = Decoder(channels, (8, 8), crop, np.dtype(kind), span, to_srgb=kind == np.uint16)
                part = opened(data, decoder).part(window)
                assert part.dtype == kind
                assert np.array_equal(part, decoder.whole(data)[:, 3:10, 5:16])


@pytest.mark.parametrize("words", [["dataset=folder"], ["dataset=low_res", "dataset.source=folder"]])
def test_jpegs_as_a_command_reads_them(tmp_path, words):
    """Decoded smaller and brought to sRGB: only the part is converted, and nothing is decoded twice."""
    grey = Image.new("RGB", (240, 200), (128, 128, 128))
    (tmp_path / "0.jpg").write_bytes(encoded(grey, "JPEG", icc_profile=linear_profile()))
    model = "model=srgan" if "low_res" in words[0] else "model=dcgan"
    for mode in ("memory", "stream"):
        words = [*words, f"dataset.root={tmp_path}", "dataset.crop=16", "dataset.crop_scale=[0.1,0.25]"]
        data = load_dataset(compose_plain("train", [model, *words, f"dataset.mode={mode}"]))
        (image,) = data.take(torch.tensor([0])).values()
        assert image.float().mean() == pytest.approx(188, abs=1)
    whole = opened(next(tmp_path.iterdir()).read_bytes(), Decoder(3, (16, 16), crop, to_srgb=True), lambda sides: 4)
    assert (type(whole), whole.sides, whole.reduced) == (Opened, (50, 60), 4)
