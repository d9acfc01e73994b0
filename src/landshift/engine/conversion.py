"""Torch networks as OpenVINO graphs; run as a program, it converts a saved model."""

from __future__ import annotations

import copy
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import torch

from landshift import bundle
from landshift.engine.described import Description
from landshift.engine.openvino import import_openvino
from landshift.engine.prepared import ABOUT, GRAPH
from landshift.errors import ModelError
from landshift.models import ChangeModel
from landshift.spec import MULTIPLE

_EXAMPLE = 64  # rows and columns of the tile that a network is traced on


def converted(model: ChangeModel) -> Any:
    """A model as an OpenVINO graph: filled float32 tiles of any multiple of 32 -> logits.

    Raises:
        ModelError: OpenVINO can't take the network.
    """
    openvino = import_openvino()
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    size = model.spec.tile_size if model.fixed_tile else _EXAMPLE
    size += -size % MULTIPLE
    example = model.mean.cpu().expand(1, -1, size, size).contiguous()
    # on the CPU the graph shares the model's weights: memory holds them once
    traced = model if model.mean.device.type == "cpu" else copy.deepcopy(model).cpu()
    was_training = traced.training
    # openvino.convert_model does the same, five times as long, and reports its use to its makers
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of tracing: shapes that stay the same, which they do
        try:
            front = FrontEndManager().load_by_framework("pytorch")
            script = torch.jit.trace(traced.eval(), example, check_trace=False)  # type: ignore[no-untyped-call]
            decoder = TorchScriptPythonDecoder(script)  # must outlive the conversion
            read = front.load(decoder)
            bands = len(model.spec.bands)
            read.set_partial_shape(read.get_inputs()[0], openvino.PartialShape([1, bands, -1, -1]))
            return front.convert(read)
        except Exception as error:  # openvino has no common ancestor for what may fail here
            raise ModelError(
                f"engine='openvino' needs a network that it can convert, got {model.architecture} "
                f"({str(error).splitlines()[0]}); choose engine='torch'."
            ) from error
        finally:
            traced.train(was_training)


def main(package: str, folder: str) -> None:
    """Write a saved model's graph and its description, for `landshift.engine.prepared`.

    Args:
        package: The .dlpk, the .emd or the folder.
        folder: Where they go.
    """
    # weights in the order that OpenVINO wants: of others it makes a copy
    model = bundle.load(package).model.to(memory_format=torch.contiguous_format)
    path = Path(folder)
    import_openvino().save_model(converted(model), path / GRAPH, compress_to_fp16=False)
    about = Description.of(model).as_dict()
    (path / ABOUT).write_text(json.dumps(about), encoding="utf-8")  # last: the graph is whole


if __name__ == "__main__":
    main(*sys.argv[1:])
