"""Classify pixels in ArcGIS with a model of landshift: a Python raster function.

The key InferenceFunction of the .emd beside this file names it to ArcGIS, which calls the class of
the same name as Esri documents (github.com/Esri/raster-functions/wiki/PythonRasterFunction,
github.com/Esri/raster-deep-learning). It needs only numpy and onnxruntime.

Arrays are (band, row, column); masks are 0 where a pixel isn't valid.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

_NODATA = 0
_NODATA_BESIDE_BACKGROUND = 255  # where 0 is a class
_BATCH_SIZE = 4
_MULTIPLE = 32  # of which the size of an enlarged tile is a multiple
_NEVER = -1.0  # below any probability


class LandshiftClassifier:
    """The class of each pixel, tile by tile, from the probabilities of an ONNX file."""

    def __init__(self) -> None:
        self.name = "Landshift classifier"
        self.description = "Classifies the pixels of a raster with a model trained by landshift."
        self._definition: dict[str, Any] = {}
        self._path = Path()
        self._input: dict[str, Any] = {}
        self._device = -1
        self._session: Any = None
        self._fill: Any = None
        self._dtype: Any = None

    def initialize(self, **kwargs: Any) -> None:
        """Read the model definition; the model is loaded with the first pixels.

        Args:
            kwargs: ``model``: path of the .emd, or its JSON text if its files lie beside this one.
                ``device``: number of the GPU, -1 for the CPU, -2 for any GPU.
        """
        if "model" not in kwargs:
            return
        self._definition, folder = _read_definition(kwargs["model"])
        self._path = folder / self._definition["ModelFile"]
        self._input = _read_input(folder / str(self._definition.get("LandshiftModel")))
        self._device = _number(kwargs, "device", -1)
        self._session = None

    def getParameterInfo(self) -> list[dict[str, Any]]:
        """Parameters of the tool, with their defaults."""
        size, padding = self._offered
        parameters = [
            _parameter("raster", "raster", "Raster", "The raster to classify.", required=True),
            _parameter("model", "string", "Model definition", "The .emd file.", required=True),
            _parameter("device", "numeric", "Device", "GPU number; -1 for the CPU."),
            _parameter(
                "padding", "numeric", "Padding",
                "Pixels discarded on each side of a tile.", padding,
            ),
            _parameter(
                "batch_size", "numeric", "Batch size", "Tiles classified at once.", _BATCH_SIZE
            ),
            _parameter(
                "predict_background", "string", "Predict background",
                "Whether the class of value 0 may be predicted.", "True", ("True", "False"),
            ),
            _parameter(
                "test_time_augmentation", "string", "Test-time augmentation",
                "Whether to average over the tile's eight flips and turns (8 times as slow).",
                "False", ("True", "False"),
            ),
        ]  # fmt: skip
        if self._grows:
            parameters.append(
                _parameter("tile_size", "numeric", "Tile size", "Rows and columns of a tile.", size)
            )
        return parameters

    def getConfiguration(self, **scalars: Any) -> dict[str, Any]:
        """The pixels that the function needs: bands, padding, and blocks of whole tiles."""
        size, padding = self._offered
        if self._grows:
            size = _number(scalars, "tile_size", size)
        padding = _number(scalars, "padding", min(padding, size // 4))
        batch = _number(scalars, "batch_size", _BATCH_SIZE)
        if self._grows:
            size = _grown(size, padding)
        if size < 1 or not 0 <= padding <= size // 4:
            raise ValueError(
                f"The padding must be from 0 to a quarter of the tile, got {padding} with tiles of "
                f"{size}."
            )
        if batch < 1:
            raise ValueError(f"The batch size must be at least 1, got {batch}.")
        self._size, self._padding, self._batch = size, padding, batch
        self._background = _flag(scalars.get("predict_background", True))
        self._turns = _flag(scalars.get("test_time_augmentation", False))
        rows = int(batch**0.5)
        core = size - 2 * padding
        return {
            "extractBands": tuple(self._definition["ExtractBands"]),
            "padding": padding,
            "tx": batch // rows * core,
            "ty": rows * core,
            "fixedTileSize": 0,  # blocks at the raster's edge may be smaller
            "inheritProperties": 4 | 8,  # extent and resampling, but neither pixel type nor nodata
            "invalidateProperties": 2 | 4 | 8,  # statistics, histogram, key properties
            "inputMask": True,
        }

    def updateRasterInfo(self, **kwargs: Any) -> dict[str, Any]:
        """The output: one band of class values with names and colours."""
        values, info = self._values, kwargs["output_info"]
        dtype = "u1" if max(*values, self._nodata) <= 255 else "u2"
        info["bandCount"] = 1
        info["pixelType"] = dtype
        info["noData"] = np.array([self._nodata], dtype)
        info["statistics"] = ({"minimum": min(values), "maximum": max(values)},)
        info["histogram"] = ()
        info["resampling"] = False
        info["rasterAttributeTable"] = json.dumps(_attributes(self._definition["Classes"]))
        return kwargs

    def updatePixels(
        self, tlc: Any, shape: Any, props: dict[str, Any], **pixelBlocks: Any
    ) -> dict[str, Any]:
        """The class of each pixel of a block.

        Args:
            tlc: Upper left corner; not used.
            shape: Shape of the output's block.
            props: Of the output: ``pixelType``.
            pixelBlocks: ``raster_pixels`` and ``raster_mask``, with the padding on each side.
        """
        pixels = np.asarray(pixelBlocks["raster_pixels"])
        bands = len(self._definition["ExtractBands"])
        if len(pixels) != bands:
            raise ValueError(f"The raster must have the model's {bands} bands, got {len(pixels)}.")
        valid = _valid(pixels, pixelBlocks.get("raster_mask"), self._input.get("nodata"))
        inside = slice(self._padding, -self._padding or None)
        kept = valid[inside, inside]
        values = np.where(kept, self._classified(pixels, valid), self._nodata)
        outline = shape if np.prod(shape) == values.size else (1, *values.shape)
        pixelBlocks["output_pixels"] = values.astype(props["pixelType"]).reshape(outline)
        pixelBlocks["output_mask"] = kept.astype("u1").reshape(outline)
        return pixelBlocks

    @property
    def _grows(self) -> bool:
        """Whether tiles may have another size than in training."""
        return bool(self._definition.get("SupportsVariableTileSize"))

    @property
    def _offered(self) -> tuple[int, int]:
        """Default tile size and padding: a core of at least half the tile (`InputSpec.hosted`)."""
        size = int(self._definition.get("ImageHeight", 256))
        measured = self._input.get("padding")
        padding = size // 4 if measured is None else int(measured)
        return (_grown(size, padding), padding) if self._grows else (size, min(padding, size // 4))

    @property
    def _values(self) -> list[int]:
        """Value of each class, in the order of the model's outputs."""
        return [int(c["Value"]) for c in self._definition["Classes"]]

    @property
    def _nodata(self) -> int:
        return _NODATA_BESIDE_BACKGROUND if 0 in self._values else _NODATA

    def _load(self) -> Any:
        """The model, ready to run."""
        if self._session is not None:
            return self._session
        try:
            import onnxruntime
        except ImportError as error:
            raise RuntimeError(
                f"This model needs onnxruntime, got '{error}'; install it into a clone of ArcGIS' "
                "Python environment."
            ) from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        providers: list[Any] = ["CPUExecutionProvider"]
        offered = onnxruntime.get_available_providers()
        for gpu in ("CUDAExecutionProvider", "DmlExecutionProvider"):
            if self._device != -1 and gpu in offered:
                providers.insert(0, (gpu, {"device_id": str(max(self._device, 0))}))
                break
        self._session = onnxruntime.InferenceSession(str(self._path), options, providers=providers)
        kind = self._session.get_inputs()[0].type[len("tensor(") : -1]
        self._dtype = np.dtype({"float": "float32", "double": "float64"}.get(kind, kind))
        about = json.loads(self._session.get_modelmeta().custom_metadata_map["landshift"])
        self._fill = np.array(about["fill"], self._dtype)[:, None, None]
        return self._session

    def _classified(self, pixels: Any, valid: Any) -> Any:
        """Class values (row, column) of a block without its padding."""
        self._load()
        size, core = self._size, self._size - 2 * self._padding
        height, width = (n - 2 * self._padding for n in valid.shape)
        down, across = -(-height // core), -(-width // core)
        edges = (down * core + 2 * self._padding, across * core + 2 * self._padding)
        # pixels that aren't valid, and those beyond the block, are replaced by the mean
        block = np.broadcast_to(self._fill, (len(pixels), *edges)).copy()
        seen = block[:, : valid.shape[0], : valid.shape[1]]
        np.copyto(seen, _as_dtype(np.where(valid, pixels, 0), self._dtype), where=valid)
        corners = [
            (row, column)
            for row in range(0, down * core, core)
            for column in range(0, across * core, core)
            if valid[row : row + size, column : column + size].any()
        ]
        indices = np.zeros((down * core, across * core), np.intp)
        for first in range(0, len(corners), self._batch):
            some = corners[first : first + self._batch]
            tiles = np.stack([block[:, r : r + size, c : c + size] for r, c in some])
            for (row, column), best in zip(some, self._best(tiles)):
                indices[row : row + core, column : column + core] = best
        return np.array(self._values)[indices[:height, :width]]

    def _best(self, tiles: Any) -> Any:
        """Index of the most probable class in the core of each tile (tile, band, row, column)."""
        probabilities = self._turned(tiles) if self._turns else self._run(tiles)
        if not self._background and 0 in self._values:
            probabilities[:, self._values.index(0)] = _NEVER
        inside = slice(self._padding, -self._padding or None)
        return probabilities.argmax(1)[:, inside, inside]

    def _turned(self, tiles: Any) -> Any:
        """Mean of the probabilities of the eight flips and turns of each tile."""
        total: Any = 0.0
        for turns in range(4):
            for step in (1, -1):
                turned = np.rot90(tiles, turns, axes=(-2, -1))[..., ::step]
                total = total + np.rot90(self._run(turned)[..., ::step], -turns, axes=(-2, -1))
        return total / 8

    def _run(self, tiles: Any) -> Any:
        """Probabilities (tile, class, row, column)."""
        session = self._load()
        (name,) = (i.name for i in session.get_inputs())
        return session.run(None, {name: np.ascontiguousarray(tiles)})[0]


def _read_definition(model: Any) -> tuple[dict[str, Any], Path]:
    """The definition, and the folder of its files."""
    text = str(model)
    if text.lstrip().startswith("{"):
        return json.loads(text), Path(__file__).resolve().parent
    path = Path(text)
    if not path.is_file():
        raise ValueError(f"The model must be the path of an .emd or its JSON text, got {text}.")
    return json.loads(path.read_text(encoding="utf-8")), path.resolve().parent


def _read_input(manifest: Path) -> dict[str, Any]:
    """The model's input in its manifest: the measured padding and the training tiles' nodata."""
    if not manifest.is_file():
        return {}
    stated: dict[str, Any] = json.loads(manifest.read_text(encoding="utf-8"))["input"]
    return stated


def _grown(size: int, padding: int) -> int:
    """A tile size that leaves a core of at least half the tile."""
    return size if 4 * padding <= size else -(-4 * padding // _MULTIPLE) * _MULTIPLE


def _parameter(
    name: str,
    data_type: str,
    label: str,
    description: str,
    value: Any = None,
    domain: tuple[str, ...] = (),
    required: bool = False,
) -> dict[str, Any]:
    """A parameter as ArcGIS describes it."""
    parameter: dict[str, Any] = {
        "name": name, "dataType": data_type, "required": required,
        "displayName": label, "description": description,
    }  # fmt: skip
    if value is not None:
        parameter["value"] = value
    if domain:
        parameter["domain"] = domain
    return parameter


def _number(scalars: dict[str, Any], name: str, default: int) -> int:
    """An integer from a tool's parameter: a number, a text, or nothing."""
    value = scalars.get(name)
    try:
        return default if value in (None, "") else int(float(value))
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a whole number, got {value!r}.") from None


def _flag(value: Any) -> bool:
    return str(value).strip().lower() in ("true", "t", "1", "yes", "y")


def _valid(pixels: Any, mask: Any, nodata: Any) -> Any:
    """Where every band is valid, (row, column): by the mask, else by the tiles' nodata value."""
    valid = np.ones(pixels.shape[1:], np.bool_)
    if mask is not None:
        valid &= (np.asarray(mask).reshape(-1, *valid.shape) != 0).all(0)
    elif nodata is not None:
        valid &= (pixels != nodata).all(0)
    if np.issubdtype(pixels.dtype, np.floating):
        valid &= np.isfinite(pixels).all(0)
    return valid


def _as_dtype(values: Any, dtype: Any) -> Any:
    """Values in the model's pixel type, rounded and clipped for integers."""
    if np.issubdtype(dtype, np.floating) or values.dtype == dtype:
        return values.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(values), limits.min, limits.max).astype(dtype)


def _attributes(classes: list[dict[str, Any]]) -> dict[str, Any]:
    """An attribute table of the classes as Esri's JSON has them."""
    columns = {
        "OID": "OID", "Value": "Integer", "Class": "String",
        "Red": "Integer", "Green": "Integer", "Blue": "Integer",
    }  # fmt: skip
    rows = [(k, c["Value"], c["Name"], *c["Color"]) for k, c in enumerate(classes, start=1)]
    return {
        "displayFieldName": "",
        "fieldAliases": {name: name for name in columns},
        "fields": [
            {"name": name, "type": f"esriFieldType{kind}", "alias": name}
            for name, kind in columns.items()
        ],
        "features": [{"attributes": dict(zip(columns, row))} for row in rows],
    }
