"""Conversion of torch networks to OpenVINO graphs; as a program, of a saved model."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from landshift import bundle
from landshift.engine.described import Description
from landshift.engine.folding import folded
from landshift.engine.prepared import ABOUT, GRAPH, import_openvino
from landshift.errors import ModelError, reason_of, refuse_out_of_memory
from landshift.models import ChangeModel
from landshift.spec import MULTIPLE

_EXAMPLE = 64  # rows and columns of the tile that a network is traced on


def converted(load: Callable[[], ChangeModel]) -> Any:
    """A model as an OpenVINO graph: filled float32 tiles of any multiple of 32 -> logits.

    Args:
        load: Returns the network, as for `landshift.engine.folding.folded`.

    Raises:
        ModelError: OpenVINO can't take the network.
    """
    openvino = import_openvino()
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    # openvino.convert_model does the same in five times the time, and sends usage statistics
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # tracing warns of constant shapes, which these are
        try:
            model = folded(load)
            # weights in the layout of OpenVINO, which copies any other
            model = model.cpu().to(memory_format=torch.contiguous_format)
            size = model.spec.tile_size if model.fixed_tile else _EXAMPLE
            size += -size % MULTIPLE
            example = model.mean.expand(1, -1, size, size).contiguous()
            front = FrontEndManager().load_by_framework("pytorch")
            script = torch.jit.trace(model, example, check_trace=False)  # type: ignore[no-untyped-call]
            decoder = TorchScriptPythonDecoder(script)  # must outlive the conversion
            read = front.load(decoder)
            shape = openvino.PartialShape([1, len(model.spec.bands), -1, -1])
            read.set_partial_shape(read.get_inputs()[0], shape)
            return front.convert(read)
        except Exception as error:  # openvino's errors have no common base class
            refuse_out_of_memory(error)
            raise ModelError(
                "`engine` 'openvino' needs a network that it can convert, got one that it can't "
                f"({reason_of(error)}); choose 'torch'."
            ) from error


def main(package: str, folder: str) -> None:
    """Write a saved model's graph and its description, for `landshift.engine.prepared`.

    Args:
        package: The .dlpk, the .emd or the folder.
        folder: The folder to write to.
    """

    def load() -> ChangeModel:
        return bundle.load(package).model

    path = Path(folder)
    about = Description.of(load()).as_dict()
    graph = converted(load)
    import_openvino().save_model(graph, path / GRAPH, compress_to_fp16=False)
    (path / ABOUT).write_text(json.dumps(about), encoding="utf-8")  # last: the graph is complete


if __name__ == "__main__":
    main(*sys.argv[1:])
