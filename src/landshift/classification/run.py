"""A prepared map is computed block by block and written; an interrupted run is continued."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

from landshift.classification.blocks import BlockJob
from landshift.classification.job import MapJob
from landshift.classification.mosaic import assemble
from landshift.classification.progress import Progress, ProgressCounter
from landshift.classification.workers import Workers
from landshift.files import provenance, resumable
from landshift.files.resumable import Unfinished

log = logging.getLogger(__name__)


def carry_out(job: MapJob, workers: Workers, on_block: Callable[[Progress], None] | None) -> None:
    """Compute the blocks that no earlier run finished, and write the maps.

    Args:
        job: The map.
        workers: The workers that compute its blocks.
        on_block: Called when a block is finished.

    Raises:
        ParameterError: An unfinished map of other inputs or options exists.
        RasterError: The raster can't be read; finished blocks are kept.
        OutputError: The map can't be written; finished blocks are kept.
        ClusterError: The scheduler or its workers can't compute the map.
    """
    traits = workers.traits
    blocks = job.blocks(traits)
    record = job.record(blocks, traits)
    description = job.description(record, blocks)
    with resumable.resumable_file(job.out, description, restart=job.run.restart) as unfinished:
        # a folder per job: late writes of an earlier job's worker stay apart
        blocks = replace(blocks, folder=unfinished.folder / provenance.short(description))
        counts = _counted(blocks, workers, unfinished, on_block)
        if not any(counts.values()):
            log.warning(
                "%s has no valid pixel%s: the map is nodata everywhere.",
                job.scene.files[0], "" if job.area.polygons is None else " inside the polygons",
            )  # fmt: skip
        assemble(blocks, counts, job.out, record)


def _counted(
    blocks: BlockJob,
    workers: Workers,
    unfinished: Unfinished,
    on_block: Callable[[Progress], None] | None,
) -> dict[int, Mapping[int, int]]:
    """Pixels of each class value, by block; blocks that remain are computed and recorded."""
    plan = blocks.plan
    counts: dict[int, Mapping[int, int]] = {
        int(entry["block"]): {int(value): int(n) for value, n in entry["counts"].items()}
        for entry in unfinished.done
    }
    left = [n for n in range(plan.blocks) if n not in counts]
    windows = {n: plan.window(n) for n in left}
    pixels = {n: window.height * window.width for n, window in windows.items()}
    finished = workers.run(blocks, left) if left else ()
    unfinished.count(len(counts), plan.blocks, "blocks")
    counter = ProgressCounter(plan.blocks, len(counts), sum(pixels.values()), on_block)
    for block in finished:
        unfinished.record({"block": block.number, "counts": block.counts})
        counts[block.number] = block.counts
        unfinished.count(len(counts), plan.blocks, "blocks")
        counter.add(pixels[block.number])
    return counts
