"""Which bands of an image are shown as red, green and blue, and what a caption calls them.

The first of these that holds decides:

1. The user's choice: an option (`rgb`), or what the file keeps of one (`TAG`; ENVI's default
   bands).
2. Bands by their names: red, green and blue; else near infrared, red and green. Names of a sensor
   (B4, SR_B4) count where the sensor is known.
3. The colour interpretation of the file, unless GDAL sets it by itself for any three bands.
4. Bands by their wavelengths: red, green and blue; else near infrared, red and green.
5. The first three bands, or the first one in grey.

A picture is called 'true colour' only where names, wavelengths or the file say so. Of an image with
several dates, the rule applies to the bands of one date.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from landshift import sensors
from landshift.errors import BandError, ParameterError, plain
from landshift.raster import validity
from landshift.spec import split_name

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

    from landshift.files.options import BandChoice

TRUE_COLOUR = ("red", "green", "blue")
"""Bands shown as red, green and blue in true colour."""

FALSE_COLOUR = ("nir", "red", "green")
"""Bands shown as red, green and blue in false colour: vegetation is red."""

TAG = "LANDSHIFT_RGB"
"""Name of the raster tag that keeps the user's choice: names or numbers, joined by commas."""

WAVELENGTHS: Mapping[str, tuple[float, float]] = {
    "blue": (0.45, 0.52), "green": (0.52, 0.60), "red": (0.63, 0.69), "nir": (0.76, 0.90),
}  # fmt: skip
"""First and last wavelength of each colour, in micrometres: bands 1 to 4 of Landsat's Thematic
Mapper, after which other sensors' colours are named. The band nearest to the middle is taken."""

_LONGEST_MICROMETRES = 100.0  # wavelengths without a unit above this are in nanometres
_IN_NAME = re.compile(r"(\d+(?:\.\d+)?)\s*(nanomet|micromet|nm\b|um\b|µm|μm)", re.IGNORECASE)

# what a word in a band's name means; longer phrases come first
_PHRASES = (
    (re.compile(r"\bnear[-_ ]*(?:infra[-_ ]*red|ir\b)", re.IGNORECASE), " nir "),
    (re.compile(r"infra[-_ ]+red|red[-_ ]*edge", re.IGNORECASE), " other "),
)
_WORDS = frozenset({"red", "green", "blue", "nir"})
_DIGITS = re.compile(r"[0-9]{1,6}")
_NUMBER = re.compile(r"b(?:and)?[ _-]?(\d{1,6})", re.IGNORECASE)
_LETTERS = {"r": "red", "g": "green", "b": "blue"}  # where they are the whole name
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")

# formats whose writers state colours; in others, GDAL takes any three bands of 8 bits for them
_PICTURES = frozenset({"PNG", "JPEG", "WEBP", "JP2OpenJPEG"})


@dataclass(frozen=True)
class BandNotes:
    """Properties of a band that decide its colour.

    Attributes:
        name: Its name, with its date or without; '' if it has none.
        sensor: Name in `landshift.sensors.known` of its sensor; '' where unknown.
        wavelength: Its central wavelength in micrometres, if known.
        colour: 'red', 'green' or 'blue' where the file's colour interpretation says so.
    """

    name: str = ""
    sensor: str = ""
    wavelength: float | None = None
    colour: str = ""

    @property
    def plain(self) -> str:
        """Its name without the date."""
        return split_name(self.name)[1].strip()


