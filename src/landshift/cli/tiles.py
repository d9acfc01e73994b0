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
    from landshift.cli import show
    from landshift.tileset import Audit, cutting
    from landshift.tileset.options import Auditing, Companions, Cutting, Encoding

    with show.progress("tiles") as on_tile:
        result = cutting.tiles(
            rasters or (),
            out,
            classes=classes,
            recode=recode,
            cutting=Cutting(
                tile_size, stride, start_index, unlabelled, minimum_labelled, rotation_angle,
                mask_polygons, mask_layer, append,
            ),
            encoding=Encoding(chip_format, uncompressed),  # type: ignore[arg-type]
            companions=Companions(
                images2 or (), labels_before or (), labels_after or (), map_classes
            ),
            auditing=Auditing(audit, pairs, val_split_pct, seed),
            overwrite=overwrite,
            on_tile=on_tile,
        )  # fmt: skip
    if isinstance(result, Audit):
        _print_audit(result)
        if pairs is not None:
            typer.echo(pairs)
        return
    typer.echo(f"{len(result.tiles)} tiles")
    typer.echo(out)


def _print_audit(audit: Any) -> None:
    from landshift import tileset

    tiles = audit.tiles
    together = ", ".join(str(n) for n in audit.groups[:8] if n > 1)
    typer.echo(
        f"{len(tiles.tiles)} tiles, {len(audit.pairs)} pairs share ground; "
        + (f"tiles that hang together: {together}" if together else "all lie apart")
    )
    _print_split("random split", audit.at_random)
    for a, b in audit.at_random.leaks[:_LISTED]:
        share = tileset.shared_ground(tiles, int(a), int(b))
        say(f"  leak: {tiles.tiles[a].name} {tiles.tiles[b].name} ({share:.0%} shared)")
    if len(audit.at_random.leaks) > _LISTED:
        typer.echo(f"  and {len(audit.at_random.leaks) - _LISTED} more; --pairs writes them all")
    if audit.by_ground is None:
        typer.echo(f"split by ground: none. {audit.why_not}")
    else:
        _print_split("split by ground", audit.by_ground)


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
