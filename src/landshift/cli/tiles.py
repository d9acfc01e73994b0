"""`landshift tiles`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from landshift.cli.lines import say
from landshift.cli.options import Overwrite

_LISTED = 40  # leaking pairs that the screen shows


def tiles(
    rasters: Annotated[
        list[Path] | None,
        typer.Argument(help="Composite and change map, or several such pairs."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the training set to make.")
    ] = None,
    tile_size: Annotated[
        str, typer.Option(help="Pixels of a tile: 256, or columns x rows such as 320x256.")
    ] = "256",
    stride: Annotated[
        str, typer.Option(help="Pixels from one tile to the next: 128, or right x down.")
    ] = "128",
    classes: Annotated[
        Path | None, typer.Option(help="Classes of the labels: CSV value,name or JSON.")
    ] = None,
    recode: Annotated[
        Path | None, typer.Option(help="CSV: value of the labels, new value or class name.")
    ] = None,
    chip_format: Annotated[
        str, typer.Option("--format", help="TIFF, PNG or JPEG (with PNG labels).")
    ] = "TIFF",
    uncompressed: Annotated[
        bool, typer.Option("--uncompressed", help="TIFF tiles without compression: faster, larger.")
    ] = False,
    start_index: Annotated[
        int | None, typer.Option(help="Number of the first tile; 0, or the next when appending.")
    ] = None,
    unlabelled: Annotated[
        bool, typer.Option("--unlabelled", help="Keep tiles without a labelled pixel too.")
    ] = False,
    minimum_labelled: Annotated[
        float, typer.Option(help="Share of a tile that must be labelled, 0 to 1.")
    ] = 0.0,
    rotation_angle: Annotated[
        float, typer.Option(help="Cut each window turned by this angle and its multiples too.")
    ] = 0.0,
    mask_polygons: Annotated[
        Path | None, typer.Option(help="Keep tiles that lie wholly in the polygons of this file.")
    ] = None,
    mask_layer: Annotated[
        str | None, typer.Option(help="Layer of the polygons, of several.")
    ] = None,
    images2: Annotated[
        list[Path] | None, typer.Option(help="A second input raster; once for each composite.")
    ] = None,
    labels_before: Annotated[
        list[Path] | None, typer.Option(help="Class map before, kept too; once for each composite.")
    ] = None,
    labels_after: Annotated[
        list[Path] | None, typer.Option(help="Class map after; once for each composite.")
    ] = None,
    map_classes: Annotated[
        Path | None, typer.Option(help="Classes of the two class maps: CSV value,name or JSON.")
    ] = None,
    append: Annotated[
        bool, typer.Option("--append", help="Add to the set that is there already.")
    ] = False,
    audit: Annotated[
        Path | None,
        typer.Option(help="Cut nothing; tell which tiles of this set leak between splits."),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(help="With --audit: write every pair that shares ground to this CSV."),
    ] = None,
    val_split_pct: Annotated[
        float, typer.Option(help="With --audit: share of tiles for validation.")
    ] = 0.1,
    seed: Annotated[int, typer.Option(help="With --audit: seed of the splits.")] = 42,
    overwrite: Overwrite = False,
) -> None:
    """Cut composites and change maps into a training set in Esri's 'Classified Tiles' layout.

    Run it again after it was stopped, and it goes on where it ended.
    """
    from landshift import tileset
    from landshift.classes import legend_readers
    from landshift.cli import show
    from landshift.errors import ParameterError
    from landshift.files import whole

    scheme = None if classes is None else legend_readers.read_classes(classes)
    if audit is not None:
        if rasters or out is not None:
            raise ParameterError(
                f"--audit looks at a set that is there, got rasters or -o beside {audit}; "
                "do one after the other."
            )
        whole.check_new(pairs, overwrite=overwrite)
        with show.progress("tiles") as on_tile:
            found = tileset.read(audit, scheme, on_tile=on_tile)
        _audit(found, pairs, val_split_pct, seed, overwrite=overwrite)
        return
    if pairs is not None:
        raise ParameterError("--pairs needs --audit, got it alone; give the set to look at.")
    rasters = rasters or []
    if not rasters or len(rasters) % 2:
        raise ParameterError(
            f"Rasters must come in pairs of composite and change map, got {len(rasters)} of them."
        )
    if out is None:
        raise ParameterError("The training set needs a folder, got none; give it with -o.")
    with show.progress("tiles") as on_tile:
        made = tileset.cut(
            rasters[::2],
            rasters[1::2],
            out,
            scheme=scheme,
            recode=None if recode is None else legend_readers.read_recoding(recode),
            tile_size=_size(tile_size, "--tile-size"),
            stride=_size(stride, "--stride"),
            start_index=start_index,
            skip_unlabelled=not unlabelled,
            minimum_labelled=minimum_labelled,
            chip_format=chip_format,
            compress=not uncompressed,
            rotation_angle=rotation_angle,
            mask_polygons=mask_polygons,
            mask_layer=mask_layer,
            images2=images2 or (),
            labels_before=labels_before or (),
            labels_after=labels_after or (),
            map_scheme=None if map_classes is None else legend_readers.read_classes(map_classes),
            append=append,
            overwrite=overwrite,
            on_tile=on_tile,
        )
    typer.echo(f"{len(made.tiles)} tiles")
    typer.echo(out)


def _size(text: str, option: str) -> tuple[int, int]:
    """Rows and columns of a size such as 256 or 320x256, which gives columns first."""
    from landshift.errors import ParameterError

    parts = text.lower().split("x")
    if not 1 <= len(parts) <= 2 or not all(p.strip().isdigit() for p in parts):
        raise ParameterError(
            f"{option} must be a number of pixels or columns x rows, got {text!r}; "
            "give for example 256 or 320x256."
        )
    return int(parts[-1]), int(parts[0])


def _audit(
    tiles: Any, pairs: Path | None, valid_share: float, seed: int, *, overwrite: bool
) -> None:
    from landshift import tileset

    found = tileset.audit(tiles, valid_share=valid_share, seed=seed)
    together = ", ".join(str(n) for n in found.groups[:8] if n > 1)
    typer.echo(
        f"{len(tiles.tiles)} tiles, {len(found.pairs)} pairs share ground; "
        + (f"tiles that hang together: {together}" if together else "all lie apart")
    )
    _print_split("random split", found.at_random)
    for a, b in found.at_random.leaks[:_LISTED]:
        share = tileset.shared_ground(tiles, int(a), int(b))
        say(f"  leak: {tiles.tiles[a].name} {tiles.tiles[b].name} ({share:.0%} shared)")
    if len(found.at_random.leaks) > _LISTED:
        typer.echo(f"  and {len(found.at_random.leaks) - _LISTED} more; --pairs writes them all")
    if found.by_ground is None:
        typer.echo(f"split by ground: none. {found.why_not}")
    else:
        _print_split("split by ground", found.by_ground)
    if pairs is not None:
        tileset.write_pairs(pairs, tiles, found, overwrite=overwrite)
        typer.echo(pairs)


def _print_split(name: str, audited: Any) -> None:
    split = audited.split
    typer.echo(
        f"{name}: {len(split.train)} training, {len(split.valid)} validation, "
        f"{len(split.dropped)} dropped; {len(audited.leaks)} leaking pairs, {audited.leaking} of "
        f"{len(split.valid)} validation tiles seen in training"
    )
    for side, names in audited.absent.items():
        if names:
            say(f"  no {side} tile holds {', '.join(names)}")
