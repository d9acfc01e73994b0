"""Packages that someone made to do harm: each is one line of error, and writes nothing."""

import contextlib
import json
import os
import pickle
import resource
import shutil
import stat
import struct
import tempfile
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

import packages
from landshift import bundle
from landshift.errors import ModelError


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return packages.save(tmp_path_factory.mktemp("good"))


@pytest.fixture
def folder(good, tmp_path, monkeypatch):
    """A copy of a package, free to be spoilt; the working and the temporary folder are watched."""
    for name in ("here", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return Path(shutil.copytree(good, tmp_path / "small"))


def refused(path, match="."):
    """Every way in gives one line of error, and no file is left, made or changed anywhere."""
    root = Path.cwd().parent
    folder = root / "small"
    before = {p: p.is_file() and p.stat().st_mtime_ns for p in root.rglob("*")}
    with pytest.raises(ModelError, match=match) as caught:
        bundle.load(path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000
    for other in (bundle.verify, lambda p: bundle.keep_padding(p, 8)):
        with contextlib.suppress(ModelError):
            other(path)
    assert before.keys() == set(root.rglob("*"))
    changed = {p for p, time in before.items() if time and p.stat().st_mtime_ns != time}
    assert changed <= {folder / name for name in ("landshift.json", "SHA256SUMS", "small.dlpk")}


def input_with(**changes):
    return {"input": {**packages.spec().as_dict(), **changes}}


def nested(depth):
    return json.loads("[" * depth + "]" * depth)


ONE = {"Value": 1, "Name": "a", "Color": [1, 2, 3]}
ROW = {
    "epoch": 0, "train_loss": 1.0, "valid_loss": 1.0, "accuracy": 1.0, "dice": 1.0, "miou": 1.0,
    "change_f1": None,
}  # fmt: skip
SPLIT = {"val_split_pct": 0.1, "split": "ground", "augment": True, "seed": 1, "ignore_classes": []}

MANIFESTS = {
    "another format": {"format": 2},
    "a format that is no number": {"format": "3"},
    "a format that is true": {"format": True},
    "a key too many": {"evil": 1},
    "a key of two lines": {"evil\nkey\x1b[2J": 1},
    "a format of two lines": {"format": "3\n\x1b[2J"},
    "a value of two lines": {"combination": "x\n\x1b[2J", "temperature": "x\n\x1b[2J"},
    "a name that climbs": {"name": "../../owned"},
    "a name that is absolute": {"name": "/tmp/owned"},
    "a name of a device": {"name": "CON"},
    "a name without end": {"name": "a" * 100_000},
    "no name": {"name": ""},
    "weights above": {"weights": "../small.safetensors"},
    "weights at a path": {"weights": "/etc/passwd"},
    "weights on a server": {"weights": "\\\\server\\share\\small.safetensors"},
    "weights on a drive": {"weights": "C:\\small.safetensors"},
    "weights that aren't": {"weights": "small.emd"},
    "a hub as backbone": {"backbone": "hf-hub:evil/model"},
    "a hub in another spelling": {"backbone": "hf_hub:evil/model"},
    "timm's hub as backbone": {"backbone": "timm/resnet18"},
    "a folder as backbone": {"backbone": "local-dir:/tmp/evil"},
    "an address as backbone": {"backbone": "https://example.org/evil"},
    "a tag with a place": {"backbone": "resnet18.hf-hub:evil"},
    "a backbone of another library": {"backbone": "tu-resnet18"},
    "a backbone that isn't": {"backbone": "resnet19"},
    "an architecture that isn't": {"architecture": "__class__"},
    "a network without its code": {"architecture": "own", "backbone": "os.system"},
    "a combination that isn't": {"combination": "eval"},
    "an option of the encoder's": {"options": {"encoder_weights": "imagenet"}},
    "an option of timm's": {"options": {"pretrained": True}},
    "an option of another name": {"options": {"__init__": 1}},
    "an option of two lines": {"options": {"a\nb\x1b[2J": 1}},
    "bands of two lines": {"combination": "siamese"}
    | input_with(bands=["a\nb", "c\x1b[2J", "d", "e", "f", "g"]),
    "an option of another type": {"options": {"use_unet": "yes"}},
    "an option of a nearby type": {"options": {"detail": 1}},
    "an option that is deep": {"options": {"use_unet": nested(30)}},
    "pyramids without end": {"options": {"pyramid_sizes": [1] * 100_000}},
    "pyramids of text": {"options": {"pyramid_sizes": "1236"}},
    "pyramids that are true": {"options": {"pyramid_sizes": [True]}},
    "a pyramid of a million": {"options": {"pyramid_sizes": [1_000_000]}},
    "nothing in the input": {"input": {}},
    "no bands": input_with(bands=[]),
    "ten thousand bands": {"input": packages.spec(10_000).as_dict()},
    "four thousand bands": {"input": packages.spec(4096).as_dict()},
    "bands that are numbers": input_with(bands=[1, 2, 3, 4, 5, 6]),
    "too few means": input_with(mean=[0.0]),
    "means of text": input_with(mean=["0"] * 6),
    "a spread of nothing": input_with(std=[0.0] * 6),
    "a spread below nothing": input_with(std=[-1.0] * 6),
    "a number without end": input_with(mean=[float("inf")] * 6),
    "no number": input_with(mean=[float("nan")] * 6),
    "units of numbers": input_with(band_units=[1] * 6),
    "too many sensors": input_with(band_sensors=["x"] * 7),
    "a tile without pixels": input_with(tile_size=0),
    "a tile of a billion": input_with(tile_size=10**9),
    "half a tile": input_with(tile_size=64.5),
    "a padding below nothing": input_with(padding=-1),
    "pixels of objects": input_with(dtype="object"),
    "dates for half of the bands": input_with(dates=["a", "b", "c"]),
    "no classes": {"classes": []},
    "ten thousand classes": {"classes": [{**ONE, "Value": k % 255} for k in range(10_000)]},
    "a class twice": {"classes": [ONE, ONE]},
    "a class beyond a byte": {"classes": [{**ONE, "Value": 256}]},
    "a class below nothing": {"classes": [{**ONE, "Value": -1}]},
    "a class that is true": {"classes": [{**ONE, "Value": True}]},
    "a class of no name": {"classes": [{**ONE, "Name": " "}]},
    "a colour of text": {"classes": [{**ONE, "Color": ["1", "2", "3"]}]},
    "classes that are text": {"classes": "to crop"},
    "other class maps": {"combination": "semantic", "map_classes": [ONE]},
    "no temperature": {"temperature": 0},
    "a temperature of text": {"temperature": "hot"},
    "a temperature that is true": {"temperature": True},
    "a loss of numbers": {"training": {"loss": {"formula": 5}}},
    "a split of text": {"training": {"data": "ground"}},
    "a share of all": {"training": {"data": {**SPLIT, "val_split_pct": 1.0}}},
    "a seed of text": {"training": {"data": {**SPLIT, "seed": "1"}}},
    "training without ground": {"training": {"x": nested(200)}},
    "a table that isn't": {"history": 3},
    "a table of other columns": {"history": [{**ROW, "__class__": 1}]},
    "a table of text": {"history": [{**ROW, "dice": "1"}]},
    "a share above one": {"history": [{**ROW, "dice": 1.5}]},
    "scores without classes": {"scores": {"accuracy": 1.0}},
    "a hash that isn't": {
        "tiles": {"name": "x", "sha256": "y", "training": 1, "validation": 1, "sources": []}
    },
    "versions of numbers": {"versions": {"torch": 2}},
}


@pytest.mark.parametrize("changes", MANIFESTS.values(), ids=MANIFESTS.keys())
def test_a_hostile_description_is_refused(folder, changes):
    packages.edit(folder, **changes)
    refused(folder)


@pytest.mark.parametrize(
    "text",
    [
        b"", b"\0", b"null", b"[]", b"[1]", b'"landshift"', b"{", b'{"format": 3', b"\xff\xfe{}",
        b'{"format": 3}', b'{"format": 3, "format": 2}', b'{"format": ' + b"9" * 10_000 + b"}",
        b'{"format": 1e999}', b'{"a":' * 50_000, b"[" * 1_000_000, b" " * (17 << 20),
    ],
    ids=lambda text: repr(text[:20]),
)  # fmt: skip
def test_what_is_no_description_is_refused(folder, text):
    (folder / "landshift.json").write_bytes(text)
    packages.seal(folder)
    refused(folder)


def link(name):
    member = zipfile.ZipInfo(name)
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


def special(name):
    member = zipfile.ZipInfo(name)
    member.external_attr = (stat.S_IFIFO | 0o777) << 16
    return member


def bzipped(name):
    member = zipfile.ZipInfo(name)
    member.compress_type = zipfile.ZIP_BZIP2
    return member


MEMBERS = {
    **{
        f"the name {name!r:.40}": [(name, b"x")]
        for name in (
            "../owned", "../../../../owned", "a/../../owned", "/tmp/owned", "//server/owned",
            "\\\\server\\share\\owned", "..\\owned", "C:\\owned", "C:owned", "a:stream",
            "./../owned", "CON", "nul", "aux.txt", "COM1.emd", "lpt9.tar.gz", "sub/PRN.x", "com¹",
            "a.", "a ",
            "a?b", "a*b", "a|b", "a<b", 'a"b', "a\nb", "a\x1b[2Jb", "a\u202eb", "a" * 300,
            "a/" * 100 + "b", ("a" * 200 + "/") * 6 + "b",
        )
    },
    "a name twice": [("twice", b"1"), ("twice", b"2")],
    "names that differ in case": [("twice", b"1"), ("TWICE", b"2")],
    "names that differ in accents' form": [
        ("\u00e9", b"1"), (unicodedata.normalize("NFD", "\u00e9"), b"2")
    ],
    "a file that is a folder": [("a", b"1"), ("a/b", b"2")],
    "a folder that is a file": [("a/b", b"1"), ("a", b"2")],
    "its own weights again": [("SMALL.safetensors", b"")],
    "a link": [(link("link"), b"/etc/passwd")],
    "a link and what lies behind": [(link("link"), b"/tmp"), ("link/owned", b"x")],
    "a pipe": [(special("pipe"), b"")],
    "another compression": [(bzipped("b"), b"x" * 1000)],
    "a bomb": [("zeros", bytes(1 << 26))],
}  # fmt: skip


@pytest.mark.parametrize("members", MEMBERS.values(), ids=MEMBERS.keys())
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_a_hostile_zip_is_refused(folder, members, monkeypatch):
    monkeypatch.setattr("landshift.bundle.files._MAX_PACKAGE", 1 << 25)
    refused(packages.packed(folder, members), "Zip members must|at most|whole zip file")


def patched(path, at, value):
    """Bytes of a zip's last central directory entry, set to others."""
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    data[entry + at : entry + at + len(value)] = value
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (8, b"\x01\x00"),  # encrypted
        (10, b"\x09\x00"),  # deflate64
        (16, b"\0\0\0\0"),  # another checksum
        (20, b"\x01\0\0\0"),  # packed in one byte
        (24, b"\x01\0\0\0"),  # unpacked in one byte
        (24, b"\xff\xff\xff\x7f"),  # unpacked in 2 GB
        (42, b"\0\0\0\0"),  # where another member lies
        (42, b"\xff\xff\xff\x7f"),  # where nothing lies
    ],
)
def test_a_zip_that_lies_is_refused(folder, at, value):
    refused(patched(packages.packed(folder, [("last", b"abc" * 100)]), at, value))


