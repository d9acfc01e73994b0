import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from landshift.classes import BinaryScheme, ClassScheme, FromToScheme
from landshift.errors import ClassError, ModelError
from landshift.models import ARCHITECTURES, ChangeModel
from landshift.models.detail import Detailed
from landshift.spec import InputSpec
from packages import ENCODED

SCHEME = ClassScheme.from_mapping({1: "to crop", 2: "to water", 3: "No change"})


def spec(bands=4):
    names = tuple(f"b{k}" for k in range(bands))
    return InputSpec(
        names,
        (100.0,) * bands,
        (10.0,) * bands,
        (0.0,) * bands,
        (255.0,) * bands,
        64,
        "uint8",
        None,
    )


SMALL = {name: "resnet18" for name in ENCODED} | {"segformer": "pvt_v2_b0"}
MAPS = ClassScheme.from_mapping({1: "crop", 2: "water"})
BANDS = ("before:red", "before:nir", "after:red", "after:nir")


def pair(architecture, combination, *, bands=BANDS, scheme=SCHEME, maps=MAPS, **options):
    """A model of two dates of two bands."""
    kwargs = {"backbone": "resnet18"} | options
    return ChangeModel(
        architecture, replace(spec(), bands=bands), scheme, combination=combination,
        map_scheme=maps, **kwargs,
    ).eval()  # fmt: skip


@pytest.mark.parametrize("architecture", ENCODED)
@pytest.mark.parametrize("size", [(64, 64), (50, 37)])
def test_every_architecture_gives_a_logit_per_class_and_pixel(architecture, size):
    model = ChangeModel(architecture, spec(), SCHEME, backbone=SMALL[architecture]).eval()
    assert model(torch.rand(2, 4, *size)).shape == (2, 3, *size)


@pytest.mark.parametrize("architecture", ENCODED)
@pytest.mark.parametrize("combination", ["siamese", "semantic"])
def test_every_architecture_sees_dates_apart(architecture, combination):
    model = pair(architecture, combination, backbone=SMALL[architecture])
    assert model(torch.rand(2, 4, 50, 64)).shape == (2, 3, 50, 64)
    shared = model.network.features.network if combination == "semantic" else model.network
    first = next(p for p in shared.encoder.parameters() if p.ndim == 4)
    assert first.shape[1] == 2  # bands of one date


def test_detail_tells_neighbouring_pixels_apart():
    class Nothing(torch.nn.Module):
        def forward(self, images):
            return torch.zeros(len(images), 16, *images.shape[2:])

    detailed = Detailed(Nothing(), bands=4).eval()
    image = torch.zeros(1, 4, 32, 32)
    spot = image.clone()
    spot[..., 15, 15] = 1
    reached = (detailed(spot) != detailed(image)).any(1)[0]
    assert reached.any()
    assert not reached[:12].any()
    assert not reached[:, 19:].any()


@pytest.mark.parametrize("combination", ["stack", "siamese", "semantic"])
def test_detail_stands_beside_any_network(combination):
    with_detail, without = (
        sum(p.numel() for p in pair("unet", combination, options={"detail": d}).parameters())
        for d in (True, False)
    )
    assert with_detail > without


