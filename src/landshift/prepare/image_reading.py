"""How a composite's images are read: options that hold for all dates or for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landshift.errors import ParameterError
from landshift.files.options import Flag
from landshift.images import Image, quality

if TYPE_CHECKING:
    Sources = Sequence[Path | str | Sequence[Path | str] | Image]
    FileOrUrl = Path | str | None
    Texts = str | Sequence[str] | None
    Numbers = float | Sequence[float | None] | str | None
    Bands = Sequence[str | int]
    BandLists = str | Sequence[str | int | Bands] | None
    Ways = str | Sequence[str | Sequence[str | None] | None] | None
    Rules = Sequence[quality.Rule | str]
else:  # as the command line gives them
    Sources = Sequence[str]
    """The images: of each date a file, several files (in a text: with commas), or an `Image`."""
    FileOrUrl = str | None
    """A path or URL, as written."""
    Texts = str | None
    """Several texts; in one text: with commas."""
    Numbers = str | None
    """One number or several; in a text: with commas, '-' for none."""
    BandLists = Sequence[str]
    """Bands of each date, by name or number; in a text: with commas."""
    Ways = str | None
    """How each date's files are resampled; in a text: dates with commas, files with plus signs."""
    Rules = Sequence[str]
    """Rules of quality bands, or their text."""


def split(texts: Texts) -> tuple[str, ...] | None:
    """Several texts, from one with commas or as they are; None where none are given."""
    if isinstance(texts, str):
        return tuple(part.strip() for part in texts.split(",") if part.strip())
    return None if texts is None else tuple(texts)


def numbers(name: str, given: Numbers) -> tuple[float | None, ...] | None:
    """Several numbers, from a text or as they are; None where none are given.

    Args:
        name: The parameter's name.
        given: The numbers.

    Raises:
        ParameterError: A part of the text is no number.
    """
    if given is None:
        return None
    if isinstance(given, str):
        return tuple(None if part == "-" else _number(name, part) for part in split(given) or ())
    return (float(given),) if isinstance(given, int | float) else tuple(given)


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ParameterError(f"`{name}` must be a number, got {text!r}.") from None


@dataclass(frozen=True)
class ImageReading:
    """How images are read that are given as files; an `Image` states this itself."""

    select: BandLists = ()
    """Bands to take from each date: names or numbers, as in 'red,nir' or 4,3. Give it once for each
    date to take others of each."""
    resampling: Ways = None
    """How files on another grid are resampled: nearest, bilinear, cubic, average, mode, ...; one
    way, or one a date with commas, or one for each of a date's files with plus signs, '-' for the
    default: bilinear+nearest,-. Left out: bilinear; nearest for class rasters."""
    nodata: Numbers = None
    """Value that means 'no data' in the images; one, or one a date with commas, '-' as its files
    state."""
    mask_qa: Rules = ()
    """Hide classes of a quality band: fmask, qa_pixel, scl, hls_fmask or udm2, then
    [:BAND]=CLASS,CLASS, as fmask:8=cloud,shadow; or its bits or values: bits:QA_PIXEL=3,4,
    values:8=2,4. Can be repeated."""
    mask_clouds: float | None = None
    """Hide clouds, shadows and their edges that a network finds (extra `clouds`), for images
    without a quality band: the factor that makes surface reflectance of the values, such as
    0.0001; 1 where the files state their scale. Needs bands named blue, green, red and nir."""
    assume_crs: str | None = None
    """CRS of images that state none."""
    scaled: Flag = False
    """Apply scale and offset; values become floats."""

    def images(self, sources: Sources) -> list[Image]:
        """The image of each date.

        Args:
            sources: The files of each date, in order of time, or its `Image`.

        Raises:
            ParameterError: Another number of values than one or one a date; a value out of its
                range; options beside an `Image`.
        """
        if self != ImageReading() and any(isinstance(source, Image) for source in sources):
            raise ParameterError(
                "An `Image` must state itself how it is read, got reading options beside one; "
                "state them in the image."
            )
        count = len(sources)
        bands = _each_date("select", self._bands(), count)
        ways = _each_date("resampling", self._ways(), count)
        nodata = _each_date("nodata", numbers("nodata", self.nodata), count)
        rules = tuple(quality.rule(r) if isinstance(r, str) else r for r in self.mask_qa)
        return [
            source
            if isinstance(source, Image)
            else Image(
                files=_files(source), bands=bands[k], nodata=nodata[k], quality=rules,
                resampling=ways[k], assume_crs=self.assume_crs, scaled=self.scaled,
            )
            for k, source in enumerate(sources)
        ]  # fmt: skip

    def _bands(self) -> list[tuple[str | int, ...]] | None:
        dates = [self.select] if isinstance(self.select, str) else self.select
        if not dates:
            return None
        return [
            (bands,) if isinstance(bands, int) else tuple(split(bands) or ())  # type: ignore[arg-type]
            for bands in dates
        ]

    def _ways(self) -> list[str | tuple[str | None, ...] | None] | None:
        dates = split(self.resampling) if isinstance(self.resampling, str) else self.resampling
        return None if dates is None else [_way(date) for date in dates]


def _way(files: str | Sequence[str | None] | None) -> str | tuple[str | None, ...] | None:
    """How a date's files are resampled: all one way, or each its own."""
    ways = files.split("+") if isinstance(files, str) else (files or (None,))
    each = tuple(None if way in ("", "-") else way for way in ways)
    return each if len(each) > 1 else each[0]


def _files(source: Path | str | Sequence[Path | str]) -> tuple[Path | str, ...]:
    """The files of one date; a comma in the name of a file that exists is left alone."""
    if isinstance(source, Path) or (isinstance(source, str) and Path(source).exists()):
        return (source,)
    return tuple(split(source) or ()) if isinstance(source, str) else tuple(source)


def _each_date(name: str, values: Sequence[Any] | None, count: int) -> Sequence[Any]:
    """A value for each date, from one for all or one a date; None for each where none is given."""
    if values is None:
        return [None] * count
    if len(values) not in (1, count):
        raise ParameterError(
            f"`{name}` must be given once, or {count} times, once a date, got {len(values)} values."
        )
    return values if len(values) == count else [values[0]] * count
