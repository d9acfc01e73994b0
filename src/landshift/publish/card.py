"""A model card as Markdown with a header for hubs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from landshift.bundle import Package

_SHOWN = ("accuracy", "macro_f1", "miou", "change_f1")


def card(package: Package, repo: str, *, licence: str | None = None) -> str:
    """The card of a model.

    Args:
        package: The model.
        repo: Its repository on a hub: ``owner/name``.
        licence: Its licence as hubs name it (``apache-2.0``); None: unstated.
    """
    return "\n".join([*_header(package, licence), "", *_body(package, repo), ""])


def _header(package: Package, licence: str | None) -> list[str]:
    """YAML for hubs, with strings as in JSON, which is valid YAML."""
    model = package.model
    tags = ["land-cover", "change-detection", "remote-sensing", "semantic-segmentation"]
    header: dict[str, Any] = {
        "library_name": "landshift",
        "pipeline_tag": "image-segmentation",
        "tags": [*tags, model.architecture, *([] if model.encoder is None else [model.backbone])],
    }
    if licence is not None:
        header = {"license": licence, **header}
    if package.scores is not None:
        header["metrics"] = ["accuracy", "f1", "mean_iou"]
    return ["---", *(f"{key}: {json.dumps(value)}" for key, value in header.items()), "---"]


def _body(package: Package, repo: str) -> Iterable[str]:
    model, spec = package.model, package.model.spec
    yield f"# {_text(package.name)}"
    yield ""
    yield (
        f"A {model.design.combination} {_text(model.title)}, "
        f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f} million weights, that turns "
        f"{len(spec.bands)} bands into a map of {len(model.scheme)} classes. Made with landshift."
    )
    yield ""
    yield "## Use"
    yield ""
    yield "```sh"
    yield f"landshift classify composite.tif hf://{repo} -o map.tif"
    yield "```"
    yield ""
    yield from _bands(package)
    yield from _classes(package)
    yield from _scores(package)
    yield from _training(package)
    yield from _limits(package)


def _bands(package: Package) -> Iterable[str]:
    spec = package.model.spec
    unknown = ("",) * len(spec.bands)
    yield "## Bands"
    yield ""
    yield (
        "In this order, in the raster's own units; scaling is part of the model. A raster with "
        "bands of these names may have other bands too."
    )
    yield ""
    yield from _table(
        ("band", "sensor", "units", "mean", "standard deviation"),
        zip(
            spec.bands, spec.band_sensors or unknown, spec.band_units or unknown,
            (f"{v:g}" for v in spec.mean), (f"{v:g}" for v in spec.std), strict=True,
        ),
    )  # fmt: skip


def _classes(package: Package) -> Iterable[str]:
    scores = {} if package.scores is None else {c["name"]: c for c in package.scores["classes"]}
    yield "## Classes"
    yield ""
    yield from _table(
        ("value", "class", "colour", "F1", "IoU", "validation pixels"),
        (
            (
                str(c.value), c.name, "#" + "".join(f"{v:02x}" for v in c.colour),
                *(_share(scores.get(c.name, {}).get(k)) for k in ("f1", "iou")),
                str(scores.get(c.name, {}).get("support", "")),
            )
            for c in package.model.scheme
        ),
    )  # fmt: skip


def _scores(package: Package) -> Iterable[str]:
    if package.scores is None:
        return
    yield "## Scores"
    yield ""
    yield (
        "On the validation tiles. Accuracy counts every pixel, with unchanged ones; change F1 "
        "compares changed with unchanged pixels only."
    )
    yield ""
    names = [n for n in _SHOWN if package.scores.get(n) is not None]
    yield from _table(
        ("score", "value"),
        ((n.replace("_", " "), _share(package.scores[n])) for n in names),
    )


def _training(package: Package) -> Iterable[str]:
    plain = {k: v for k, v in package.training.items() if isinstance(v, str | int | float)}
    if not plain:
        return
    yield "## Training"
    yield ""
    yield from _table(("option", "value"), ((k, str(v)) for k, v in plain.items()))


def _limits(package: Package) -> Iterable[str]:
    spec = package.model.spec
    size = "" if spec.cell_size is None else f" with pixels of {spec.cell_size:g} CRS units"
    yield "## Limits"
    yield ""
    yield (
        f"- It was trained on tiles of {spec.tile_size} pixels{size}: its accuracy for other "
        "sensors, seasons, resolutions and places is unknown. `landshift classify` warns where "
        "values are far from those of the training."
    )
    yield (
        "- Areas counted in its map are biased; `landshift sample` and `landshift estimate` give "
        "areas with intervals."
    )
    if package.model.fixed_tile:
        yield "- It pools over whole tiles: run it at the tile size of its training."
    if package.scores is None:
        yield "- Its scores are unknown."


def _table(names: Sequence[str], rows: Iterable[Sequence[str | None]]) -> Iterable[str]:
    """A table without empty columns."""
    lines = [[_text(cell or "") for cell in row] for row in rows]
    kept = [k for k in range(len(names)) if any(line[k] for line in lines)]
    yield "| " + " | ".join(names[k] for k in kept) + " |"
    yield "|" + "---|" * len(kept)
    for line in lines:
        yield "| " + " | ".join(line[k] for k in kept) + " |"
    yield ""


def _text(text: str) -> str:
    """Untrusted text without line ends, Markdown or HTML."""
    return re.sub(r"([\\`*_{}\[\]<>#|!~$&])", r"\\\1", " ".join(text.split()))


def _share(value: Any) -> str:
    return "" if value is None else f"{value:.3f}"
