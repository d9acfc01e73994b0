"""Time of `prepare_data` on a large set with an up-to-date index.

    python benchmarks/index.py --tiles 10000

A small set is cut; hard links of its tiles make a large one, on a grid with an overlap of half a
tile, with an index as `tiles` writes it.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile
import time
from pathlib import Path

import tiles as cutting

from landshift import dataset, tileset
from landshift.tileset import esri
from landshift.tileset.index import write_index
from landshift.tileset.tiles import Contents


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiles", type=int, default=10_000)
    parser.add_argument(
        "--first", action="store_true", help="time the first read too, which takes minutes"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        image, labels = cutting.make_scene(folder, 600)
        sizes = tileset.Cutting(tile_size=256, stride=128)
        small = tileset.cut(
            [image], [labels], folder / "small", classes=cutting.SCHEME, cutting=sizes
        )
        large = folder / "large"
        for name in ("images", "labels"):
            (large / name).mkdir(parents=True)
        side, linked = int(arguments.tiles**0.5), []
        for number in range(arguments.tiles):
            tile = small.tiles[number % len(small.tiles)]
            paths = [large / k / f"{number:09d}.tif" for k in ("images", "labels")]
            os.link(tile.image, paths[0])
            os.link(tile.label, paths[1])
            row, column = divmod(number, side)
            box = (column * 128.0, row * 128.0, column * 128.0 + 256, row * 128.0 + 256)
            linked.append(
                dataclasses.replace(
                    tile, name=f"{number:09d}", image=paths[0], label=paths[1], bounds=box
                )
            )
        known = {f.name for f in dataclasses.fields(Contents)}
        about = {k: v for k, v in vars(small).items() if k in known}
        contents = Contents(**{**about, "tiles": tuple(linked)})
        everything = dataclasses.replace(small, folder=large, tiles=tuple(linked))
        esri.write_side_files(large, everything, next_index=arguments.tiles, cell_sizes=[])
        write_index(large, contents)
        for _ in range(3):
            start = time.perf_counter()
            tileset.read(large)
            middle, cpu = time.perf_counter(), time.process_time()
            data = dataset.prepare(large)
            end = time.perf_counter()
            print(
                f"{len(data.tiles.tiles)} tiles: read {middle - start:.2f} s, "
                f"prepare_data {end - middle:.2f} s ({time.process_time() - cpu:.2f} s of CPU)"
            )
        if arguments.first:
            (large / "landshift.sqlite").unlink()
            start = time.perf_counter()
            tileset.read(large)
            print(f"first read of a foreign set: {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
