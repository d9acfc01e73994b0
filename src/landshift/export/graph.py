"""A model as one ONNX file, from a raster's own values to probabilities."""

from __future__ import annotations

import copy
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from landshift.errors import ModelError, ParameterError, reason_of, refuse_out_of_memory
from landshift.export.facts import as_dtype, facts
from landshift.files import whole as whole_files
from landshift.machine import progress
from landshift.machine.extras import required
from landshift.models import ChangeModel
from landshift.spec import MULTIPLE

OPSET = 17
"""Version of ONNX's operators: the oldest with all that are used, for old hosts."""

INPUT, OUTPUT = "image", "probabilities"

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
"""Supported pixel types of the input."""

ENOUGH = 0.9999
"""Smallest share of pixels with the same class in ONNX Runtime and torch."""

_CLOSE = 1e-3  # largest difference of probabilities
_EXAMPLE = 64  # rows and columns of the tile on which the network is traced
_TOLERANCE = 1e-6  # relative error of a nodata value in hosts that rescale


def write_onnx(
    model: ChangeModel,
    path: Path | str,
    *,
    dtype: str | None = None,
    tile_size: int | None = None,
    nodata: float | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the file of `onnx_bytes`, with the same options.

    Args:
        model: See `onnx_bytes`.
        path: The file.
        dtype: See `onnx_bytes`.
        tile_size: See `onnx_bytes`.
        nodata: See `onnx_bytes`.
        overwrite: Whether an existing file is replaced.

    Raises:
        ParameterError: See `onnx_bytes`.
        ModelError: See `onnx_bytes`.
        OutputError: The file can't be written.
    """
    path = Path(path)
    whole_files.check_new(path, overwrite=overwrite)
    data = onnx_bytes(model, dtype=dtype, tile_size=tile_size, nodata=nodata)
    with whole_files.whole_file(path) as part:
        part.write_bytes(data)
    return path


def onnx_bytes(
    model: ChangeModel,
    *,
    dtype: str | None = None,
    tile_size: int | None = None,
    nodata: float | None = None,
) -> bytes:
    """A model as an ONNX file with weights, scaling and softmax.

    Its input ``image`` is ``(batch, band, row, column)`` in the raster's own units and pixel type;
    its output ``probabilities`` is ``(batch, class, row, column)``, at the model's temperature.
    Batch, rows and columns are free; models that pool over the whole tile have fixed rows and
    columns. A pixel that is NaN, infinite or ``nodata`` in any band is replaced by the mean in all
    bands; the host must fill pixels of integer types without ``nodata`` (``fill`` in the metadata).
    The metadata hold what a host needs (`landshift.export.facts`). The graph is run and compared
    with torch; the same model gives the same bytes.

    Args:
        model: The model; it isn't changed.
        dtype: Pixel type of the input, a name in `DTYPES`; None: that of the training tiles.
        tile_size: Fixed rows and columns of the input; None: free.
        nodata: Value of pixels that aren't valid; None: only NaN and infinity.

    Raises:
        ParameterError: onnx or onnxruntime isn't installed; an unknown pixel type; a tile size
            that the model doesn't support; a nodata value outside the pixel type.
        ModelError: The network can't be written in ONNX, or its ONNX output differs.
    """
    onnx, runtime = import_onnx()
    dtype = _dtype(model, dtype)
    size = _size(model, tile_size)
    nodata = _nodata(nodata, dtype)
    with progress.step("ONNX graph"):
        graph = _traced(model, dtype, size, nodata, onnx)
        _describe(graph, facts(model, dtype, size, nodata))
        onnx.checker.check_model(graph, full_check=True)
        data: bytes = graph.SerializeToString(deterministic=True)
    with progress.step("comparison with torch"):
        _check_agrees(model, data, dtype, size, nodata, runtime)
    return data


def import_onnx() -> tuple[Any, Any]:
    """The packages onnx and onnxruntime.

    Raises:
        ParameterError: One isn't installed.
    """
    onnx, runtime = (required(p, "onnx", "Writing ONNX") for p in ("onnx", "onnxruntime"))
    return onnx, runtime


class _Whole(nn.Module):
    """From a raster's values, as floats, to probabilities.

    Args:
        model: The model.
        floating: Whether values may be NaN or infinite.
        size: Fixed rows and columns; None: free.
        nodata: Value of pixels that aren't valid; None: unknown.
    """

    def __init__(
        self, model: ChangeModel, floating: bool, size: int | None, nodata: float | None
    ) -> None:
        super().__init__()
        self.model = model
        self.floating = floating
        self.size = size
        self.nodata = nodata
        self.fill = torch.tensor(model.spec.mean)[None, :, None, None]

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """``(batch, class, row, column)`` probabilities of ``(batch, band, row, column)``."""
        height, width = image.shape[-2:] if self.size is None else (self.size, self.size)
        # unlike the model, always padded: a traced graph has no branches
        extend = (0, -width % MULTIPLE, 0, -height % MULTIPLE)
        extended = functional.pad(self._filled(image), extend, mode="replicate")
        logits = self.model(extended)[..., :height, :width]
        shares: torch.Tensor = (logits / self.model.temperature).softmax(1)
        return shares

    def _filled(self, image: torch.Tensor) -> torch.Tensor:
        """As `InputSpec.fill`, with the mask from the values alone."""
        bad = []
        if self.floating:
            bad += [torch.isnan(image), torch.isinf(image)]
        if self.nodata is not None:
            bad.append((image - self.nodata).abs() <= abs(self.nodata) * _TOLERANCE)
        if not bad:
            return image
        anywhere = torch.stack([b.float() for b in bad]).amax(0).amax(1, keepdim=True)
        return torch.where(anywhere > 0, self.fill, image)


class _PoolsAsProducts(TorchFunctionMode):
    """Replaces pooling to a grid by a product with averaging matrices, which ONNX supports.

    ONNX can't pool to a grid that doesn't divide the features, as pyramid pooling needs.
    """

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if function is functional.adaptive_avg_pool2d:
            return _pooled(*args, **kwargs)
        if function is functional.interpolate and kwargs.get("mode") == "area":
            return _pooled(args[0], kwargs["size"])
        return function(*args, **kwargs)


def _pooled(features: torch.Tensor, output_size: int | Sequence[int]) -> torch.Tensor:
    rows, columns = output_size if isinstance(output_size, Sequence) else (output_size,) * 2
    if rows == columns == 1:
        return features.mean((-2, -1), keepdim=True)
    height, width = map(int, features.shape[-2:])
    return _averages(height, rows) @ features @ _averages(width, columns).T


def _averages(length: int, cells: int) -> torch.Tensor:
    """Weights ``(cell, position)`` along an axis: a cell is the mean of its positions."""
    weights = torch.zeros(cells, length)
    for k in range(cells):
        start, stop = k * length // cells, -(-(k + 1) * length // cells)
        weights[k, start:stop] = 1 / (stop - start)
    return weights


def _traced(
    model: ChangeModel, dtype: str, size: int | None, nodata: float | None, onnx: Any
) -> Any:
    """The graph, with its input in the given pixel type.

    From torch's tracing exporter: the other one takes ten times as long, and writes the names of
    the network's source files into the graph.
    """
    floating = np.issubdtype(np.dtype(dtype), np.floating)
    whole = _Whole(copy.deepcopy(model).cpu(), bool(floating), size, nodata).eval()
    edge = _EXAMPLE if size is None else size
    example = model.mean.cpu().expand(2, -1, edge, edge).contiguous()
    free = {0: "batch"} if size is not None else {0: "batch", 2: "rows", 3: "columns"}
    with (
        tempfile.TemporaryDirectory(prefix="landshift-") as folder,
        warnings.catch_warnings(),
        torch.no_grad(),
        _PoolsAsProducts(),
    ):
        warnings.simplefilter("ignore")  # about tracing, and about the newer exporter
        path = Path(folder) / "graph.onnx"
        try:
            torch.onnx.export(
                whole, (example,), path, dynamo=False, opset_version=OPSET,
                input_names=[INPUT], output_names=[OUTPUT],
                dynamic_axes={INPUT: free, OUTPUT: free},
            )  # fmt: skip
        except Exception as error:  # torch's errors have no common base class
            refuse_out_of_memory(error)
            raise ModelError(
                f"The network must be representable in ONNX, got {model.architecture} over "
                f"{model.backbone} ('{reason_of(error)}'); classify with landshift."
            ) from error
        graph = onnx.load(path)
    _outline(graph.graph.output[0], len(model.scheme), size)
    if dtype != "float32":
        _cast(graph.graph, np.dtype(dtype), onnx)
    return graph


def _outline(output: Any, classes: int, size: int | None) -> None:
    """State the output's shape: hosts read it before they run the graph."""
    axes = output.type.tensor_type.shape.dim
    names, values = ("batch", "class", "rows", "columns"), (None, classes, size, size)
    for axis, name, value in zip(axes, names, values, strict=True):
        axis.Clear()
        if value is None:
            axis.dim_param = name
        else:
            axis.dim_value = value


def _cast(graph: Any, dtype: np.dtype[Any], onnx: Any) -> None:
    """Give the input another type, and cast it to float first.

    Done in the graph, since torch can't trace 16-bit unsigned integers.
    """
    cast = f"{INPUT}_as_float"
    for node in graph.node:
        for k, name in enumerate(node.input):
            if name == INPUT:
                node.input[k] = cast
    first = onnx.helper.make_node("Cast", [INPUT], [cast], to=onnx.TensorProto.FLOAT)
    graph.node.insert(0, first)
    graph.input[0].type.tensor_type.elem_type = onnx.helper.np_dtype_to_tensor_dtype(dtype)


def _describe(graph: Any, about: Mapping[str, str]) -> None:
    """Replace the exporter's metadata by those for the host."""
    graph.doc_string = ""
    for node in graph.graph.node:
        node.doc_string = ""
    del graph.metadata_props[:]
    for key, value in about.items():
        graph.metadata_props.add(key=key, value=value)


def _check_agrees(
    model: ChangeModel,
    data: bytes,
    dtype: str,
    size: int | None,
    nodata: float | None,
    runtime: Any,
) -> None:
    """Compare graph and model, on tiles of other sizes than the traced one.

    Raises:
        ModelError: Their outputs differ.
    """
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    shapes = [(1, size, size)] if size is not None else [(1, 64, 96), (3, 80, 50)]
    for shape in shapes:
        image, filled = _example(model, shape, dtype, nodata)
        output = session.run([OUTPUT], {INPUT: image})[0]
        expected = probabilities(model, filled)
        same = float((output.argmax(1) == expected.argmax(1)).mean())
        difference = float(np.abs(output - expected).max())
        if same < ENOUGH and difference > _CLOSE:
            raise ModelError(
                "The network must have the same output in ONNX Runtime and in torch, got the same "
                f"class on {same:.2%} of pixels and probabilities that differ by {difference:.2g}, "
                f"at {shape[1]}x{shape[2]}; a network whose graph depends on its input can't be "
                "exported."
            )


def _example(
    model: ChangeModel, shape: tuple[int, int, int], dtype: str, nodata: float | None
) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Values as in training tiles, with pixels that aren't valid if possible; the same filled."""
    batch, height, width = shape
    random = np.random.default_rng(0)
    mean, std = (
        np.array(v)[:, None, None] for v in (model.spec.mean, model.spec.std)
    )  # (band, 1, 1)
    values = mean + std * random.standard_normal((batch, len(mean), height, width))
    image = as_dtype(values, dtype)
    if nodata is not None:
        image[:, 0, 3:9, 5:20] = nodata
    elif np.issubdtype(image.dtype, np.floating):
        image[:, 0, 3:9, 5:20] = np.nan
    valid = (np.isfinite(image) & (image != nodata)).all(1)
    pairs = zip(image, valid, strict=True)
    return image, np.stack([model.spec.fill(*pair) for pair in pairs])


def probabilities(model: ChangeModel, image: NDArray[Any]) -> NDArray[np.float32]:
    """Probabilities by torch of valid values ``(batch, band, row, column)``, in float32."""
    was_training = model.training
    with torch.inference_mode():
        values = torch.from_numpy(image.astype(np.float32)).to(model.mean.device)
        logits = model.eval()(values) / model.temperature
        shares: NDArray[np.float32] = logits.softmax(1).cpu().numpy()
    model.train(was_training)
    return shares


def _dtype(model: ChangeModel, dtype: str | None) -> str:
    dtype = model.spec.dtype if dtype is None else dtype
    if dtype not in DTYPES:
        raise ParameterError(f"The pixel type must be one of {', '.join(DTYPES)}, got {dtype!r}.")
    return dtype


def _size(model: ChangeModel, tile_size: int | None) -> int | None:
    """Fixed rows and columns; None for free ones."""
    trained = model.spec.tile_size
    if tile_size is not None and tile_size < 1:
        raise ParameterError(f"`tile_size` must be at least 1, got {tile_size}.")
    if model.fixed_tile and tile_size not in (None, trained):
        raise ParameterError(
            f"`tile_size` of a {model.architecture}, which pools over the whole tile, must be that "
            f"of its training, {trained}, got {tile_size}."
        )
    return trained if model.fixed_tile else tile_size


def _nodata(nodata: float | None, dtype: str) -> float | None:
    """The nodata value, where values must be compared with it."""
    if nodata is None:
        return None
    if np.issubdtype(np.dtype(dtype), np.floating):
        # beyond the largest float32 it becomes infinite, which is filled anyway
        return nodata if abs(nodata) <= np.finfo(np.float32).max else None
    limits = np.iinfo(np.dtype(dtype))
    if not (np.isfinite(nodata) and nodata == int(nodata) and limits.min <= nodata <= limits.max):
        raise ParameterError(f"`nodata` must fit {dtype}, got {nodata:g}.")
    return nodata
