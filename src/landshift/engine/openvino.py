"""OpenVINO as engine: the fastest on x86 CPUs, converted from the torch network."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landshift.engine.prepared import Prepared, import_openvino
from landshift.errors import ParameterError
from landshift.machine.memory import give_back
from landshift.spec import MULTIPLE

if TYPE_CHECKING:
    from landshift.models import ChangeModel

_CORE = 1536  # larger cores waste less on padding, but take more than a gigabyte
_CORE_FLOAT32 = 1024  # activations take twice the memory
_DTYPES = ("uint8", "int8", "uint16", "int16", "float32")
_NEVER = -1e30  # a logit that loses against any other


class OpenVinoEngine:
    """A model compiled by OpenVINO for this CPU.

    The graph takes a tile in the raster's pixel type and its mask, and returns probabilities or
    the best class, without any step in Python. Tiles run one at a time, which is as fast as in
    batches and takes less memory.

    Args:
        model: The model. The engine doesn't change it, and it must not change while the engine
            is used.
        precision: ``float32``, ``bfloat16``, ``int8`` (with ``quantised``), or ``auto``:
            bfloat16 if the processor has instructions for it.
        quantised: The graph that `landshift.engine.quantising.quantise` wrote.
        threads: Threads it computes with; None: one per core.

    Raises:
        ParameterError: OpenVINO isn't installed, or an unknown precision.
        ModelError: OpenVINO can't take the network.
    """

    name = "openvino"
    device = "cpu"
    streams = 1
    batch_size = 1
    allocates = False

    def __init__(
        self,
        model: ChangeModel | Prepared,
        *,
        precision: str = "auto",
        quantised: Path | None = None,
        threads: int | None = None,
    ) -> None:
        openvino = import_openvino()
        self._openvino = openvino
        self._runtime = openvino.Core()
        self._runtime.set_property({"ENABLE_MMAP": False})  # mapped, a graph stays in memory
        self.precision = self._chosen(precision, quantised, exact=model.exact)
        self.core = _CORE_FLOAT32 if self.precision == "float32" else _CORE
        self._config = {
            "INFERENCE_PRECISION_HINT": "f32" if self.precision == "float32" else "bf16",
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
        }
        if not self._has_bfloat16():
            self._config["INFERENCE_PRECISION_HINT"] = "f32"
        if threads is not None:
            self._config["INFERENCE_NUM_THREADS"] = str(threads)
        self._spec, self._classes = model.spec, len(model.scheme)
        self._temperature = model.temperature
        self._graph: Any = quantised  # a file is read when it is compiled, which is rarely twice
        if self._graph is None:
            self._graph = model.file() if isinstance(model, Prepared) else _converted(model)
        self._compiled: dict[tuple[Any, ...], Any] = {}

    def ready(
        self,
        shape: tuple[int, int, int],
        dtype: str,
        *,
        probabilities: bool = False,
        excluded: int | None = None,
    ) -> None:
        """See `landshift.engine.Engine`."""
        bands, height, width = shape
        taken = bands, height + -height % MULTIPLE, width + -width % MULTIPLE
        output = ("probabilities", None) if probabilities else ("best", excluded)
        self._request(taken, _taken(np.dtype(dtype)), *output)

    def predict(
        self, values: NDArray[Any], mask: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        """See `landshift.engine.Engine`."""
        return np.stack([tile.copy() for tile in self.one_by_one(values, mask)])

    def one_by_one(
        self, values: NDArray[Any], mask: NDArray[np.bool_] | None = None
    ) -> Iterator[NDArray[np.float32]]:
        """See `landshift.engine.Engine`."""
        return self._run(values, mask, "probabilities", None)

    def best(
        self,
        values: NDArray[Any],
        mask: NDArray[np.bool_] | None = None,
        *,
        excluded: int | None = None,
    ) -> NDArray[np.uint8]:
        """See `landshift.engine.Engine`."""
        return np.stack([tile[0].copy() for tile in self._run(values, mask, "best", excluded)])

    def _run(
        self,
        values: NDArray[Any],
        mask: NDArray[np.bool_] | None,
        output: str,
        excluded: int | None,
    ) -> Iterator[NDArray[Any]]:
        """The graph's output for each tile, in memory that the next tile overwrites."""
        values = values.astype(_taken(values.dtype), copy=False)
        if mask is None:
            mask = np.ones((len(values), *values.shape[-2:]), np.bool_)
        height, width = values.shape[-2:]
        down, right = -height % MULTIPLE, -width % MULTIPLE
        if down or right:  # extended by their last row and column, as `ChangeModel` does
            sides = ((0, 0), (0, down), (0, right))
            values = np.pad(values, ((0, 0), *sides), mode="edge")
            mask = np.pad(mask, sides, mode="edge")
        request = self._request(values.shape[1:], str(values.dtype), output, excluded)
        for tile, valid in zip(values, mask, strict=True):
            request.infer(
                [
                    np.ascontiguousarray(tile[np.newaxis]),
                    np.ascontiguousarray(valid[np.newaxis, np.newaxis]).view(np.uint8),
                ],
                share_inputs=True,
            )
            yield request.get_output_tensor(0).data[0, :, :height, :width]

    def _request(
        self, shape: tuple[int, int, int], dtype: str, output: str, excluded: int | None
    ) -> Any:
        """The inference request for tiles of a shape; made once."""
        key = shape, dtype, output, excluded
        if key not in self._compiled:
            self._compiled[key] = self._compile(*key).create_infer_request()
            give_back()  # the memory of compiling
        return self._compiled[key]

    def _compile(
        self, shape: tuple[int, int, int], dtype: str, output: str, excluded: int | None
    ) -> Any:
        """The compiled graph from a tile as it was read to ``probabilities`` or ``best``."""
        openvino = self._openvino
        ops = openvino.opset13
        is_file = isinstance(self._graph, Path)
        graph = self._runtime.read_model(self._graph) if is_file else self._graph.clone()
        graph.reshape([1, *shape])
        values = ops.parameter([1, *shape], openvino.Type(np.dtype(dtype)), name="values")
        mask = ops.parameter([1, 1, *shape[1:]], openvino.Type.u8, name="mask")
        mean = np.array(self._spec.mean, np.float32)[None, :, None, None]
        images = ops.select(
            ops.convert(mask, "boolean"), ops.convert(values, "f32"), ops.constant(mean)
        )
        for reader in graph.inputs[0].get_target_inputs():
            reader.replace_source_output(images.output(0))
        logits = graph.outputs[0].get_node().input_value(0)
        if output == "probabilities":
            cold = ops.divide(logits, ops.constant(np.float32(self._temperature)))
            end = ops.softmax(cold, 1)
        else:
            if excluded is not None:
                never = np.zeros((1, self._classes, 1, 1), np.float32)
                never[0, excluded] = _NEVER
                logits = ops.add(logits, ops.constant(never)).output(0)
            top = ops.topk(logits, ops.constant(np.int64(1)), 1, "max", "none", "i32")
            end = ops.convert(top.output(1), "u8")
        whole = openvino.Model([ops.result(end)], [values, mask], "landshift")
        return self._runtime.compile_model(whole, "CPU", self._config)

    def _chosen(self, precision: str, quantised: Path | None, *, exact: bool) -> str:
        if quantised is not None:
            return "int8"
        if precision not in ("auto", "float32", "bfloat16"):
            raise ParameterError(
                f"`precision` must be auto, float32, bfloat16 or int8, got {precision!r}."
            )
        if precision != "auto":
            return precision
        return "bfloat16" if self._has_bfloat16() and not exact else "float32"

    def _has_bfloat16(self) -> bool:
        return "BF16" in self._runtime.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _taken(dtype: np.dtype[Any]) -> str:
    """The pixel type that a graph takes for values of a type."""
    return str(dtype) if str(dtype) in _DTYPES else "float32"


def _converted(model: ChangeModel) -> Any:
    from landshift.engine.conversion import converted

    return converted(lambda: copy.deepcopy(model))