@pytest.mark.parametrize("detail", [True, False])
@pytest.mark.parametrize("combination", ["stack", "siamese", "semantic"])
def test_a_frozen_encoder_keeps_its_weights_and_statistics(combination, detail):
    model = pair("unet", combination, options={"detail": detail})
    model.freeze()
    model.train()
    before = copy.deepcopy(model.encoder.state_dict())
    model(200 * torch.rand(2, 4, 32, 32)).sum().backward()
    assert all(torch.equal(v, before[k]) for k, v in model.encoder.state_dict().items())
    assert not any(p.requires_grad for p in model.encoder.parameters())
    assert any(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("fusion", ["concat", "difference", "both"])
def test_a_siamese_network_by_differences_alone_sees_no_change_in_equal_dates(fusion):
    model = pair("unet", "siamese", options={"fusion": fusion})
    one, other = 200 * torch.rand(2, 1, 2, 64, 64)
    answers = [model(torch.cat([x, x], 1)) for x in (one, other)]
    assert torch.equal(*answers) == (fusion == "difference")


def test_three_dates_are_fused():
    names = tuple(f"{d}:{b}" for d in ("d1", "d2", "d3") for b in ("red", "nir"))
    model = ChangeModel(
        "unet", replace(spec(6), bands=names), SCHEME, combination="siamese", backbone="resnet18"
    )
    assert model.eval()(200 * torch.rand(1, 6, 32, 32)).shape == (1, 3, 32, 32)


def test_bands_are_put_in_the_order_of_the_dates():
    ordered = pair("unet", "siamese")
    mixed = pair("unet", "siamese", bands=("before:red", "after:red", "before:nir", "after:nir"))
    images = 200 * torch.rand(1, 4, 32, 32)
    assert torch.equal(ordered(images), mixed(images[:, [0, 2, 1, 3]]))


def test_dates_must_share_their_bands():
    with pytest.raises(ModelError, match="the same bands, got no date: b0, b1, b2, b3; name"):
        ChangeModel("unet", spec(), SCHEME, combination="siamese")
    with pytest.raises(ModelError, match=r"got before: red, nir; after: red, swir"):
        pair("unet", "siamese", bands=("before:red", "before:nir", "after:red", "after:swir"))
    dated = replace(spec(), dates=("before", "before", "after", "after"))
    ChangeModel("unet", dated, SCHEME, combination="siamese", backbone="resnet18")


def test_semantic_scores_are_those_of_the_pairs_by_hand():
    model = pair("unet", "semantic")
    images = 200 * torch.rand(1, 4, 32, 32)
    seen = []
    model.network.change.register_forward_hook(lambda _, __, out: seen.append(out))
    heads = model.heads(images)
    before, after, change = (
        heads["before"].softmax(1), heads["after"].softmax(1), seen[0].float().exp()
    )  # fmt: skip
    crop = before[:, 1] * after[:, 0] * change[:, 0]  # from water
    water = before[:, 0] * after[:, 1] * change[:, 0]
    same = (before * after).sum(1)
    by_hand = torch.stack([crop, water, same], 1)
    by_hand /= by_hand.sum(1, keepdim=True)
    assert torch.allclose(heads["change"].softmax(1), by_hand, atol=1e-5)


def test_from_to_codes_differ_exactly_where_the_classes_do():
    scheme = FromToScheme(MAPS)
    model = pair("unet", "semantic", scheme=scheme)
    codes = scheme.to_values(model(200 * torch.rand(1, 4, 64, 64)).argmax(1).numpy())
    ends = {value: a != b for value, (a, b) in scheme.ends.items()}
    binary = pair("unet", "semantic", scheme=BinaryScheme(MAPS))
    assert sorted(ends.values()) == [False, False, True, True]
    assert set(np.unique(codes)) <= set(ends)
    assert binary(200 * torch.rand(1, 4, 64, 64)).shape[1] == 2


def test_a_semantic_network_needs_class_maps_that_give_the_codes():
    with pytest.raises(ModelError, match="needs the class maps before and after"):
        pair("unet", "semantic", maps=None)
    with pytest.raises(
        ClassError, match=r"codes must be those of to, from-to, binary .* got \[1, 7"
    ):
        pair("unet", "semantic", scheme=ClassScheme.from_mapping({1: "a", 7: "b"}))


class Own(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv2d(4, 3, 1)

    def forward(self, images):
        return self.layer(images)


class OwnPair(Own):
    def forward(self, before, after):
        return self.layer(torch.cat([before, after], 1))


def test_a_network_of_ones_own_takes_one_stack_or_two_dates():
    one, two = Own(), OwnPair()
    two.load_state_dict(one.state_dict())
    images = 200 * torch.rand(1, 4, 32, 32)
    answers = [ChangeModel(own, replace(spec(), bands=BANDS), SCHEME)(images) for own in (one, two)]
    assert torch.equal(*answers)


def test_options_are_those_of_the_architecture():
    wide = ChangeModel(
        "pspnet", spec(), SCHEME, backbone="resnet18", options={"pyramid_sizes": (1, 4)}
    )
    assert [b.pool_size for b in wide.network.decoder.psp.blocks] == [1, 4]
    unet = ChangeModel("pspnet", spec(), SCHEME, backbone="resnet18", options={"use_unet": True})
    assert unet.eval()(torch.rand(1, 4, 64, 64)).shape == (1, 3, 64, 64)
    finer = ChangeModel(
        "deeplab", spec(), SCHEME, backbone="resnet18", options={"keep_dilation": True}
    )
    assert finer.network.encoder.output_stride == 8
    with pytest.raises(ModelError, match="Options of unet must be among detail, got keep_dilation"):
        ChangeModel("unet", spec(), SCHEME, options={"keep_dilation": True})
    with pytest.raises(ModelError, match="`fusion` must be one of concat, difference, both"):
        pair("unet", "siamese", options={"fusion": "sum"})
    with pytest.raises(ModelError, match=r"`pyramid_sizes` must be 1 to 16 whole numbers"):
        ChangeModel("pspnet", spec(), SCHEME, options={"pyramid_sizes": (0,)})
    with pytest.raises(ModelError, match=r"`use_unet` must be such as False, got 'yes'"):
        ChangeModel("pspnet", spec(), SCHEME, options={"use_unet": "yes"})


def test_the_usual_backbones_are_the_familiar_ones():
    backbones = {name: a.backbone for name, a in ARCHITECTURES.items()}
    assert {
        "unet": "resnet34",
        "pspnet": "resnet50",
        "deeplab": "resnet101",
    }.items() <= backbones.items()


def test_scaling_is_that_of_the_spec_and_not_of_the_tile():
    model = ChangeModel("unet", spec(), SCHEME, backbone="resnet18").eval()
    seen = []
    model.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(torch.full((1, 4, 32, 32), 120.0))
    model(torch.full((1, 4, 32, 32), 1e6))
    assert torch.equal(seen[0].unique(), torch.tensor([2.0]))
    assert torch.equal(seen[1].unique(), torch.tensor([8.0]))  # clipped


def test_the_seed_decides_the_start_and_nothing_else_is_disturbed():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first = ChangeModel("unet", spec(), SCHEME, backbone="resnet18", seed=5)
    assert torch.equal(torch.rand(3), expected)
    second = ChangeModel("unet", spec(), SCHEME, backbone="resnet18", seed=5)
    other = ChangeModel("unet", spec(), SCHEME, backbone="resnet18", seed=6)
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(next(first.parameters()), next(other.parameters()))


def test_unknown_names_are_one_line():
    with pytest.raises(ModelError, match=r"must be one of unet, .*, got 'vnet'"):
        ChangeModel("vnet", spec(), SCHEME)
    with pytest.raises(
        ModelError, match=r"encoder of timm, got 'resnet999'; did you mean resnet50\."
    ):
        ChangeModel("unet", spec(), SCHEME, backbone="resnet999")
