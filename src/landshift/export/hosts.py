"""Models for particular hosts: QGIS' plugin Deepness, and ArcGIS."""

from __future__ import annotations

import logging
from importlib import resources
from pathlib import Path

from landshift import bundle
from landshift.bundle import Extras
from landshift.errors import ModelError, ParameterError
from landshift.export.graph import onnx_bytes, write_onnx
from landshift.files import whole
from landshift.models import ChangeModel

log = logging.getLogger(__name__)

HOSTS = ("any", "deepness")
"""Who the file is for: any runtime of ONNX; Deepness, which feeds floats in squares of one size."""

FUNCTION = "LandshiftClassifier.py"
"""The raster function, a file of this room that every package holds as it is."""


def export_model(
    model: ChangeModel | Path | str,
    out: Path | str,
    *,
    host: str = "any",
    nodata: float | None = None,
    tile_size: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a model as one ONNX file for a host.

    Args:
        model: A model, or the .emd, .dlpk or folder of a saved one.
        out: The file to write.
        host: A name in `HOSTS`. For ``any``, the input has the training tiles' pixel type and any
            number of rows and columns. Deepness hands every model float32 in the raster's own
            units, and takes no other than square tiles of one size: by default the training tile,
            or a larger one where the padding needs it (`landshift.spec.InputSpec.hosted`).
        nodata: Value of pixels that aren't valid, for hosts that hand it over as it is; None:
            that of the training tiles, if they had one.
        tile_size: Rows and columns of the input, where they are to be fixed.
        overwrite: Whether what is there already is replaced.

    Returns:
        The path of the file.

    Raises:
        ParameterError: An unknown host; else as `write_onnx`.
        ModelError: The model can't be read, or written in ONNX.
        OutputError: The file can't be written.
    """
    if host not in HOSTS:
        raise ParameterError(f"The host must be one of {', '.join(HOSTS)}, got {host!r}.")
    whole.check_new(
        out, inputs=[] if isinstance(model, ChangeModel) else [model], overwrite=overwrite
    )
    network = model if isinstance(model, ChangeModel) else bundle.load(model).model
    nodata = network.spec.nodata if nodata is None else nodata
    if host == "any":
        return write_onnx(network, out, tile_size=tile_size, nodata=nodata, overwrite=overwrite)
    size = tile_size or network.spec.hosted(fixed=network.fixed_tile)[0]
    return write_onnx(
        network, out, dtype="float32", tile_size=size, nodata=nodata, overwrite=overwrite
    )


def for_arcgis(model: ChangeModel, name: str) -> Extras:
    """What a package needs for ArcGIS: the ONNX file, the raster function, their keys in the .emd.

    Nothing where onnx isn't installed, or can't say what the network does; then a line is logged.

    Args:
        model: The model.
        name: Its name.
    """
    try:
        graph = onnx_bytes(model)
    except (ParameterError, ModelError) as error:
        log.warning("%s is saved without ONNX file and ArcGIS function: %s", name, error)
        return Extras()
    function = resources.files("landshift.export").joinpath(FUNCTION).read_bytes()
    return Extras(
        files={f"{name}.onnx": graph, FUNCTION: function},
        emd={
            "Framework": "Onnx",  # as Esri's own example of an ONNX model spells it
            "ModelFile": f"{name}.onnx",
            "InferenceFunction": FUNCTION,
        },
    )
