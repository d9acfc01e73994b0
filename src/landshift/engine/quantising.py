"""Networks in eight-bit integers: half the time again on CPUs that have instructions for them."""

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
from landshift.machine.extras import required

if TYPE_CHECKING:
    from landshift.models import ChangeModel

ENOUGH = 0.995
"""Share of pixels on which an int8 network must give the class of the float32 one."""

SUFFIX = ".int8.json"
"""End of the name of the file that says what an int8 graph was made from; the graph is beside."""


@dataclass(frozen=True)
class Quantised:
    """An int8 network, and how it compares with the float32 one.

    Attributes:
        path: What says so; the graph is beside it.
        agreement: Share of the checked valid pixels with the same class.
        bfloat16: The same of the bfloat16 (or float32) network that is used otherwise.
        shares: For each class of the float32 network, the share of its pixels that keep it; NaN
            where it has none.
    """

    path: Path
    agreement: float
    bfloat16: float
    shares: dict[str, float]


def quantise(
    model: ChangeModel,
    path: Path,
    calibration: Sequence[tuple[NDArray[Any], NDArray[np.bool_]]],
    check: Sequence[tuple[NDArray[Any], NDArray[np.bool_]]],
    *,
    least: float = ENOUGH,
    overwrite: bool = False,
) -> Quantised:
    """Quantise a network after training, and check that its classes stay.

    Weights and activations become integers with scales that are set on the calibration tiles
    (Jacob et al. 2018, doi 10.1109/CVPR.2018.00286), by nncf. Scales span the tiles' mean
    quantiles, so that few extreme pixels don't coarsen all others. Where too few classes stay, the
    convolutions that see the image itself, where rounding costs most, are left as they are.

    Args:
        model: The network.
        path: The file to write, ending in `SUFFIX`; the graph goes beside it as .xml and .bin.
        calibration: Tiles, all of one size that is a multiple of 32: values
            ``(band, row, column)`` and mask ``(row, column)``.
        check: Other tiles, to compare on.
        least: Agreement below which nothing is written.
        overwrite: Whether a graph that is there already is replaced.

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
    graph = converted(lambda: copy.deepcopy(model))
    exact = _classes(OpenVinoEngine(model, precision="float32"), check)
    if not exact.size:
        raise ParameterError(
            "The int8 network is checked on valid pixels, got none; give another raster."
        )
    with tempfile.TemporaryDirectory(prefix="landshift-") as temporary:
        written = Path(temporary) / "graph.xml"
        for left in ([], _first_convolutions(graph)):
            openvino.save_model(_in_integers(graph, images, left), written, compress_to_fp16=False)
            found = _classes(OpenVinoEngine(model, quantised=written), check)
            agreement = float((found == exact).mean())
            if agreement >= least:
                break
        else:
            raise ParameterError(
                f"The int8 network must give the classes of the float32 one on {least:.2%} of "
                f"pixels, got {agreement:.2%}; calibrate on more tiles, use bfloat16, or "
                "ask for less (--least)."
            )
        shares = {
            name: float((found[exact == k] == k).mean()) if (exact == k).any() else float("nan")
            for k, name in enumerate(model.scheme.names)
        }
        fast = _classes(OpenVinoEngine(model), check)
        result = Quantised(path, agreement, float((fast == exact).mean()), shares)
        about = {
            "model": digest_of(model), "openvino": version("openvino"), "nncf": version("nncf"),
            "calibration_tiles": len(images), "left_as_they_are": left,
            "agreement": result.agreement, "bfloat16_agreement": result.bfloat16,
            "kept_of_class": {k: v if v == v else None for k, v in result.shares.items()},
        }  # fmt: skip
        name = path.name.removesuffix(SUFFIX)
        for suffix in (".xml", ".bin"):
            with whole.whole_file(path.with_name(f"{name}.int8{suffix}")) as part:
                shutil.copyfile(written.with_suffix(suffix), part)
        with whole.whole_file(path) as part:
            part.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    return result


def check_new_graph(path: Path, *, overwrite: bool) -> None:
    """Check that `quantise` would replace no graph.

    Raises:
        OutputError: See `ledger.check_new`.
    """
    name = path.name.removesuffix(SUFFIX)
    graph = (path.with_name(f"{name}.int8{suffix}") for suffix in (".xml", ".bin"))
    whole.check_new(path, *graph, overwrite=overwrite)


def _in_integers(graph: Any, images: list[NDArray[np.float32]], left: list[str]) -> Any:
    """A graph in integers, but for the operations of these names."""
    os.environ.setdefault("NNCF_CI", "1")  # else it reports its use to its makers
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
    except Exception as error:  # nncf has no common ancestor for what may fail here
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
        path: What `quantise` wrote.

    Raises:
        ModelError: There is none, or it was made from another network.
    """
    graph = path.with_name(path.name.removesuffix(".json") + ".xml")
    if not path.is_file() or not graph.is_file():
        raise ModelError(
            f"precision='int8' needs the model's int8 graph, got none at {graph}; make it with "
            "`landshift quantize`."
        )
    if json.loads(path.read_text(encoding="utf-8")).get("model") != digest_of(model):
        raise ModelError(
            f"The int8 graph must be made from this very model, got another one's at {graph}; make "
            "it again with `landshift quantize`."
        )
    return graph


def _first_convolutions(graph: Any) -> list[str]:
    """Names of the convolutions that see a graph's input with no other one before them."""
    found: list[str] = []
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
                    found.append(name)
                else:
                    waiting.append(reader)
    return found


def _classes(
    engine: OpenVinoEngine, check: Sequence[tuple[NDArray[Any], NDArray[np.bool_]]]
) -> NDArray[np.uint8]:
    """Class indices of all valid pixels."""
    return np.concatenate(
        [engine.best(v[np.newaxis], m[np.newaxis])[0][m] for v, m in check]
    )  # fmt: skip