@pytest.mark.parametrize("left", [0, 1, 4, 21, 22, 30, 100, 5000, -1, -10, -22, -100, -5000])
def test_a_zip_cut_short_is_refused(folder, left):
    path = packages.packed(folder, [])
    path.write_bytes(path.read_bytes()[:left])
    refused(path, "whole zip file")


def test_a_zip_within_another_is_no_package(folder):
    with zipfile.ZipFile(folder.parent / "hostile.dlpk", "w") as outer:
        outer.write(folder / "small.dlpk", "small.dlpk")
    refused(folder.parent / "hostile.dlpk", r"must hold landshift\.json")


class Evil:
    """Writes a file where it is unpickled."""

    def __reduce__(self):
        return Path.write_text, (Path("owned"), "x")


def header(size, text=b"{}", data=b""):
    return struct.pack("<Q", size) + text + data


def tensor(dtype="F32", shape=(1,), offsets=(0, 4)):
    entry = {"x": {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}}
    text = json.dumps(entry).encode()
    return header(len(text), text, bytes(4))


WEIGHTS = {
    "nothing": b"",
    "a header without end": header(2**63),
    "a header of 200 MB": header(200 << 20),
    "a header that ends early": header(1),
    "a header of text": header(4, b"evil"),
    "a header of lists": header(2, b"[]"),
    "a header that is deep": header(100_000, b'{"a":' * 20_000),
    "no tensors": header(2),
    "tensors of another model": tensor(),
    "a shape without end": tensor(shape=(2**62, 2**62)),
    "a shape below nothing": tensor(shape=(-1,)),
    "data that isn't there": tensor(shape=(1 << 40,), offsets=(0, 1 << 42)),
    "data that ends before it begins": tensor(offsets=(4, 0)),
    "numbers of no type": tensor(dtype="EVIL"),
    "a pickle": pickle.dumps(Evil()),
}


