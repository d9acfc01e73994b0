"""Models for particular hosts: QGIS' plugin Deepness, and ArcGIS."""

from __future__ import annotations

import logging
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from landshift import bundle
from landshift.errors import ModelError, ParameterError
from landshift.files import kinds, options, whole

if TYPE_CHECKING:
    from landshift.bundle import Extras
    from landshift.models import ChangeModel

log = logging.getLogger(__name__)

Host = Literal["any", "deepness"]
"""The program that runs the file: any ONNX runtime, or QGIS' plugin Deepness."""

FUNCTION = "LandshiftClassifier.py"
"""The raster function for ArcGIS; every package holds a copy of this file."""


def export_model(
    model: Path | str,
    out: options.OutFile,
    *,
    host: Annotated[Host, Parameter(name="--for")] = "any",
    nodata: float | None = None,
    tile_size: int | None = None,
    overwrite: options.Flag = False,
) -> Path:
    """Write a model as one ONNX file: the raster's own values in, probabilities out.

    Args:
        model: A saved model: .emd, .dlpk, folder or hf://owner/repo.
        out: The .onnx file to write.
        host: The program that runs it: any ONNX runtime, or deepness, QGIS' plugin, which passes
            float32 values in square tiles of one size.
        nodata: Value of pixels that aren't valid, if the host passes it to the model; left out:
            that of the training tiles.
        tile_size: Fixed rows and columns of the input; left out: any size, for deepness the
            training tile's size or a larger one if the padding needs it.
        overwrite: Replace what is there already under the same name.

    Raises:
        ParameterError: An unknown host; else as `landshift.export.graph.write_onnx`.
        ModelError: The model can't be read, or written in ONNX.
        OutputError: The file can't be written.
    """
    options.check_choice("host", host, Host)
    kinds.ONNX.check(out)
    whole.check_new(out, inputs=[model], overwrite=overwrite)
    network = bundle.load(model).model
    return write_for_host(
        network, out, host=host, nodata=nodata, tile_size=tile_size, overwrite=overwrite
    )


def write_for_host(
    model: ChangeModel,
    out: Path | str,
    *,
    host: Host = "any",
    nodata: float | None = None,
    tile_size: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a model in memory as `export_model` does, with the same options.

    For ``any``, the input has the training tiles' pixel type. For Deepness it is float32, and its
    size is fixed (`landshift.spec.InputSpec.hosted`).
    """
    from landshift.export.graph import write_onnx

    nodata = model.spec.nodata if nodata is None else nodata
    if host == "any":
        return write_onnx(model, out, tile_size=tile_size, nodata=nodata, overwrite=overwrite)
    size = tile_size or model.spec.hosted(fixed=model.fixed_tile)[0]
    return write_onnx(
        model, out, dtype="float32", tile_size=size, nodata=nodata, overwrite=overwrite
    )


def for_arcgis(model: ChangeModel, name: str) -> Extras:
    """Additions to a package for ArcGIS: ONNX file, raster function, and their keys in the .emd.

    None, with a warning, if onnx isn't installed or can't represent the network.

    Args:
        model: The model.
        name: Its name.
    """
    from landshift.export.graph import onnx_bytes

    try:
        graph = onnx_bytes(model)
    except (ParameterError, ModelError) as error:
        log.warning("%s is saved without ONNX file and ArcGIS function: %s", name, error)
        return bundle.Extras()
    function = resources.files("landshift.export").joinpath(FUNCTION).read_bytes()
    return bundle.Extras(
        files={f"{name}.onnx": graph, FUNCTION: function},
        emd={
            "Framework": "Onnx",  # as Esri's own example of an ONNX model spells it
            "ModelFile": f"{name}.onnx",
            "InferenceFunction": FUNCTION,
        },
    )
