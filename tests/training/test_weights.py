"""Weights of labels: through tiles, batches, augmentation and losses into the network."""

import shutil

import numpy as np
import pytest
import torch

from commands import run
from cutting import cut_tiles
from landshift import tileset
from landshift.classes import IGNORE_INDEX, ClassScheme
from landshift.dataset import TrainingTiles, prepare
from landshift.errors import GridError, ParameterError, RasterError, TileSetError
from landshift.models import ChangeModel
from landshift.training import Augmentation, Loss, Training, fit
from landshift.training.augment import BatchAugmentation, turn
from landshift.training.losses import Sum, build_loss
from scenes import BANDS, MAPPING, striped_scene, write

SCHEME = ClassScheme.from_mapping(MAPPING)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A scene of 256 pixels whose right half has wrong labels, and weights that say so."""
    folder = tmp_path_factory.mktemp("weights")
    composite, labels = striped_scene(256)
    composite[:, :, :6], labels[:, :6] = 0, 0
    wrong = labels.copy()
    wrong[:, 128:] = 3 - labels[:, 128:]
    weights = np.full(labels.shape, 0.75, np.float32)
    weights[:, 128:] = 0.25
    write(folder / "image.tif", composite, nodata=0, bands=BANDS)
    write(folder / "labels.tif", wrong, nodata=0)
    write(folder / "right.tif", labels, nodata=0)
    write(folder / "weights.tif", weights)
    write(folder / "none.tif", np.zeros_like(weights))
    for name in ("weights", "none"):
        cut(folder, folder / f"{name}_set", weights=[folder / f"{name}.tif"])
    return folder


def cut(folder, out, **options):
    return cut_tiles(
        [folder / "image.tif"], [folder / "labels.tif"], out, classes=SCHEME,
        **{"tile_size": 32, "stride": 32} | options,
    )  # fmt: skip


@pytest.mark.parametrize("options", [
    {}, {"uncompressed": True}, {"stride": 16}, {"rotation_angle": 90.0},
])  # fmt: skip
def test_tiles_keep_the_weights_of_labelled_pixels(folder, tmp_path, options):
    tiles = cut(folder, tmp_path / "set", weights=[folder / "weights.tif"], **options)
    total = 0.0
    for tile in tiles.tiles:
        weights = tileset.read_weights(tile)
        _, _, labels = tileset.read_tile(tile)
        assert tile.weights.parent.name == "weights"
        assert weights.dtype == np.float32
        assert (weights[labels == 0] == 0).all()
        assert set(np.unique(weights[labels > 0])) <= {0.25, 0.75}
        assert tile.weight == weights.sum(dtype=np.float64)
        total += tile.weight
    labelled = sum(n for v, n in tiles.class_pixels().items() if v)
    assert tiles.mean_weight() == pytest.approx(total / labelled)
    before = tiles.tiles
    (tmp_path / "set" / "landshift.sqlite").unlink()
    assert tileset.read(tmp_path / "set").tiles == before  # scanned anew


def test_weights_lie_beside_pictures_of_any_format(folder, tmp_path):
    image = np.moveaxis(np.random.default_rng(0).integers(1, 255, (64, 64, 3)), -1, 0)
    write(folder / "rgb.tif", image.astype(np.uint8))
    write(folder / "two.tif", np.tile([1, 2], (64, 32)).astype(np.uint8))
    write(folder / "w64.tif", np.full((64, 64), 0.5, np.float32))
    for chips in ("PNG", "JPEG"):
        tiles = cut_tiles(
            [folder / "rgb.tif"], [folder / "two.tif"], tmp_path / chips, classes=SCHEME,
            format=chips, tile_size=32, stride=32, weights=[folder / "w64.tif"],
        )  # fmt: skip
        assert {t.weights.suffix for t in tiles.tiles} == {".tif"}
        assert tiles.mean_weight() == 0.5


def test_a_part_of_a_larger_raster_and_tiles_that_are_appended(folder, tmp_path):
    composite, labels = striped_scene(64)
    image = write(tmp_path / "i.tif", composite, nodata=0, bands=BANDS, origin=(500_300, 3_999_700))
    label = write(tmp_path / "l.tif", labels, nodata=0, origin=(500_300, 3_999_700))
    weights = np.linspace(0, 1, 256 * 256, dtype=np.float32).reshape(256, 256)
    larger = write(tmp_path / "w.tif", weights)
    options = {"classes": SCHEME, "tile_size": 32, "stride": 32}
    tiles = cut_tiles([image], [label], tmp_path / "set", weights=[larger], **options)
    assert np.array_equal(tileset.read_weights(tiles.tiles[0]), weights[10:42, 10:42])
    with pytest.raises(TileSetError, match="must have its weights, got False and not True"):
        cut_tiles([image], [label], tmp_path / "set", append=True, **options)
    more = cut_tiles([image], [label], tmp_path / "set", append=True, weights=[larger], **options)
    assert len(more.tiles) == 8
    assert more.mean_weight() == pytest.approx(tiles.mean_weight())
    written = run("tiles", image, label, "-o", tmp_path / "cli", "--weights", larger,
                  "--tile-size", 32, "--stride", 32, "--classes", folder_of(tmp_path))  # fmt: skip
    assert written.exit_code == 0, written.output
    assert tileset.read(tmp_path / "cli").mean_weight() == pytest.approx(tiles.mean_weight())


def folder_of(folder):
    path = folder / "classes.csv"
    path.write_text("1,to crop\n2,No change\n")
    return path


def test_weights_that_don_t_fit_are_refused(folder, tmp_path):
    other = write(tmp_path / "o.tif", np.ones((256, 255), np.float32))
    with pytest.raises(GridError, match="An image and the weights of its labels"):
        cut(folder, tmp_path / "set", weights=[other])
    large = write(tmp_path / "l.tif", np.full((256, 256), 1.5, np.float32))
    with pytest.raises(RasterError, match=r"between 0 and 1, got others in .*l\.tif"):
        cut(folder, tmp_path / "set", weights=[large])
    with pytest.raises(ParameterError, match=r"needs its weights \(`weights`\), .* got 2 for 1"):
        cut(folder, tmp_path / "set", weights=[large, large])
    shutil.copytree(folder / "weights_set", tmp_path / "bad")
    spoilt = sorted((tmp_path / "bad" / "weights").glob("*.tif"))
    spoilt[0].unlink()
    write(spoilt[1], np.full((32, 32), 2, np.float32))
    write(spoilt[2], np.ones((16, 32), np.float32))
    (tmp_path / "bad" / "landshift.sqlite").unlink()
    with pytest.raises(TileSetError, match=r"1 missing.*1 weights outside 0 to 1.*1 of another s"):
        tileset.read(tmp_path / "bad")


def test_samples_hold_weights_only_where_they_are_and_are_asked_for(folder, tiles):
    data = prepare(folder / "weights_set", reading=TrainingTiles(batch_size=4))
    image, targets, weights = next(iter(data.train_loader()))
    assert image.shape[2:] == weights.shape[1:] == targets.shape[2:]
    assert weights.dtype == torch.float32
    assert (weights[targets[:, 0] == IGNORE_INDEX] == 0).all()
    assert len(next(iter(data.valid_loader()))) == 2  # scores are of all labels alike
    assert len(data.train_ds[0]) == 2
    plain = prepare(tiles, reading=TrainingTiles(MAPPING, batch_size=4))
    assert plain.mean_weight is None
    assert len(next(iter(plain.train_loader()))) == 2
    cropped = prepare(folder / "weights_set", reading=TrainingTiles(chip_size=16))
    samples = cropped.plain(cropped.split.train, weights=True)
    _, _, part = samples[0, 5 + 17 * 3]
    whole = tileset.read_weights(cropped.tiles.tiles[cropped.split.train[0]])
    row, column = divmod(5 + 17 * 3, 17)[1], divmod(5 + 17 * 3, 17)[0] % 17
    assert np.array_equal(part, whole[row : row + 16, column : column + 16])


def test_weights_are_turned_and_mixed_as_the_labels_are(folder):
    data = prepare(folder / "weights_set", reading=TrainingTiles(batch_size=4))
    images, targets, _ = next(iter(data.train_loader()))
    torch.manual_seed(3)
    labels = targets[:, 0].float()  # weights that are the labels stay the labels
    for name in ("turns", "mixup", "cutmix"):
        options = Augmentation(turns=name == "turns", **({} if name == "turns" else {name: 1.0}))
        varied = BatchAugmentation(options, data)(images, targets, labels)
        assert torch.equal(varied.weights, varied.targets[:, 0].float())
        if name == "mixup":
            assert torch.equal(varied.partner_weights, varied.partners[:, 0].float())
    assert len(turn(images, targets)) == 2


@pytest.mark.parametrize("name", ["cross_entropy", "focal", "dice"])
def test_a_pixel_of_weight_0_is_as_if_unlabelled_and_equal_weights_change_nothing(name):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 6, 6, generator=generator, requires_grad=True)
    targets = torch.randint(3, (2, 6, 6), generator=generator)
    for weights in (None, torch.tensor([1.0, 2.0, 0.5])):
        loss = Sum(Loss(name), weights)
        plain = loss(logits, targets)
        assert loss(logits, targets, torch.ones(2, 6, 6)).item() == pytest.approx(plain.item())
        part = torch.ones(2, 6, 6)
        part[:, 3:] = 0
        (grad,) = torch.autograd.grad(loss(logits, targets, part), logits)
        assert (grad[:, :, 3:] == 0).all()
        assert (grad[:, :, :3] != 0).any()
    half = targets.clone()
    half[:, 3:] = IGNORE_INDEX
    seen = Sum(Loss(name), None)(logits, half).item()
    # twice the weight on half the pixels: a mean of 1, so that the loss is that of the half
    if name != "dice":
        assert Sum(Loss(name), None)(logits, targets, 2 * part).item() == pytest.approx(seen)
    else:
        assert Sum(Loss(name), None)(logits, targets, part).item() == pytest.approx(seen)


def test_weights_are_divided_by_their_mean_over_the_training_labels(folder):
    data = prepare(folder / "weights_set")
    loss = build_loss(Loss(), data, class_maps=False)
    logits, targets = torch.randn(1, 2, 8, 8), torch.randint(2, (1, 1, 8, 8))
    weights = torch.full((1, 8, 8), data.mean_weight)
    plain = loss({"change": logits}, targets)
    assert loss({"change": logits}, targets, weights).item() == pytest.approx(plain.item())


def test_a_network_learns_what_the_weights_trust(folder, tmp_path):
    sets = {"weights_set": folder / "weights_set"}
    data = cut(folder, tmp_path / "plain")
    sets["plain"] = data.folder
    truth = striped_scene(256)[1]
    shares = {}
    for name, path in sets.items():
        data = prepare(path, reading=TrainingTiles(batch_size=8))
        model = ChangeModel("linear", data.spec, data.scheme, pretrained=False)
        fit(model, data, Training(epochs=6, lr=0.05, checkpoint=False))
        hits = []
        for k in range(len(data.tiles.tiles)):
            image, _ = data.plain([k])[0]
            codes = model(image[None]).argmax(1)[0].numpy() + 1
            left, _, _, top = data.tiles.tiles[k].bounds
            row, column = round((4_000_000 - top) / 30), round((left - 500_000) / 30)
            hits.append((codes == truth[row : row + 32, column : column + 32]).mean())
        shares[name] = float(np.mean(hits))
    assert shares["weights_set"] > 0.9  # the labels with weight 0.75 are right
    assert shares["weights_set"] > shares["plain"] + 0.1


def test_a_killed_training_with_weights_goes_on_to_the_same_weights(folder, tmp_path):
    data = prepare(folder / "weights_set", reading=TrainingTiles(batch_size=8))
    options = Training(epochs=3, lr=0.01, augmentation=Augmentation(cutmix=1.0))

    def model():
        return ChangeModel("conv3", data.spec, data.scheme, pretrained=False, seed=0)

    whole, resumed = model(), model()
    fit(whole, data, options)

    class Killed(Exception):
        pass

    def kill(row):
        if row.epoch == 1:
            raise Killed

    state = tmp_path / "state"
    with pytest.raises(Killed):
        fit(resumed, data, options, resume=state, on_epoch=kill)
    resumed = model()
    fit(resumed, data, options, resume=state)
    for name, values in whole.state_dict().items():
        assert torch.equal(values, resumed.state_dict()[name]), name
    other = prepare(cut(folder, tmp_path / "plain").folder, reading=TrainingTiles(batch_size=8))
    with pytest.raises(ParameterError, match="same network, data and options"):
        fit(model(), other, options, resume=state)


def test_weights_that_are_all_0_and_losses_that_can_t_weigh_are_refused(folder):
    data = prepare(folder / "none_set")
    model = ChangeModel("linear", data.spec, data.scheme, pretrained=False)
    with pytest.raises(TileSetError, match="some labels must be above 0, got 0 for all in"):
        fit(model, data, Training(epochs=1, lr=0.1))
    data = prepare(folder / "weights_set")
    with pytest.raises(ParameterError, match="Lovasz loss ranks pixels"):
        fit(model, data, Training(epochs=1, lr=0.1, loss=Loss("dice+lovasz")))
