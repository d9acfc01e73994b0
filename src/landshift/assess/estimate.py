"""A labelled sample -> accuracies and areas with standard errors and intervals."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landshift.assess import intervals
from landshift.assess.contents import Design, Sample
from landshift.assess.domains import Domains, find_domains
from landshift.assess.estimators import (
    Accuracy,
    Estimates,
    Estimator,
    Strata,
    judge,
    quantile,
)
from landshift.assess.files import read_sample
from landshift.assess.others import sample_of_points
from landshift.assess.points import PointSource
from landshift.classes import ARROW, TO, ClassScheme
from landshift.errors import ClassError, ParameterError, SampleError
from landshift.files import containers, provenance, whole

_SHOWN = 8  # names or numbers listed in an error
_STRATA = 3  # strata named in a note
_NO_ERROR = 1e-9  # of the whole: what rounding leaves of a standard error of 0


@dataclass(frozen=True)
class Figure:
    """An estimate.

    Attributes:
        value: The estimate.
        error: Its standard error; None where no unit differs from the others, from which none
            follows.
        margin: Half of its interval's width, where neither end is cut. An exact interval reaches
            further on one side of the estimate than on the other.
        lower: Where its interval begins, not below 0.
        upper: Where it ends; of a share not above 1.
        method: Name of the interval: `landshift.assess.intervals.NORMAL` or ``EXACT``.
    """

    value: float
    error: float | None
    margin: float
    lower: float
    upper: float
    method: str = intervals.NORMAL

    @property
    def is_exact(self) -> bool:
        """Whether few units decide the interval, so that it isn't the normal one."""
        return self.method == intervals.EXACT


@dataclass(frozen=True)
class ClassFigures:
    """What a sample tells of one class.

    Attributes:
        name: The class, or transition.
        map_units: Units of the sample that the map gives the class.
        reference_units: Units that labellers gave it.
        map_hectares: Area that the map gives it; it has no interval.
        hectares: Area estimated; 0, and what it may be at most, where no unit was found to be the
            class.
        share: The same as a share of the map's area.
        users: Share of what the map calls the class that is; None where it calls nothing so.
        producers: Share of what is the class that the map calls so; None where no unit is.
    """

    name: str
    map_units: int
    reference_units: int
    map_hectares: float
    hectares: Figure
    share: Figure
    users: Figure | None
    producers: Figure | None


@dataclass(frozen=True)
class DomainFigures:
    """What a sample tells of one domain.

    Attributes:
        name: The domain.
        units: Units of the sample in it.
        hectares: Its area on the map.
        classes: Area estimated of each class found in it, in hectares; empty where it holds too
            few units.
    """

    name: str
    units: int
    hectares: float
    classes: dict[str, Figure]