@dataclass(frozen=True)
class Shown:
    """The bands that a picture shows.

    Attributes:
        positions: Positions of the bands shown as red, green and blue, from 0; or of the one shown
            in grey.
        label: What a caption calls them.
    """

    positions: tuple[int, ...]
    label: str

    @property
    def channels(self) -> tuple[int, int, int]:
        """Positions of the bands shown as red, green and blue, thrice the same in grey."""
        red, green, blue = self.positions * (3 // len(self.positions))
        return red, green, blue


def choose(bands: Sequence[BandNotes], rgb: BandChoice = None) -> Shown:
    """The bands of one date that are shown, by the module's rule.

    Args:
        bands: What is known of each band; at least one.
        rgb: Three bands, or one shown in grey, by name or by number from 1; in a text: with commas.

    Raises:
        ParameterError: Not one or three bands in ``rgb``.
        BandError: A band of ``rgb`` is missing.
    """
    if rgb is not None:
        return _labelled(bands, _wanted(bands, rgb), named=True)
    for way in (_by_name, _by_interpretation, _by_wavelength):
        for colours in (TRUE_COLOUR, FALSE_COLOUR):
            positions = way(bands, colours)
            if positions is not None:
                return _labelled(bands, positions)
    return _labelled(bands, (0, 1, 2) if len(bands) >= 3 else (0,))


def find(bands: Sequence[BandNotes], colours: Sequence[str]) -> Shown | None:
    """Bands of certain colours, by name, interpretation or wavelength; None where one is missing.

    Args:
        bands: What is known of each band.
        colours: Such as `TRUE_COLOUR`.
    """
    for way in (_by_name, _by_interpretation, _by_wavelength):
        positions = way(bands, colours)
        if positions is not None:
            return _labelled(bands, positions)
    return None


def of_names(
    names: Sequence[str], rgb: BandChoice = None, sensors_of: Sequence[str | None] = ()
) -> Shown:
    """The bands that are shown where only names are known.

    Args:
        names: Name of each band of one date; '' if it has none.
        rgb: As for `choose`.
        sensors_of: What each band's sensor is called, such as ``Landsat 8 OLI``; () if unknown.

    Raises:
        ParameterError: See `choose`.
        BandError: See `choose`.
    """
    return choose(notes_of_names(names, sensors_of), rgb)


def notes_of_names(
    names: Sequence[str], sensors_of: Sequence[str | None] = ()
) -> tuple[BandNotes, ...]:
    """Notes on bands from their names alone; arguments as for `of_names`."""
    alone = sensors.only_one_with(split_name(name)[1] for name in names)
    called = [sensors.called(text or "") for text in sensors_of] or [""] * len(names)
    return tuple(
        BandNotes(name, sensor or alone, _wavelength(*_in_name(name)))
        for name, sensor in zip(names, called, strict=True)
    )


def of_raster(
    source: DatasetReader, rgb: BandChoice = None, numbers: Sequence[int] | None = None
) -> Shown:
    """The bands of an open raster that are shown.

    Args:
        source: The raster.
        rgb: As for `choose`; it replaces the choice that the file keeps.
        numbers: Numbers from 1 of the bands of one date, which numbers of ``rgb`` count from 1;
            None: all but an alpha band.

    Returns:
        The bands; positions are those among ``numbers``.

    Raises:
        ParameterError: See `choose`.
        BandError: See `choose`.
    """
    own = validity.data_bands(source) if numbers is None else numbers
    notes = notes_of(source)
    return choose_kept([notes[k - 1] for k in own], rgb, kept_choice(source))


def choose_kept(bands: Sequence[BandNotes], rgb: BandChoice, kept: str | None) -> Shown:
    """As `choose`, where a file keeps a choice; one that doesn't fit its bands is left aside.

    Args:
        bands: What is known of each band.
        rgb: As for `choose`; it replaces the kept choice.
        kept: The choice that the file keeps; see `kept_choice`.

    Raises:
        ParameterError: See `choose`.
        BandError: See `choose`.
    """
    if rgb is None and kept is not None:
        unclaimed = [replace(band, colour="") for band in bands]
        return choose(unclaimed, kept if fits(bands, kept) else None)
    return choose(bands, rgb)


def fits(bands: Sequence[BandNotes], rgb: BandChoice) -> bool:
    """Whether a choice names bands that there are: not where it was made for other bands."""
    try:
        choose(bands, rgb)
    except (BandError, ParameterError):
        return False
    return True


def kept_choice(source: DatasetReader) -> str | None:
    """The user's choice that a raster keeps: landshift's tag, or ENVI's default bands."""
    kept = str(source.tags().get(TAG, ""))
    if not kept and source.driver == "ENVI":
        kept = str(source.tags(ns="ENVI").get("default_bands", "")).strip("{} ")
    return kept or None


def notes_of(source: DatasetReader) -> tuple[BandNotes, ...]:
    """Notes on each band of an open raster."""
    names = [description or "" for description in source.descriptions]
    of_product = sensors.called(Path(source.name).name)
    claims = zip(notes_of_names(names), _interpretations(source), strict=True)
    return tuple(
        replace(
            band,
            sensor=of_product or band.sensor,
            wavelength=_stated_wavelength(source, number) or band.wavelength,
            colour=colour,
        )
        for number, (band, colour) in enumerate(claims, start=1)
    )


def _interpretations(source: DatasetReader) -> list[str]:
    """'red', 'green' or 'blue' of each band where the file claims it, else ''.

    GDAL takes three or four bands of 8 bits for a photograph unless told otherwise, so that such a
    file claims nothing.
    """
    names = [kind.name for kind in source.colorinterp]
    default = [*TRUE_COLOUR, "alpha"][: len(names)]
    claims = source.driver in _PICTURES or source.photometric is not None
    by_itself = names == default and source.dtypes[0] == "uint8" and not claims
    if by_itself or source.driver == "ENVI":
        return [""] * len(names)
    return [name if name in TRUE_COLOUR else "" for name in names]


def _stated_wavelength(source: DatasetReader, number: int) -> float | None:
    """Central wavelength of a band in micrometres, as GDAL's IMAGERY domain or a tag states it."""
    micrometres = source.tags(number, ns="IMAGERY").get("CENTRAL_WAVELENGTH_UM")
    if micrometres is not None:
        return _wavelength(micrometres, "um")
    tags = {key.lower(): text for key, text in source.tags(number).items()}
    unit = tags.get("wavelength_units") or tags.get("wavelength_unit") or ""
    return _wavelength(tags.get("wavelength", ""), unit)


def _in_name(name: str) -> tuple[str, str]:
    """Number and unit of a wavelength in a name: 'B4 (660 Nanometers)'."""
    match = _IN_NAME.search(name)
    return ("", "") if match is None else (match[1], match[2])


def _wavelength(number: str, unit: str) -> float | None:
    """A wavelength in micrometres."""
    try:
        value = float(number)
    except ValueError:
        return None
    nanometres = unit.lower().startswith("n") or (not unit and value > _LONGEST_MICROMETRES)
    return value / 1000 if nanometres else value


def _named(band: BandNotes) -> str:
    """The colour that a band's name states: 'red', 'green', 'blue', 'nir'; '' if none."""
    name = band.plain
    known = sensors.names_of(name, band.sensor) & _WORDS
    if not known:
        text = _CAMEL.sub(" ", name)
        for phrase, word in _PHRASES:
            text = phrase.sub(word, text)
        known = {*re.findall("[a-z]+", text.lower()), _LETTERS.get(name.lower(), "")} & _WORDS
    return known.pop() if len(known) == 1 else ""


def _by_name(bands: Sequence[BandNotes], colours: Sequence[str]) -> tuple[int, ...] | None:
    bare = [band.plain.lower() for band in bands]
    meant = [_named(band) for band in bands]
    return _found(
        colours,
        lambda c: bare.index(c) if c in bare else meant.index(c) if c in meant else None,
    )


def _by_interpretation(
    bands: Sequence[BandNotes], colours: Sequence[str]
) -> tuple[int, ...] | None:
    stated = [band.colour for band in bands]
    return _found(colours, lambda c: stated.index(c) if c in stated else None)


def _by_wavelength(bands: Sequence[BandNotes], colours: Sequence[str]) -> tuple[int, ...] | None:
    def nearest(colour: str) -> int | None:
        low, high = WAVELENGTHS[colour]
        away = {
            k: abs(band.wavelength - (low + high) / 2)
            for k, band in enumerate(bands)
            if band.wavelength is not None and low <= band.wavelength <= high
        }
        return min(away, key=away.__getitem__, default=None)

    return _found(colours, nearest)


def _found(colours: Sequence[str], place: Callable[[str], int | None]) -> tuple[int, ...] | None:
    """The place of each colour; None where one is missing."""
    places = [place(colour) for colour in colours]
    known = tuple(k for k in places if k is not None)
    return known if len(known) == len(places) else None


def parts(rgb: BandChoice) -> tuple[str, ...]:
    """The bands of a choice.

    Raises:
        ParameterError: Not one or three bands.
    """
    given = rgb.split(",") if isinstance(rgb, str) else [str(part) for part in rgb or ()]
    texts = tuple(text.strip() for text in given)
    if len(texts) not in (1, 3) or not all(texts):
        raise ParameterError(
            f"`rgb` must be three bands, or one shown in grey, got {', '.join(texts) or 'none'}; "
            "give names or numbers, as in red,green,blue or 3,2,1."
        )
    return texts


def _wanted(bands: Sequence[BandNotes], rgb: BandChoice) -> tuple[int, ...]:
    """Positions of the bands of a choice: by their own name, by what it means, by number."""
    names = [band.name.lower() for band in bands]
    bare = [band.plain.lower() for band in bands]
    chosen = []
    for text in parts(rgb):
        low = text.lower()
        lists = (names, bare, [_named(band) for band in bands])
        place = next((known.index(low) for known in lists if low in known), None)
        if place is None and _DIGITS.fullmatch(text) and 1 <= int(text) <= len(bands):
            place = int(text) - 1
        if place is None:
            have = ", ".join(plain(b.plain) or str(k) for k, b in enumerate(bands, start=1))
            raise BandError(
                f"The bands of `rgb` must be among {have}, got '{plain(text)}'; name some of "
                f"these, or give numbers from 1 to {len(bands)}."
            )
        chosen.append(place)
    return tuple(chosen)


def _labelled(
    bands: Sequence[BandNotes], positions: tuple[int, ...], *, named: bool = False
) -> Shown:
    """Bands with what a caption calls them.

    Args:
        bands: What is known of each band.
        positions: Positions of those shown.
        named: Whether the user chose them: names that mean no colour are then shown too.
    """
    names = [bands[k].plain for k in positions]
    if len(positions) == 1:
        return Shown(positions, f"band {names[0] or positions[0] + 1}")
    meanings = tuple(_meaning(bands[k]) for k in positions)
    label = f"bands {', '.join(str(k + 1) for k in positions)}"
    if meanings == TRUE_COLOUR:
        label = "true colour"
    elif meanings == FALSE_COLOUR:
        label = "false colour (nir, red, green)"
    elif named and all(names) and not all(map(_is_number, names, positions)):
        label = ", ".join(names)
    return Shown(positions, label)


def _is_number(name: str, position: int) -> bool:
    """Whether a name says no more than a band's number: 'b4', 'Band 4'."""
    match = _NUMBER.fullmatch(name)
    return match is not None and int(match[1]) == position + 1


def _meaning(band: BandNotes) -> str:
    """The colour of a band: by its name, else by its wavelength, else as the file states it."""
    if named := _named(band):
        return named
    if band.wavelength is not None:
        within = (c for c, (low, high) in WAVELENGTHS.items() if low <= band.wavelength <= high)
        return next(within, "")
    return band.colour
