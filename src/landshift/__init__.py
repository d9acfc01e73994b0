"""Land-cover change maps from images of two dates, end to end.

Each stage is a function, and a command of the same name; see docs/architecture.md for the rooms.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

PUBLIC = {
    "search": "landshift.catalogue.search",
    "fetch": "landshift.catalogue.fetch",
    "composite": "landshift.prepare.composite",
    "normalise": "landshift.prepare.normalise",
    "label": "landshift.prepare.label",
    "burn": "landshift.prepare.burn",
    "difference": "landshift.prepare.difference",
    "tiles": "landshift.tileset.cutting",
    "simulate": "landshift.simulation.scene",
    "train": "landshift.learn.trained",
    "suspects": "landshift.learn.suspects",
    "padding": "landshift.classification",
    "quantize": "landshift.classification",
    "classify": "landshift.classification",
    "series": "landshift.maps.series",
    "polygons": "landshift.maps.polygons",
    "patches": "landshift.maps.patches",
    "zonal": "landshift.show.zones",
    "evaluate": "landshift.evaluation.evaluate",
    "sample": "landshift.assess.sample",
    "label_samples": "landshift.pages.labelling.session",
    "estimate": "landshift.assess.estimate",
    "view": "landshift.show.figures",
    "report": "landshift.pages.report.writing",
    "explore": "landshift.pages.explore.session",
    "stac": "landshift.publish.maps",
    "init": "landshift.recipe.starting",
    "run": "landshift.recipe.running",
    "demo": "landshift.recipe.demo",
    # options of theirs
    "Auditing": "landshift.tileset.options",
    "Augmentation": "landshift.training",
    "Baselines": "landshift.evaluation.evaluate",
    "Catalogued": "landshift.recipe.starting",
    "ChangeClasses": "landshift.prepare.difference",
    "ClassColumns": "landshift.prepare.burn",
    "ClassMaps": "landshift.evaluation.evaluate",
    "Cleaning": "landshift.prepare.label",
    "Companions": "landshift.tileset.options",
    "Comparison": "landshift.evaluation.evaluate",
    "CompositeOutput": "landshift.prepare.composite",
    "Cutting": "landshift.tileset.options",
    "Consistency": "landshift.maps.series",
    "DataOptions": "landshift.dataset",
    "DateImage": "landshift.catalogue.fetch",
    "DomainSource": "landshift.assess.domains",
    "Encoding": "landshift.tileset.options",
    "FetchGrid": "landshift.catalogue.fetch",
    "FileAccess": "landshift.catalogue.fetch",
    "Filters": "landshift.prepare.label",
    "FoldModel": "landshift.learn.suspects",
    "Footprints": "landshift.prepare.burn",
    "ImageReading": "landshift.prepare.composite",
    "ItemFilter": "landshift.catalogue.search",
    "LastingChange": "landshift.maps.series",
    "Loss": "landshift.training",
    "MapArea": "landshift.classification",
    "MapEngine": "landshift.classification",
    "MapOutputs": "landshift.classification",
    "MapReading": "landshift.prepare.label",
    "MapRun": "landshift.classification",
    "MapTiling": "landshift.classification",
    "Network": "landshift.learn.trained",
    "OwnFiles": "landshift.recipe.starting",
    "PairReading": "landshift.prepare.difference",
    "PictureOptions": "landshift.pages.labelling.session",
    "Place": "landshift.catalogue.place",
    "PointColumns": "landshift.assess.points",
    "PointDesign": "landshift.assess.others",
    "ReportFiles": "landshift.pages.report.files",
    "SamplePlan": "landshift.assess.plan",
    "SceneConditions": "landshift.simulation.scene",
    "SearchFiles": "landshift.catalogue.search",
    "TargetGrid": "landshift.prepare.composite",
    "Training": "landshift.training",
    "TrainingTiles": "landshift.dataset",
    "Weighting": "landshift.prepare.label",
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