@pytest.mark.parametrize("data", WEIGHTS.values(), ids=WEIGHTS.keys())
def test_hostile_weights_are_refused(folder, data):
    (folder / "small.safetensors").write_bytes(data)
    packages.seal(folder)
    refused(folder, "weights must")


def test_a_pickle_of_torchs_is_never_opened(folder):
    torch.save({"x": Evil()}, folder / "small.safetensors")
    packages.seal(folder)
    refused(folder, "weights must be a whole safetensors file")


def nan(state):
    state[next(k for k in state if k.endswith("conv1.weight"))][...] = torch.nan


def infinite(state):
    state[next(k for k in state if k.endswith("running_var"))][0] = torch.inf


def double(state):
    name = next(k for k in state if k.endswith("weight"))
    state[name] = state[name].double()


def wider(state):
    name = next(name for name, tensor in state.items() if tensor.dim())
    state[name] = torch.cat([state[name]] * 2)


def added(state):
    state["evil\n\x1b[2J"] = torch.zeros(1)


def removed(state):
    del state[next(iter(state))]


@pytest.mark.parametrize("spoil", [nan, infinite, double, wider, added, removed])
def test_weights_that_dont_fit_are_refused(folder, spoil):
    path = folder / "small.safetensors"
    state = safetensors.torch.load(path.read_bytes())
    spoil(state)
    safetensors.torch.save_file(state, path)
    packages.seal(folder)
    refused(folder, "weights must fit|must be finite numbers")