@dataclass(frozen=True)
class Assessment:
    """What a labelled sample tells of a map.

    Attributes:
        design: How the sample was drawn.
        units: Units of the sample.
        level: Level of the intervals.
        hectares: Area of the map.
        overall: Share of the area where the map is right.
        classes: What it tells of each class.
        confusion: ``(reference, map)`` shares of the map's area, in the order of the classes.
        counts: The same in units of the sample.
        method: The estimators, and what they assume, in words.
        notes: What a reader of the figures must know.
        domains: What it tells of each domain, where there are some.
    """

    design: Design
    units: int
    level: float
    hectares: float
    overall: Figure
    classes: tuple[ClassFigures, ...]
    confusion: NDArray[np.float64]
    counts: NDArray[np.int64]
    method: str
    notes: tuple[str, ...]
    domains: tuple[DomainFigures, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        return {
            "map": self.design.map_name,
            "map_sha256": self.design.map_digest,
            "design": self.design.kind,
            "units": self.units,
            "level": self.level,
            "hectares": self.hectares,
            "method": self.method,
            "notes": list(self.notes),
            "overall": asdict(self.overall),
            "classes": [asdict(c) for c in self.classes],
            "confusion": {
                "rows": "reference",
                "columns": "map",
                "shares": self.confusion.tolist(),
                "counts": self.counts.tolist(),
            },
            "domains": [asdict(d) for d in self.domains],
        }

    def write_json(self, path: Path, *, overwrite: bool = False) -> Path:
        """Write `as_dict` as JSON."""
        whole.check_new(path, overwrite=overwrite)
        with whole.whole_file(Path(path)) as part:
            part.write_text(json.dumps(self.as_dict(), indent=2) + "\n", encoding="utf-8")
        return Path(path)

    def write_csv(self, path: Path, *, overwrite: bool = False) -> Path:
        """Write a row per figure: domain, class, quantity, estimate, standard error, interval.

        A standard error that doesn't follow from the sample is an empty field.
        """
        whole.check_new(path, overwrite=overwrite)
        rows = [("", "", "overall accuracy", self.overall)]
        for c in self.classes:
            rows += [
                ("", c.name, quantity, figure)
                for quantity, figure in (
                    ("hectares", c.hectares), ("share of area", c.share),
                    ("user's accuracy", c.users), ("producer's accuracy", c.producers),
                )
                if figure is not None
            ]  # fmt: skip
        for d in self.domains:
            rows += [(d.name, name, "hectares", figure) for name, figure in d.classes.items()]
        with (
            whole.whole_file(Path(path)) as part,
            part.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(
                ["domain", "class", "quantity", "estimate", "standard error", "lower", "upper",
                 "interval by"]
            )  # fmt: skip
            for *words, f in rows:
                numbers = (f.value, f.error, f.lower, f.upper)
                writer.writerow(
                    [*words, *("" if v is None else f"{v:.10g}" for v in numbers), f.method]
                )
        return Path(path)


@dataclass(frozen=True)
class DomainSource:
    """Polygons whose areas are wanted apart.

    Attributes:
        polygons: A vector file of polygons, in any CRS.
        column: Column with the name of each domain.
        layer: Name of the layer; None: the only one.
    """

    polygons: Path
    column: str
    layer: str | None = None


def estimate_areas(
    sample: Path,
    *,
    labels: Path | None = None,
    mapped: Path | None = None,
    post_stratify: bool = False,
    merge: Mapping[str, Sequence[str]] | None = None,
    domains: DomainSource | None = None,
    level: float = 0.95,
    on_block: Callable[[int, int], None] | None = None,
) -> Assessment:
    """Estimate a map's accuracies and the areas of its classes from a labelled sample.

    Args:
        sample: The GeoPackage that `landshift.assess.sample.draw_sample` wrote.
        labels: A CSV with the labels; None: those in the GeoPackage.
        mapped: The map: the sample must have been drawn from it. Domains need it.
        post_stratify: Whether the map's classes serve as strata after a simple or systematic
            sample: areas known from the map then narrow the intervals.
        merge: Classes to count as one: the new name, and the names it takes in.
        domains: Polygons whose areas are wanted apart.
        level: Level of the intervals, 0 to 1.
        on_block: Called with blocks done and blocks in all, for domains.

    Raises:
        SampleError: No sample; units unlabelled or left out; a stratum of fewer than 2 units; a
            class of the map without any; another map.
        ClassError: A label that is none of the choices; a merged class that there isn't.
        ParameterError: A level outside 0 to 1; options that don't fit the design.
        VectorError: The domains can't be read.
    """
    drawn = read_sample(sample, labels)
    if (
        mapped is not None
        and provenance.digest(containers.file_of(mapped)) != drawn.design.map_digest
    ):
        raise SampleError(
            f"A sample must be drawn from the map that it judges, got one of "
            f"{drawn.design.map_name} for {mapped}, which isn't that file any more; draw another, "
            "or give that map."
        )
    return _assess(
        drawn, sample, mapped, post_stratify=post_stratify, merge=merge or {}, domains=domains,
        level=level, on_block=on_block,
    )  # fmt: skip


def estimate_points(
    source: PointSource,
    mapped: Path,
    kind: str | None,
    *,
    strata: Path | None = None,
    scheme: ClassScheme | None = None,
    nodata: float | None = None,
    post_stratify: bool = False,
    merge: Mapping[str, Sequence[str]] | None = None,
    domains: DomainSource | None = None,
    level: float = 0.95,
    on_block: Callable[[int, int], None] | None = None,
) -> Assessment:
    """Estimate as `estimate_areas` does from a sample that others drew and labelled.

    Args:
        source: The labelled points.
        mapped: The map: its classes, and the areas of the strata.
        kind: How the points were drawn, one of `landshift.assess.sample.KINDS`; None: nobody knows,
            which is refused.
        strata: A class raster on the map's grid whose values are the strata; None: the map's
            classes, of a stratified sample.
        scheme: The map's classes; None: as its files tell, else by value.
        nodata: A value of the map without a class, beside what its file says.
        post_stratify: As for `estimate_areas`.
        merge: As for `estimate_areas`.
        domains: As for `estimate_areas`.
        level: As for `estimate_areas`.
        on_block: As for `estimate_areas`; also while the map is counted.

    Raises:
        SampleError: As for `estimate_areas` and `landshift.assess.others.sample_of_points`.
        ClassError: As there.
        ParameterError: As there; domains for points without coordinates.
        VectorError: The points or the domains can't be read.
        GridError: The map has no CRS, or the strata lie on another grid.
        RasterError: A raster can't be read.
    """
    drawn, notes = sample_of_points(
        source, mapped, kind, strata=strata, scheme=scheme, nodata=nodata, on_block=on_block
    )
    if domains is not None and (drawn.rows < 0).any():
        raise ParameterError(
            f"Domains need points with coordinates, got none in {source.path}; leave them out."
        )
    return _assess(
        drawn, source.path, mapped, post_stratify=post_stratify, merge=merge or {}, domains=domains,
        level=level, on_block=on_block, notes=notes,
    )  # fmt: skip


def _assess(
    drawn: Sample,
    sample: Path,
    mapped: Path | None,
    *,
    post_stratify: bool,
    merge: Mapping[str, Sequence[str]],
    domains: DomainSource | None,
    level: float,
    on_block: Callable[[int, int], None] | None,
    notes: Sequence[str] = (),
) -> Assessment:
    """The estimates of a sample; its file is for errors."""
    if not 0 < level < 1:
        raise ParameterError(f"The level of an interval must lie in 0 to 1, got {level:g}.")
    design = drawn.design
    if post_stratify and design.kind == "stratified":
        raise ParameterError(
            "Only a simple or systematic sample can be stratified afterwards, got one that has "
            "strata; leave the option out."
        )
    renamed = _renamed(design, merge)
    reference = [renamed.get(n, n) for n in _reference(drawn, sample)]
    mapped_names = [renamed.get(n, n) for n in (design.classes[int(v)] for v in drawn.mapped)]
    map_hectares: dict[str, float] = {}
    for part in design.parts:
        name = design.classes[part.mapped]
        name = renamed.get(name, name)
        map_hectares[name] = map_hectares.get(name, 0.0) + part.hectares
    order = dict.fromkeys(renamed.get(n, n) for n in design.classes.values())
    names = [n for n in order if n in map_hectares or n in reference]
    names += sorted(set(reference) - set(names))
    strata, stratum, stratum_names = _strata(drawn, post_stratify)
    _check_classes(names, mapped_names, map_hectares)
    estimator = Estimator(strata, stratum, drawn.hectares)
    at_reference = np.array([names.index(n) for n in reference])
    at_map = np.array([names.index(n) for n in mapped_names])
    found = judge(estimator, at_reference, at_map, len(names))
    told = Intervals(estimator, at_reference, at_map, level)
    reach = quantile(level)
    classes, of_classes = _classes(names, map_hectares, found, told, estimator.total, reach,
                                   stratum_names)  # fmt: skip
    notes = [*notes, *of_classes]
    overall = told.overall()
    if overall.strata:
        notes.append(
            f"Overall accuracy: fewer than {intervals.FEW} units are wrong, or right, in strata "
            f"that decide it ({_seen('right', overall, stratum_names)}): interval by "
            f"{intervals.EXACT}."
        )
    parts: tuple[DomainFigures, ...] = ()
    if domains is not None:
        if mapped is None:
            raise ParameterError("Domains need the map, got none; give it, for their areas.")
        places = _find(domains, drawn, mapped, on_block)
        parts = _in_domains(places, estimator, at_reference, names, level)
    return Assessment(
        design, len(drawn), level, estimator.total, _figure(found.overall, 0, overall, reach),
        classes, found.confusion, found.counts, _method(design, post_stratify),
        tuple(notes), parts,
    )  # fmt: skip


def _classes(
    names: Sequence[str],
    map_hectares: Mapping[str, float],
    found: Accuracy,
    told: Intervals,
    total: float,
    reach: float,
    strata: Sequence[str],
) -> tuple[tuple[ClassFigures, ...], list[str]]:
    """The figures of each class, and what a reader of them must know."""
    classes, notes = [], []
    for k, name in enumerate(names):
        area, users, producers = told.area(k), told.users(k), told.producers(k)
        figures = ClassFigures(
            name=name,
            map_units=int(found.counts[:, k].sum()),
            reference_units=int(found.counts[k].sum()),
            map_hectares=map_hectares.get(name, 0.0),
            hectares=_figure(found.shares, k, area, reach, by=total),
            share=_figure(found.shares, k, area, reach),
            users=None if users is None else _figure(found.users, k, users, reach),
            producers=None if producers is None else _figure(found.producers, k, producers, reach),
        )
        classes.append(figures)
        notes += _notes(figures, int(found.counts[k, k]), area, users, strata)
    return tuple(classes), notes


class Intervals:
    """The interval of each estimate of a sample: the normal one unless few units decide it.

    Args:
        estimator: The sample's.
        reference: Index of each unit's class in the reference.
        mapped: Index of it in the map.
        level: Level of the intervals.
    """

    def __init__(
        self,
        estimator: Estimator,
        reference: NDArray[np.int64],
        mapped: NDArray[np.int64],
        level: float,
    ) -> None:
        self._estimator, self._level = estimator, level
        self._reference, self._mapped = reference, mapped
        self._all = np.ones(reference.size)

    def overall(self) -> intervals.Interval:
        """Of the share of the map that is right."""
        return self._share(self._reference == self._mapped, self._all)

    def area(self, k: int) -> intervals.Interval:
        """Of a class's share of the map."""
        return self._share(self._reference == k, self._all)

    def users(self, k: int) -> intervals.Interval | None:
        """Of a user's accuracy; None where no unit has the class in the map."""
        called = self._mapped == k
        return self._share(self._reference == k, called) if called.any() else None

    def producers(self, k: int) -> intervals.Interval | None:
        """Of a producer's accuracy; None where no unit has the class in the reference.

        Of a sample without strata it is a share of the units found to be the class. Else what the
        map finds of a class lies where it says so, and what it misses elsewhere: each is looked for
        in the strata that hold units of the kind.
        """
        is_class, called = self._reference == k, self._mapped == k
        if not is_class.any():
            return None
        if self._estimator.strata == 1:
            return self._share(called, is_class)
        part, rest = (
            self._estimator.groups(
                (is_class & kind).astype(np.float64), self._estimator.in_strata_of(kind)
            )
            for kind in (called, ~called)
        )
        return intervals.ratio(part, rest, self._level)

    def _share(self, values: NDArray[np.bool_], of: NDArray[Any]) -> intervals.Interval:
        among = of.astype(np.float64)
        return intervals.share(self._estimator.groups(values * among, among), self._level)


def _figure(
    of: Estimates, k: int, interval: intervals.Interval, reach: float, *, by: float = 1.0
) -> Figure:
    """An estimate of a share, with its interval, times an area."""
    value, error = float(of.value[k]) * by, float(of.error[k]) * by
    if interval.strata:
        known = error if error > _NO_ERROR * by else None
        lower, upper = by * interval.lower, by * interval.upper
        # sums of weights are rounded; an estimate doesn't leave its interval for that
        lower, upper = min(lower, value), max(upper, value)
        return Figure(value, known, (upper - lower) / 2, lower, upper, intervals.EXACT)
    margin = reach * error
    return Figure(value, error, margin, max(0.0, value - margin), min(by, value + margin))


def _reference(drawn: Sample, path: Path) -> list[str]:
    """Class of each unit as labelled."""
    pairs = list(zip(drawn.numbers, drawn.before, drawn.after, strict=True))
    needs_before = drawn.design.response.dates == 2
    empty = [int(n) for n, b, a in pairs if a is None or (needs_before and b is None)]
    if empty:
        more = ", ..." if len(empty) > _SHOWN else ""
        raise SampleError(
            f"Every unit must be labelled, got {len(empty):,} of {len(pairs):,} without a label "
            f"(units {', '.join(map(str, empty[:_SHOWN]))}{more}) in {path}; label them: left out, "
            "they bias the rest."
        )
    found = []
    for number, before, after in pairs:
        assert after is not None
        try:
            found.append(drawn.design.response.reference(before, after))
        except ClassError as error:
            raise ClassError(f"Unit {number}: {error}") from error
    return found


def _renamed(design: Design, merge: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The name that each merged class gets."""
    found: dict[str, str] = {}
    response = design.response
    known = set(design.classes.values())
    if response.coding == "from-to":
        known |= {f"{a}{ARROW}{b}" for a in response.choices for b in response.choices}
    elif response.coding == "to":
        known |= {f"{TO}{c}" for c in response.choices}
    elif response.coding == "class":
        known |= set(response.choices)
    for new, olds in merge.items():
        for old in olds:
            if old not in known or old in found:
                raise ClassError(
                    f"Classes to merge must be of the map, each once, got {old!r} for {new!r}; "
                    f"the map has {', '.join(design.classes.values())}."
                )
            found[old] = new
        if new in known and new not in olds:
            raise ClassError(
                f"Merged classes need a name of their own, got {new!r}; choose another."
            )
    return found


def _strata(drawn: Sample, post_stratify: bool) -> tuple[Strata, NDArray[np.int64], list[str]]:
    """The strata of the estimate, each unit's place among them, and their names."""
    design = drawn.design
    if post_stratify:
        values = sorted({p.mapped for p in design.parts})
        groups = [[p for p in design.parts if p.mapped == v] for v in values]
        units = np.array([sum(p.units for p in g) for g in groups], np.float64)
        areas = np.array([sum(p.hectares for p in g) for g in groups])
        names, of = [design.classes[v] for v in values], drawn.mapped
    else:
        values = [s.value for s in design.strata]
        units = np.array([s.units for s in design.strata], np.float64)
        areas = np.array([s.hectares for s in design.strata])
        names, of = [s.name for s in design.strata], drawn.stratum
    stratum = np.searchsorted(values, of)
    held = np.bincount(stratum, minlength=len(values))
    for name, n, all_of_it in zip(names, held, units, strict=True):
        if n < 2 and n < all_of_it:
            raise SampleError(
                f"A stratum must have at least 2 units for a standard error, got {n} in {name!r}; "
                + (
                    "estimate without stratifying afterwards, or draw a stratified sample."
                    if post_stratify
                    else "draw a sample that gives it more, or merge strata."
                )
            )
    return Strata(units, areas), stratum, names


def _check_classes(
    names: Sequence[str], mapped: Sequence[str], hectares: Mapping[str, float]
) -> None:
    bare = [n for n in names if n in hectares and n not in mapped]
    if bare:
        raise SampleError(
            f"Every class of the map must have a unit in the sample, got none in "
            f"{', '.join(map(repr, bare[:_SHOWN]))}; draw a sample stratified by the map's "
            "classes, or merge classes for the estimate."
        )


def _method(design: Design, post_stratify: bool) -> str:
    """The estimators in words."""
    said = {
        "stratified": "Stratified random sampling",
        "simple": "Simple random sampling",
        "systematic": "Systematic sampling, with the variance of a simple random sample, which "
        "overstates it where neighbouring ground is alike",
    }[design.kind]
    if post_stratify:
        said += ", stratified afterwards by the map's classes, given how many units fell into each"
        said += " (Holt & Smith 1979)"
    same = post_stratify or (design.kind == "stratified" and design.strata_name is None)
    by = "Olofsson et al. (2014), eqs. 1-11" if same else "Stehman (2014), eqs. 2-29"
    said += f"; estimators of {by}, with the correction for a finite population"
    if design.unit_size > 1:
        side = design.unit_size
        said += (
            f". Units are blocks of {side} x {side} pixels: accuracies and areas are those of "
            "blocks, each counted whole as its commonest class"
        )
    return (
        f"{said}. Intervals: the estimate, and so many standard errors on each side (normal); "
        f"where fewer than {intervals.FEW} units of a stratum decide, its exact binomial limits "
        "(Clopper & Pearson 1934) with its effective size (Korn & Graubard 1998), combined over "
        "strata (Zou et al. 2009; of a producer's accuracy, Donner & Zou 2012)."
    )


def _notes(
    of: ClassFigures,
    right: int,
    area: intervals.Interval,
    users: intervals.Interval | None,
    strata: Sequence[str],
) -> list[str]:
    """What a reader must know of a class's intervals."""
    by = f"interval by {intervals.EXACT}"
    found = []
    if of.reference_units == 0 and area.strata:
        found.append(
            f"No unit was found to be {of.name!r}: its area is estimated as 0, and may be up to "
            f"{of.hectares.upper:,.1f} ha ({by}). More units in the strata where it may hide would "
            "tell more; so would merging classes."
        )
    elif area.strata:
        which = "this class" if max(area.found) < intervals.FEW else "this class, or any other,"
        both = of.producers is not None and of.producers.is_exact
        figures = "area and producer's accuracy" if both else "area"
        found.append(
            f"{of.name!r}: fewer than {intervals.FEW} units found {which} in strata that decide "
            f"its {figures} ({_seen('found in', area, strata)}): {by}."
        )
    elif of.producers is not None and of.producers.is_exact:
        found.append(
            f"{of.name!r}: fewer than {intervals.FEW} units of it were found by the map, or "
            f"missed, in strata that decide its producer's accuracy: {by}."
        )
    if users is not None and users.strata:
        units = f"units that the map calls {of.name!r}"
        if right == of.map_units:
            found.append(
                f"All {right:,} {units} are right: the sample met no error, which isn't to say "
                f"that there is none. User's accuracy: {by}."
            )
        elif right == 0:
            found.append(
                f"None of the {units} is right ({of.map_units:,}), which isn't to say that all of "
                f"it is wrong. User's accuracy: {by}."
            )
        else:
            found.append(
                f"Fewer than {intervals.FEW} {units} are wrong, or right, in strata that "
                f"decide its user's accuracy ({_seen('right', users, strata)}): {by}."
            )
    return found


def _seen(what: str, interval: intervals.Interval, strata: Sequence[str]) -> str:
    """What decides an interval: 'right 29 of 30 units of 'to water''."""
    rows = zip(interval.strata, interval.found, interval.units, strict=True)
    said = [f"{found:,} of {units:,} units of {strata[k]!r}" for k, found, units in rows]
    return f"{what} {', '.join(said[:_STRATA])}{', ...' if len(said) > _STRATA else ''}"


def _find(
    source: DomainSource,
    drawn: Sample,
    mapped: Path,
    on_block: Callable[[int, int], None] | None,
) -> Domains:
    half = drawn.design.unit_size // 2
    return find_domains(
        mapped, source.polygons, source.column, drawn.rows + half, drawn.columns + half,
        classes=drawn.design.classes, layer=source.layer, on_block=on_block,
    )  # fmt: skip


def _in_domains(
    domains: Domains,
    estimator: Estimator,
    reference: NDArray[np.int64],
    names: Sequence[str],
    level: float,
) -> tuple[DomainFigures, ...]:
    """Area of each class in each domain: its share of the domain, times the domain's area.

    The share is a ratio of two totals (Stehman 2014, eqs. 27-28; for domains Cochran 1977,
    section 5A.14), the area is known from the map.
    """
    found = []
    reach = quantile(level)
    is_class = (reference[:, np.newaxis] == np.arange(len(names))).astype(np.float64)
    for k, name in enumerate(domains.names):
        inside = (domains.place == k).astype(np.float64)[:, np.newaxis]
        units = int(inside.sum())
        hectares = float(domains.hectares[k])
        classes: dict[str, Figure] = {}
        if units >= 2:
            shares = estimator.ratios(is_class * inside, np.broadcast_to(inside, is_class.shape))
            for j, class_name in enumerate(names):
                here = is_class[:, j] * inside[:, 0]
                if here.any():
                    interval = intervals.share(estimator.groups(here, inside[:, 0]), level)
                    classes[class_name] = _figure(shares, j, interval, reach, by=hectares)
        found.append(DomainFigures(name, units, hectares, classes))
    return tuple(found)
