"""Networks in 8-bit integers: twice as fast as bfloat16 on CPUs with instructions for them."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift.engine.described import digest_of
from landshift.engine.openvino import OpenVinoEngine
from landshift.engine.prepared import Prepared, import_openvino
from landshift.errors import ModelError, ParameterError, reason_of, refuse_out_of_memory
from landshift.files import whole
from landshift.machine import progress
from landshift.machine.extras import required

if TYPE_CHECKING:
    from landshift.models import ChangeModel

ENOUGH = 0.995
"""Share of pixels on which an int8 network must give the class of the float32 one."""

SUFFIX = ".int8.json"
"""End of the name of an int8 graph's description, which has the graph beside it."""

MaskedTile = tuple[NDArray[Any], NDArray[np.bool_]]
"""Values ``(band, row, column)`` and mask ``(row, column)`` of a tile."""


@dataclass(frozen=True)
class Quantised:
    """An int8 network, and its agreement with the float32 one.

    Attributes:
        path: Its description; the graph is beside it.
        agreement: Share of the checked valid pixels with the same class.
        bfloat16: The same for the bfloat16 (or float32) network that ``auto`` uses.
        shares: For each class of the float32 network, the share of its pixels that keep it; NaN
            if it has none.
    """

    path: Path
    agreement: float
    bfloat16: float
    shares: dict[str, float]


def quantise(
    model: ChangeModel,
    path: Path,
    calibration: Sequence[MaskedTile],
    check: Sequence[MaskedTile],
    *,
    least: float = ENOUGH,
    overwrite: bool = False,
) -> Quantised:
    """Quantise a network after training, and check that its predictions stay the same.

    Weights and activations become integers with scales that are set on the calibration tiles
    (Jacob et al. 2018, doi 10.1109/CVPR.2018.00286), by nncf. Scales span the tiles' mean
    quantiles, so that few extreme pixels don't coarsen all others. If too few pixels keep their
    class, the convolutions that take the image itself, where rounding costs most, stay in floating
    point.

    Args:
        model: The network.
        path: The file to write, ending in `SUFFIX`; the graph goes beside it as .xml and .bin.
        calibration: Tiles, all of one size that is a multiple of 32: values
            ``(band, row, column)`` and mask ``(row, column)``.
        check: Other tiles, to compare on.
        least: Agreement below which nothing is written.
        overwrite: Whether an existing graph is replaced.

    Raises:
        ParameterError: openvino or nncf isn't installed; or the agreement is below ``least``.
        ModelError: OpenVINO can't take the network.
        OutputError: The files can't be written.
    """
    openvino = import_openvino()
    from landshift.engine.conversion import converted

    assert path.name.endswith(SUFFIX)
    check_new_graph(path, overwrite=overwrite)
    images = [model.spec.fill(values, mask)[np.newaxis] for values, mask in calibration]
    with progress.step("float32"):
        graph = converted(lambda: copy.deepcopy(model))
        exact = _classes(OpenVinoEngine(model, precision="float32"), check)
    if not exact.size:
        raise ParameterError(
            "The int8 network is checked on valid pixels, got none; give another raster."
        )
    with tempfile.TemporaryDirectory(prefix="landshift-") as temporary:
        written = Path(temporary) / "graph.xml"
        for left in ([], _first_convolutions(graph)):
            with progress.step("int8"):
                small = _in_integers(graph, images, left)
                openvino.save_model(small, written, compress_to_fp16=False)
                codes = _classes(OpenVinoEngine(model, quantised=written), check)
            agreement = float((codes == exact).mean())
            if agreement >= least:
                break
        else:
            raise ParameterError(
                f"The int8 network must give the classes of the float32 one on {least:.2%} of "
                f"pixels, got {agreement:.2%}; calibrate on more tiles, use bfloat16, or "
                "lower `least`."
            )
        with progress.step("bfloat16"):
            fast = _classes(OpenVinoEngine(model), check)
        bfloat16 = float((fast == exact).mean())
        result = Quantised(path, agreement, bfloat16, _kept_shares(model, exact, codes))
        _write(result, written, _description(model, result, tiles=len(images), left=left))
    return result


def _kept_shares(
    model: ChangeModel, exact: NDArray[np.uint8], codes: NDArray[np.uint8]
) -> dict[str, float]:
    """Share of each class's pixels that keep it, by the class's name; NaN without pixels."""
    return {
        name: float((codes[exact == k] == k).mean()) if (exact == k).any() else float("nan")
        for k, name in enumerate(model.scheme.names)
    }