@pytest.mark.parametrize("name", ["landshift.json", "small.safetensors", "SHA256SUMS"])
def test_links_are_not_followed(folder, name, tmp_path):
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    refused(folder)


@pytest.mark.parametrize(
    "name", ["landshift.json", "small.safetensors", "SHA256SUMS", "small.dlpk"]
)
def test_pipes_are_not_waited_for(folder, name):
    (folder / name).unlink()
    os.mkfifo(folder / name)
    refused(folder / name if name == "small.dlpk" else folder)


@pytest.mark.parametrize("sums", [b"", b"\xff", b"x", b"0" * (2 << 20), b"0" * 64 + b"  ../a\n"])
def test_hostile_hashes_are_refused(folder, sums):
    (folder / "SHA256SUMS").write_bytes(sums)
    refused(folder)


def test_a_description_takes_no_memory_beyond_the_weights(folder):
    """A ConvNeXt of 2.6 GB, asked for by weights of half a megabyte."""
    packages.edit(
        folder, architecture="unet", backbone="convnextv2_huge", options={"detail": False}
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(folder, "weights must fit unet over convnextv2_huge")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KB


def test_an_emd_that_points_elsewhere_is_not_followed(folder, tmp_path):
    """Of our own packages, the .emd is for Esri's tools alone: landshift.json is what counts."""
    weights = bundle.load(folder).model.state_dict()
    definition = json.loads((folder / "small.emd").read_text())
    for place in ("/etc/passwd", "\\\\server\\share\\x.pth", "../../x.pth", "C:\\x.pth"):
        hostile = {
            **definition,
            "ModelFile": place,
            "LandshiftModel": place,
            "InferenceFunction": place,
        }
        (folder / "small.emd").write_text(json.dumps(hostile))
        state = bundle.load(folder / "small.emd").model.state_dict()
        assert all(np.array_equal(state[k], weights[k]) for k in weights)
