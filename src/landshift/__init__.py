"""Land-cover change maps from images of two dates, end to end.

Each stage is a function, and a command of the same name; see docs/architecture.md for the rooms.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

PUBLIC = {
    "composite": "landshift.prepare.composite",
    "normalise": "landshift.prepare.normalise",
    "burn": "landshift.prepare.burn",
    "difference": "landshift.prepare.difference",
    "simulate": "landshift.simulation.scene",
    "demo": "landshift.demonstration",
    "label": "landshift.prepare.label",
    "patches": "landshift.maps.patches",
    "polygons": "landshift.maps.polygons",
    "report": "landshift.pages.report.writing",
    "stac": "landshift.publish.maps",
    "view": "landshift.show.figures",
    "tiles": "landshift.tileset.cutting",
    "zonal": "landshift.show.zones",
    "evaluate": "landshift.evaluation.evaluate",
    "sample": "landshift.assess.sample",
    "label_samples": "landshift.pages.labelling.session",
    "estimate": "landshift.assess.estimate",
    # options of theirs
    "ChangeClasses": "landshift.prepare.difference",
    "ClassColumns": "landshift.prepare.burn",
    "CompositeOutput": "landshift.prepare.composite",
    "Footprints": "landshift.prepare.burn",
    "ImageReading": "landshift.prepare.composite",
    "PairReading": "landshift.prepare.difference",
    "SceneConditions": "landshift.simulation.scene",
    "TargetGrid": "landshift.prepare.composite",
    "Cleaning": "landshift.prepare.label",
    "Filters": "landshift.prepare.label",
    "MapReading": "landshift.prepare.label",
    "Baselines": "landshift.evaluation.evaluate",
    "ClassMaps": "landshift.evaluation.evaluate",
    "Comparison": "landshift.evaluation.evaluate",
    "DomainSource": "landshift.assess.domains",
    "PictureOptions": "landshift.pages.labelling.session",
    "PointColumns": "landshift.assess.points",
    "PointDesign": "landshift.assess.others",
    "SamplePlan": "landshift.assess.plan",
    "ReportFiles": "landshift.pages.report.files",
    "Auditing": "landshift.tileset.options",
    "Companions": "landshift.tileset.options",
    "Cutting": "landshift.tileset.options",
    "Encoding": "landshift.tileset.options",
    # names that were public before the commands were
    "classify_pixels": "landshift.classification",
    "evaluate_map": "landshift.evaluation.maps",
    "prepare_data": "landshift.learn",
}
"""The module of each public function and of the classes of its options."""

__all__ = [*PUBLIC, "__version__"]


def __getattr__(name: str) -> Any:
    """Load a public function when it is first used: `import landshift` alone stays fast."""
    if name in PUBLIC:
        from importlib import import_module

        return getattr(import_module(PUBLIC[name]), name)
    raise AttributeError(f"module 'landshift' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