def _description(
    model: ChangeModel, result: Quantised, *, tiles: int, left: list[str]
) -> dict[str, Any]:
    """The file beside a graph: what it was made from, and its agreement."""
    return {
        "model": digest_of(model), "openvino": version("openvino"), "nncf": version("nncf"),
        "calibration_tiles": tiles, "left_as_they_are": left,
        "agreement": result.agreement, "bfloat16_agreement": result.bfloat16,
        "kept_of_class": {k: v if v == v else None for k, v in result.shares.items()},
    }  # fmt: skip


def _write(result: Quantised, graph: Path, description: dict[str, Any]) -> None:
    """Write the graph, then the file that describes it."""
    name = result.path.name.removesuffix(SUFFIX)
    for suffix in (".xml", ".bin"):
        with whole.whole_file(result.path.with_name(f"{name}.int8{suffix}")) as part:
            shutil.copyfile(graph.with_suffix(suffix), part)
    with whole.whole_file(result.path) as part:
        part.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


def check_new_graph(path: Path, *, overwrite: bool) -> None:
    """Check that `quantise` would replace no graph.

    Raises:
        OutputError: See `landshift.files.whole.check_new`.
    """
    name = path.name.removesuffix(SUFFIX)
    graph = (path.with_name(f"{name}.int8{suffix}") for suffix in (".xml", ".bin"))
    whole.check_new(path, *graph, overwrite=overwrite)


def _in_integers(graph: Any, images: list[NDArray[np.float32]], left: list[str]) -> Any:
    """A graph in integers, except for the operations in ``left``."""
    os.environ.setdefault("NNCF_CI", "1")  # turns off usage statistics
    nncf = required("nncf", "openvino", "Quantising", instead="use bfloat16")
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    nncf.set_log_level(logging.ERROR)
    ready = graph.clone()
    ready.reshape([1, *images[0].shape[1:]])
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # its progress bars
            small = nncf.quantize(
                ready, nncf.Dataset(images), subset_size=len(images),
                preset=nncf.QuantizationPreset.MIXED,
                ignored_scope=nncf.IgnoredScope(names=left),
                advanced_parameters=nncf.AdvancedQuantizationParameters(
                    activations_range_estimator_params=RangeEstimatorParametersSet.MEAN_QUANTILE
                ),
            )  # fmt: skip
    except Exception as error:  # nncf's errors have no common base class
        refuse_out_of_memory(error)
        raise ModelError(
            f"nncf must be able to quantise the network, got '{reason_of(error)}'; use bfloat16."
        ) from error
    small.reshape([1, images[0].shape[1], -1, -1])
    return small


def graph_of(model: ChangeModel | Prepared, path: Path) -> Path:
    """The int8 graph of a model.

    Args:
        model: The network.
        path: The description that `quantise` wrote.

    Raises:
        ModelError: There is none, or it was made from another network.
    """
    graph = path.with_name(path.name.removesuffix(".json") + ".xml")
    if not path.is_file() or not graph.is_file():
        raise ModelError(
            f"`precision` 'int8' needs the model's int8 graph, got none at {graph}; make it with "
            "`landshift quantize`."
        )
    if json.loads(path.read_text(encoding="utf-8")).get("model") != digest_of(model):
        raise ModelError(
            f"The int8 graph must be made from this very model, got one of another model at "
            f"{graph}; make it again with `landshift quantize`."
        )
    return graph


def _first_convolutions(graph: Any) -> list[str]:
    """Names of a graph's convolutions that have no other convolution before them."""
    names: list[str] = []
    waiting = list(graph.get_parameters())
    seen = set()
    while waiting:
        node = waiting.pop()
        for output in node.outputs():
            for reader in (target.get_node() for target in output.get_target_inputs()):
                name = reader.get_friendly_name()
                if name in seen:
                    continue
                seen.add(name)
                if "Convolution" in reader.get_type_name():
                    names.append(name)
                else:
                    waiting.append(reader)
    return names


def _classes(engine: OpenVinoEngine, check: Sequence[MaskedTile]) -> NDArray[np.uint8]:
    """Class indices of all valid pixels."""
    tiles = progress.each(check, "tiles", len(check))
    return np.concatenate(
        [engine.best(v[np.newaxis], m[np.newaxis])[0][m] for v, m in tiles]
    )  # fmt: skip
