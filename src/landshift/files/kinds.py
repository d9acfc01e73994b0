"""Kinds of output files, and the suffixes by which users name them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from landshift.errors import ParameterError


@dataclass(frozen=True)
class Kind:
    """A kind of output.

    Attributes:
        what: What it is, in words.
        suffixes: The suffixes that its name may have, the usual one first.
    """

    what: str
    suffixes: tuple[str, ...]

    def check(self, *paths: Path | str | None) -> None:
        """Check, before any work, that outputs are named as what they will be.

        A folder passes: `whole.check_new` says that a file is needed.

        Args:
            paths: The outputs; None for one that isn't written.

        Raises:
            ParameterError: A name has another suffix.
        """
        for path in [Path(path) for path in paths if path is not None]:
            if path.suffix.lower() not in self.suffixes and not path.is_dir():
                raise ParameterError(
                    f"The name of {self.what} must end in {self._listed()}, got {path}; "
                    f"give {self._renamed(path)}."
                )

    def _listed(self) -> str:
        *others, last = self.suffixes
        return f"{', '.join(others)} or {last}" if others else last

    def _renamed(self, path: Path) -> Path:
        """The path with a suffix of this kind; a suffix begins with a letter."""
        stem = path.stem if path.suffix[1:2].isalpha() else path.name
        return path.with_name(stem + self.suffixes[0])


RASTER = Kind("a raster", (".tif", ".tiff"))
VIRTUAL_RASTER = Kind("a virtual raster", (".vrt",))
TABLE = Kind("a table", (".csv",))
JSON = Kind("a JSON file", (".json",))
RECIPE = Kind("a recipe", (".yaml", ".yml"))
ITEM = Kind("a STAC Item", (".json", ".geojson"))
PAGE = Kind("a page", (".html", ".htm"))
GEOPACKAGE = Kind("a GeoPackage", (".gpkg",))
POLYGONS = Kind("a file of polygons", (".gpkg", ".fgb", ".parquet"))
ONNX = Kind("an ONNX model", (".onnx",))
PICTURE = Kind(  # of what matplotlib writes
    "a picture", (".png", ".svg", ".pdf", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".eps")
)
