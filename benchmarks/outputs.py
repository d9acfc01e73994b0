"""What a run wrote, by content: digests of pixels, tables, weights and scores, to compare.

    python benchmarks/outputs.py --make FOLDER          # every stage on a small scene
    landshift demo --out DEMO
    python benchmarks/outputs.py FOLDER DEMO > one.json
    python benchmarks/outputs.py --compare one.json other.json

A checkout is chosen with PYTHONPATH=CHECKOUT/src. Only the command line and public file formats
are used, so that checkouts with other modules can be compared. Of each file there are three
things: `content`, which two versions must have in common; `beside`, which may differ with a reason
(provenance, digests of other files, words of pages and messages); and the SHA-256 of its bytes.
The comparison lists files that differ by content, then those whose bytes alone differ, with the
parts that differ. The exit code is 1 where content differs, else 0.
"""

from __future__ import annotations

import argparse
import csv
import difflib
import hashlib
import io
import json
import os
import re
import shlex
import sqlite3
import subprocess
import sys
import tempfile
import time
import warnings
import xml.etree.ElementTree as ElementTree
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np

BESIDE = {
    # JSON of ours, tags of rasters and packages: who made it, from what, when
    "LANDSHIFT_PROVENANCE", "landshift:provenance", "provenance", "software", "versions", "version",
    "inputs", "fingerprint", "sha256", "digest", "digests", "file:checksum", "file:size",
    "checksum", "files", "made by landshift demo", "created", "updated", "datetime_made", "date",
    # how long it took, on what
    "seconds", "duration", "time", "machine", "processor", "threads", "memory", "rate", "cpu",
    "saved",
}  # fmt: skip
"""Keys whose values, and all below them, are compared apart from content."""

RECORD = "(provenance)"
"""Stands among the keys of a record of provenance, whatever key holds it."""

COLUMNS = {"last_change", "timestamp", "update_time", "seconds", "time", "fingerprint"}
"""Columns of tables that are compared apart from content."""

VOLATILE = re.compile(
    r"\d+:\d\d(:\d\d)?|[\d.,]+ ?(s|ms|min|seconds|minutes|h|MB|MiB|GB|GiB)\b"
    r"|[\d.,]+ ?(Mpixel|million pixels|images|pixels|MB|MiB)/s"
)
"""Times, rates and sizes in printed text."""

NUMBER = re.compile(r"(?<![A-Za-z])-?\d+(?:\.\d+)?(?:e-?\d+)?")
LEAVES = 400  # of JSON: above this, leaves are put together by their first two keys
SHORT = 80  # characters of a value that is kept as it is

Parts = dict[str, str]
Entry = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="*", help="folders of outputs, or two files")
    parser.add_argument("--make", type=Path, help="run every stage into this new folder")
    parser.add_argument("--compare", action="store_true", help="compare two files of digests")
    parser.add_argument("--most", type=int, default=8, help="parts of a file to list")
    arguments = parser.parse_args()
    if arguments.compare:
        one, other = (json.loads(p.read_text()) for p in arguments.folders)
        return compare(one, other, arguments.most)
    if arguments.make:
        make(arguments.make)
    if arguments.folders:
        entries: dict[str, Entry] = {}
        for folder in arguments.folders:
            prefix = f"{folder.name}/" if len(arguments.folders) > 1 else ""
            entries |= {f"{prefix}{name}": e for name, e in describe(folder).items()}
        json.dump(entries, sys.stdout, indent=1, sort_keys=True)
        print()
    return 0


# ---------------------------------------------------------------------------------- digests


def describe(folder: Path) -> dict[str, Entry]:
    """Content, what is beside it and the digest of bytes, of each file below a folder."""
    entries: dict[str, Entry] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        for part, entry in described(path, str(folder.resolve())):
            entries[name + part] = entry
    return entries


def described(path: Path, folder: str) -> Iterator[tuple[str, Entry]]:
    """A file's entry; of an archive, the entries of its members too."""
    content, beside = read(path, folder)
    yield "", {"bytes": digest(path.read_bytes()), "content": content, "beside": beside}
    if path.suffix in (".dlpk", ".zip") and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as root:
            for member in sorted(archive.namelist()):
                if not member.endswith("/"):
                    inner = Path(archive.extract(member, root))
                    for part, entry in described(inner, folder):
                        yield f"!{member}{part}", entry


def read(path: Path, folder: str) -> tuple[Parts, Parts]:
    """Content and what is beside it, of one file."""
    reader = READERS.get(path.suffix.lower(), of_bytes)
    if path.name in ("SHA256SUMS", "manifest.sha256") or path.suffix in (".py", ".html", ".md"):
        reader = of_words
    if path.parent.name == "printed":
        reader = of_printed
    try:
        return reader(path, folder)
    except Exception as error:
        print(f"not read, taken as bytes: {path}: {error!r}", file=sys.stderr)
        return {"bytes": digest(path.read_bytes())}, {}


def digest(value: bytes | np.ndarray | str) -> str:
    """SHA-256; of an array with its type and shape."""
    if isinstance(value, np.ndarray):
        head = f"{value.dtype} {value.shape} ".encode()
        return hashlib.sha256(head + np.ascontiguousarray(value).tobytes()).hexdigest()
    return hashlib.sha256(value if isinstance(value, bytes) else value.encode()).hexdigest()


def brief(value: Any) -> str:
    """A value as text, or its digest where the text is long."""
    text = json.dumps(value, sort_keys=True, default=str)
    return text if len(text) <= SHORT else digest(text)


def of_bytes(path: Path, folder: str) -> tuple[Parts, Parts]:
    return {"bytes": digest(path.read_bytes())}, {}


def of_words(path: Path, folder: str) -> tuple[Parts, Parts]:
    """Files that people read: nothing of it is content."""
    return {}, {"words": digest(path.read_text(errors="replace").replace(folder, "{folder}"))}


def of_printed(path: Path, folder: str) -> tuple[Parts, Parts]:
    """What a command printed: its exit code and the numbers of its output are content.

    Words aren't, nor are messages on standard error: progress and other packages' logs.
    """
    text = path.read_text().replace(folder, "{folder}")
    code, _, lines = text.partition("\n")
    numbers = NUMBER.findall(VOLATILE.sub("", lines.partition("--- errors\n")[0]))
    return {"exit code": code, "numbers": brief(numbers)}, {"words": VOLATILE.sub("~", lines)}


def of_json(path: Path, folder: str) -> tuple[Parts, Parts]:
    return parts_of(json.loads(path.read_text().replace(folder, "{folder}")))


def parts_of(value: Any) -> tuple[Parts, Parts]:
    """The leaves of JSON by their keys, content apart from the keys of `BESIDE`."""
    content: Parts = {}
    beside: Parts = {}
    for keys, leaf in leaves(value, ()):
        apart = RECORD in keys or not BESIDE.isdisjoint(keys) or is_sentence(leaf)
        (beside if apart else content)[".".join(keys)] = brief(leaf)
    return gathered(content), gathered(beside)


def is_sentence(value: Any) -> bool:
    """Text for people, which may be said in other words."""
    texts = value if isinstance(value, list) and value else [value]
    return all(isinstance(t, str) for t in texts) and any(len(t.split()) > 5 for t in texts)


def leaves(value: Any, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Scalars and lists of scalars; text that holds JSON is read."""
    if isinstance(value, str) and value[:1] in "{[" and value[1:]:
        with suppress(ValueError):
            value = json.loads(value)
    if isinstance(value, dict) and value:
        if {"software", "stage", "parameters"} <= value.keys():
            keys = (*keys, RECORD)
        for key, inner in value.items():
            yield from leaves(inner, (*keys, str(key)))
    elif isinstance(value, list) and any(isinstance(v, dict | list) for v in value):
        for number, inner in enumerate(value):
            yield from leaves(inner, (*keys, str(number)))
    else:
        yield keys, value


def gathered(parts: Parts) -> Parts:
    """Many leaves as one digest for each pair of first keys."""
    if len(parts) <= LEAVES:
        return parts
    groups: dict[str, list[str]] = {}
    for key, value in parts.items():
        groups.setdefault(".".join(key.split(".")[:2]), []).append(f"{key}={value}")
    return {key: digest("\n".join(values)) for key, values in groups.items()}


def of_csv(path: Path, folder: str) -> tuple[Parts, Parts]:
    """The header, and each column by its name."""
    rows = list(csv.reader(io.StringIO(path.read_text().replace(folder, "{folder}"))))
    if not rows:
        return {"rows": "0"}, {}
    content: Parts = {"header": brief(rows[0]), "rows": str(len(rows) - 1)}
    beside: Parts = {}
    for k, name in enumerate(rows[0]):
        column = brief([row[k] if k < len(row) else None for row in rows[1:]])
        (beside if name in COLUMNS else content)[f"column {name}"] = column
    return content, beside


def of_text(path: Path, folder: str) -> tuple[Parts, Parts]:
    """Tables of a tile set (map.txt, stats.txt): every line is content."""
    lines = path.read_text().replace(folder, "{folder}").splitlines()
    return {"lines": str(len(lines)), "text": digest("\n".join(lines))}, {}


def of_lines(path: Path, folder: str) -> tuple[Parts, Parts]:
    """A line of JSON each."""
    return parts_of([json.loads(x) for x in path.read_text().splitlines() if x])


def of_raster(path: Path, folder: str) -> tuple[Parts, Parts]:
    import rasterio
    import rasterio.shutil
    from rasterio.io import MemoryFile

    content: Parts = {}
    beside: Parts = {}
    warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
    with rasterio.open(path) as source:
        if path.suffix == ".png" and source.crs is None and source.gcps[1] is None:
            picture = path.parent.name not in ("images", "labels")
            (beside if picture else content)["pixels"] = digest(source.read())
            return content, beside
        for k, name in enumerate(source.descriptions, start=1):
            content[f"band {k} pixels"] = digest(source.read(k))
            content[f"band {k} mask"] = digest(source.read_masks(k))
            content[f"band {k} name"] = brief(name)
            content[f"band {k} type"] = source.dtypes[k - 1]
            content[f"band {k} nodata"] = str(source.nodatavals[k - 1])
            content[f"band {k} scale"] = f"{source.scales[k - 1]} {source.offsets[k - 1]}"
            content[f"band {k} unit"] = brief(source.units[k - 1])
            content[f"band {k} meaning"] = source.colorinterp[k - 1].name
            for level in source.overviews(k):
                shape = (-(-source.height // level), -(-source.width // level))
                content[f"band {k} overview {level}"] = digest(source.read(k, out_shape=shape))
        content["transform"] = brief(list(source.transform)[:6])
        content["crs"] = brief(source.crs.to_wkt() if source.crs else None)
        content["storage"] = brief(
            [source.driver, source.shape, source.block_shapes, str(source.compression),
             str(source.interleaving)]
        )  # fmt: skip
        for domain in [None, *source.tag_namespaces()]:
            if domain != "DERIVED_SUBDATASETS" and not str(domain).startswith("xml:"):
                found = parts_of({domain or "": source.tags(ns=domain)})
                content |= {f"tag {k}": v for k, v in found[0].items()}
                beside |= {f"tag {k}": v for k, v in found[1].items()}
        for k in source.indexes:
            content |= {f"band {k} tag {a}": brief(b) for a, b in source.tags(k).items()}
        with MemoryFile(ext=".vrt") as memory:  # rasterio doesn't give category names
            rasterio.shutil.copy(source, memory.name, driver="VRT")
            tree = ElementTree.fromstring(bytes(memory.getbuffer()))
    for k, band in enumerate(tree.findall("VRTRasterBand"), start=1):
        for what in ("ColorTable", "CategoryNames", "GDALRasterAttributeTable"):
            element = band.find(what)
            if element is not None:
                content[f"band {k} {what}"] = digest(canonical(element))
    return content, beside


def canonical(element: ElementTree.Element) -> str:
    """XML without differences of white space and of the order of attributes."""
    return ElementTree.canonicalize(ElementTree.tostring(element, "unicode"), strip_text=True)


def of_xml(path: Path, folder: str) -> tuple[Parts, Parts]:
    """XML beside a raster: each element below the root."""
    root = ElementTree.fromstring(path.read_text())
    found = Counter(child.tag for child in root)
    numbers: Counter[str] = Counter()
    content = {}
    for child in root:
        numbers[child.tag] += 1
        many = f" {numbers[child.tag]}" if found[child.tag] > 1 else ""
        content[f"{child.tag}{many}"] = digest(canonical(child))
    return content, {}


def of_sqlite(path: Path, folder: str) -> tuple[Parts, Parts]:
    """Every column of every table; geometries of a GeoPackage are such a column."""
    content: Parts = {}
    beside: Parts = {}
    with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as base:
        tables = base.execute("select name, sql from sqlite_master where type='table' order by 1")
        for table, sql in tables.fetchall():
            if table.startswith(("rtree_", "sqlite_")):
                continue
            content[f"{table} schema"] = digest(re.sub(r"\s+", " ", sql))
            cursor = base.execute(f'select * from "{table}"')
            names = [column[0] for column in cursor.description]
            rows = cursor.fetchall()
            content[f"{table} rows"] = str(len(rows))
            for k, name in enumerate(names):
                values = [row[k] for row in rows]
                apart = name in COLUMNS or (
                    any(isinstance(v, str) and BESIDE & set(re.findall(r'"([\w:]+)"', v))
                        for v in values)
                )  # fmt: skip
                text = repr(values).replace(folder, "{folder}")
                if apart and name not in COLUMNS:  # records in a column: their leaves by key
                    keys = [row[0] for row in rows] if names[0] == "key" else range(len(rows))
                    inner, outer = parts_of({str(n): v for n, v in zip(keys, values, strict=True)})
                    content |= {f"{table}.{name} {a}": b for a, b in inner.items()}
                    beside |= {f"{table}.{name} {a}": b for a, b in outer.items()}
                else:
                    (beside if apart else content)[f"{table}.{name}"] = brief(text)
    return content, beside


def of_vector(path: Path, folder: str) -> tuple[Parts, Parts]:
    import pyogrio

    content: Parts = {}
    for layer, kind in pyogrio.list_layers(path):
        about, _, geometry, columns = pyogrio.raw.read(path, layer=layer)
        content[f"{layer} kind"] = brief([kind, about["crs"], list(about["fields"])])
        if geometry is not None:
            content[f"{layer} geometries"] = digest(b"".join(map(bytes, geometry)))
        for name, column in zip(about["fields"], columns, strict=True):
            content[f"{layer}.{name}"] = brief([str(column.dtype), column.tolist()])
    return content, {}


def of_parquet(path: Path, folder: str) -> tuple[Parts, Parts]:
    """GeoParquet, which GDAL's wheels don't read: each column, and what the file says of them."""
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    content = {f"column {n}": digest(repr(table[n].to_pylist())) for n in table.column_names}
    content["types"] = digest(str([(f.name, str(f.type)) for f in table.schema]))
    known = pyarrow.parquet.read_metadata(path).metadata or {}
    texts = {k.decode(): v.decode() for k, v in known.items() if k != b"ARROW:schema"}
    inner, beside = parts_of(texts)
    return content | {f"metadata {k}": v for k, v in inner.items()}, beside


def of_tensors(path: Path, folder: str) -> tuple[Parts, Parts]:
    from safetensors import safe_open

    with safe_open(path, "np") as file:
        content = {f"tensor {key}": digest(file.get_tensor(key)) for key in sorted(file.keys())}
        inner, beside = parts_of(file.metadata() or {})
    return content | {f"metadata {k}": v for k, v in inner.items()}, beside


def of_torch(path: Path, folder: str) -> tuple[Parts, Parts]:
    import torch

    content: Parts = {}

    def walk(value: Any, keys: str) -> None:
        if isinstance(value, torch.Tensor):
            array = value.detach().contiguous().view(torch.uint8) if value.ndim else value
            content[keys] = f"{value.dtype} {tuple(value.shape)} {digest(array.cpu().numpy())}"
        elif isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, f"{keys}.{key}")
        elif isinstance(value, list | tuple):
            for key, inner in enumerate(value):
                walk(inner, f"{keys}.{key}")
        else:
            content[keys] = brief(value)

    walk(torch.load(path, "cpu", weights_only=True), "")
    return content, {}


def of_onnx(path: Path, folder: str) -> tuple[Parts, Parts]:
    import onnx
    from onnx import numpy_helper

    model = onnx.load(path)
    graph = model.graph
    content = {f"tensor {t.name}": digest(numpy_helper.to_array(t)) for t in graph.initializer}
    content["nodes"] = digest("\n".join(f"{n.op_type} {n.input} {n.output}" for n in graph.node))
    content["inputs and outputs"] = digest(f"{graph.input} {graph.output}")
    content["operators"] = brief([(o.domain, o.version) for o in model.opset_import])
    inner, beside = parts_of({p.key: p.value for p in model.metadata_props})
    inner = {f"metadata {k}": v for k, v in inner.items()}
    beside["producer"] = f"{model.producer_name} {model.producer_version}"
    return content | inner, beside


def of_archive(path: Path, folder: str) -> tuple[Parts, Parts]:
    with zipfile.ZipFile(path) as archive:
        names = sorted(archive.namelist())
        how = sorted({member.compress_type for member in archive.infolist()})
    return {"members": brief(names), "compression": brief(how)}, {}


READERS: dict[str, Callable[[Path, str], tuple[Parts, Parts]]] = {
    **dict.fromkeys((".tif", ".tiff", ".vrt", ".png", ".jpg"), of_raster),
    **dict.fromkeys((".json", ".emd", ".geojson"), of_json),
    **dict.fromkeys((".gpkg", ".sqlite"), of_sqlite),
    **dict.fromkeys((".pth", ".pt", ".ckpt"), of_torch),
    **dict.fromkeys((".zip", ".dlpk"), of_archive),
    **dict.fromkeys((".xml", ".qml"), of_xml),
    ".csv": of_csv, ".txt": of_text, ".jsonl": of_lines, ".safetensors": of_tensors,
    ".onnx": of_onnx, ".fgb": of_vector, ".parquet": of_parquet,
}  # fmt: skip


# ------------------------------------------------------------------------------- comparison


def compare(one: dict[str, Entry], other: dict[str, Entry], most: int) -> int:
    """Print what differs; 1 where content does."""
    content: list[tuple[str, list[str]]] = []
    bytes_only: list[tuple[str, list[str]]] = []
    for name in sorted(one.keys() | other.keys()):
        if name not in one or name not in other:
            content.append((name, ["only in the first" if name in one else "only in the second"]))
            continue
        first, second = one[name], other[name]
        inner = differing(first["content"], second["content"])
        outer = differing(first["beside"], second["beside"])
        if inner:
            content.append((name, [*inner, *(f"(beside) {line}" for line in outer)]))
        elif outer or first["bytes"] != second["bytes"]:
            bytes_only.append(
                (name, outer or ["bytes alone: times, order, layout or what isn't read"])
            )
    same = len(one.keys() & other.keys())
    print(f"{same} files in both; {len(content)} differ by content, {len(bytes_only)} by bytes")
    for title, entries in (("CONTENT", content), ("BYTES ONLY", bytes_only)):
        for name, lines in entries:
            print(f"\n{title}  {name}")
            for line in lines[:most]:
                print(f"    {line}")
            if len(lines) > most:
                print(f"    ... {len(lines) - most} more")
    return 1 if content else 0


def differing(one: Parts, other: Parts) -> list[str]:
    """A line for each part that differs; more for words."""
    lines = []
    for key in sorted(one.keys() | other.keys()):
        a, b = one.get(key), other.get(key)
        if a == b:
            continue
        if key == "words" and a is not None and b is not None and "\n" in a + b:
            changes = difflib.unified_diff(a.splitlines(), b.splitlines(), lineterm="", n=0)
            lines += [x for x in changes if not x.startswith(("---", "+++", "@@"))]
        else:
            lines.append(f"{key}: {shown(a)} -> {shown(b)}")
    return lines


def shown(value: str | None) -> str:
    if value is None:
        return "(none)"
    return f"{value[:12]}.." if re.fullmatch(r"[0-9a-f]{64}", value) else value


# --------------------------------------------------------------------------------- scenario

NETWORK = "--backbone test_resnet --no-pretrained --lr 0.002 --batch-size 4 --max-steps 60 --seed 3"
SCENARIO = f"""
--version
simulate -o scene --height 384 --width 384 --seed 3
simulate -o other --height 200 --width 230 --seed 5
simulate -o scene --height 384

composite scene/before.tif scene/after.tif -o composite.tif
composite scene/before.tif scene/after.tif -o coarse.tif --select red,nir --select 4,3 --names y1,y2 --resolution 60 --resampling average --dtype int32 --out-nodata -1 --dates 2001-07,2006
composite scene/before.tif scene/after.tif -o part.tif --bounds 801500 4594000 806000 4600000 --crs EPSG:32617 --extent union --bands a,b,c,d,e,f
composite scene/before.tif,other/before.tif scene/after.tif,other/after.tif -o joined.tif --like coarse.tif --resampling cubic,bilinear+nearest
composite scene/before.tif -o three.tif --select red,nir,swir1 --scaled --dtype uint16
composite scene/before.tif scene/after.tif -o none.tif --resampling wrong

normalise other/after.tif --like scene/before.tif -o normalised.tif
normalise scene/after.tif --like scene/before.tif -o invariant.tif --method invariant --bounds 301000 4592000 309000 4599000

label scene/before_classes.tif scene/after_classes.tif -o change.tif --table transitions.csv --class-table classes.csv
label scene/before_classes.tif scene/after_classes.tif -o cleaned.tif --table cleaned.csv --coding from-to --keep changed --smooth 3 --min-pixels 5 --neighbours 4 --forbid 'urban->*' --forbid 'water->urban' --unconfirmed nodata --dates 2001-07-14 2006
label scene/before_classes.tif scene/after_classes.tif -o agreed.tif --from forest --from croplands --to urban --to croplands --agree-before scene/before_classes.tif --agree-after other/after_classes.tif --resampling nearest --min-hectares 1.5
label scene/before_classes.tif other/after_classes.tif -o binary.tif --coding binary --recode-before recode.csv --recode-after recode.csv --classes fewer.csv --bounds 301000 4594500 305000 4599000 --resampling mode --nodata 9
label scene/before_classes.tif other/after.tif -o none.tif
label scene/before_classes.tif scene/after_classes.tif -o none.tif --unconfirmed maybe
label scene/before_classes.tif scene/after_classes.tif -o none.tif --from nowhere

difference scene/before.tif scene/after.tif -o difference.tif
difference scene/before.tif scene/after.tif -o euclidean.tif --method euclidean --band red --band nir --threshold otsu
difference scene/before.tif other/after.tif -o relative.tif --method relative --band 4 --breaks=-0.2 --breaks 0.2 --resampling bilinear
difference scene/before.tif scene/after.tif -o angle.tif --method angle --threshold 0.2 --bounds 301000 4592000 305000 4596000
difference scene/before.tif scene/after.tif -o most.tif --method band --nodata 700 --dates 2001 2006

patches change.tif -o patches.csv
patches cleaned.tif -o patches4.csv --neighbours 4 --nodata 11
polygons change.tif -o polygons.gpkg --min-hectares 2
polygons change.tif -o everything.fgb --everything --simplify 40 --neighbours 8
polygons cleaned.tif -o polygons.parquet
zonal change.tif zones.geojson --column zone -o zonal.csv --geopackage zonal.gpkg --picture zonal.png
zonal change.tif zones.geojson --column zone -o urban.csv --of 'to urban' --picture urban.png
zonal change.tif zones.geojson --column nothing -o none.csv
burn polygons.gpkg --like change.tif -o burnt.tif --name-column class
burn zones.geojson --like coarse.tif -o touched.tif --value-column value --name-column zone --decide value --all-touched
burn points.geojson --like change.tif -o points.tif --value-column value --buffer 70 --classes change.tif

tiles composite.tif change.tif -o tiles --tile-size 64 --stride 64
tiles three.tif change.tif -o png --tile-size 96x64 --stride 80x60 --format PNG --rotation-angle 90 --minimum-labelled 0.9 --recode recode_change.csv --classes fewer.csv
tiles composite.tif burnt.tif -o burnt --tile-size 64 --stride 48 --uncompressed --start-index 7 --mask-polygons zones.geojson --images2 composite.tif
tiles joined.tif touched.tif -o appended --tile-size 32 --stride 32 --unlabelled
tiles joined.tif touched.tif -o appended --tile-size 32 --stride 32 --append
tiles composite.tif change.tif -o pairs --tile-size 64 --stride 64 --labels-before scene/before_classes.tif --labels-after scene/after_classes.tif
tiles --audit tiles --pairs leaks.csv --val-split-pct 0.2 --seed 4
tiles composite.tif coarse.tif -o none

train tiles --name small --model pspnet {NETWORK} --val-split-pct 0.2
train tiles --name varied --model unet {NETWORK} --val-split-pct 0.2 --loss focal+dice --class-balancing --augment shift=0.5,mixup=0.4 --ema 0.9 --accumulate 2 --chip-size 64 --ignore-classes 7 --rare-classes 0.1 --monitor dice --split random --sensor ETM+ --units 'reflectance * 10000' --log log
train pairs --name semantic --model semantic {NETWORK} --val-split-pct 0.2
train tiles --name none --model nothing

evaluate tiles/models/small/small.emd tiles -o scores.json --figures figures
evaluate pairs/models/semantic/semantic.dlpk pairs -o semantic.json --no-baselines
model info tiles/models/small/small.emd
model verify tiles/models/small/small.dlpk
model export tiles/models/small/small.emd -o small.onnx
model export tiles/models/small/small.emd -o deepness.onnx --for deepness --nodata 0
model stac tiles/models/small/small.emd -o model_item.json --start 2001-07-14 --end 2006-09-02 --bounds -77 41 -76 42
model push tiles/models/small/small.emd owner/name --to pushed --license apache-2.0
model import tiles/models/small/small.dlpk -o imported

classify composite.tif tiles/models/small/small.emd -o map.tif --padding 16 --tile-size 64 --layer confidence --layer entropy --layer probabilities
classify scene/before.tif,scene/after.tif tiles/models/small/small.dlpk -o blended.tif --padding 16 --tile-size 64 --blend --layer confidence --engine torch --precision float32 --device cpu
classify composite.tif tiles/models/varied/varied.emd -o turned.tif --turns --padding 16 --bounds 301000 4592000 305000 4596000 --mask zones.geojson --no-predict-background --engine torch --device cpu
classify composite.tif tiles/models/small/small.emd -o mosaic.vrt --mosaic vrt --cell-size 40 --padding 16 --engine openvino --precision float32
classify composite.tif pairs/models/semantic -o semantic.tif --padding 16 --tile-size 96
quantize tiles/models/small/small.emd composite.tif --tiles 4 --least 0.3
classify composite.tif tiles/models/small/small.emd -o int8.tif --padding 16 --tile-size 64 --precision int8
classify composite.tif tiles/models/small/small.emd -o shared.tif --padding 16 --tile-size 64 --workers 2 --json
classify composite.tif tiles/models/small/small.emd -o cluster.tif --padding 16 --tile-size 64 --workers 2 --scheduler local
classify coarse.tif tiles/models/small/small.emd -o none.tif
padding tiles/models/small/small.emd composite.tif --engine torch
padding tiles/models/small/small.emd composite.tif --engine torch

evaluate map.tif change.tif -o map.json
evaluate map.tif points.geojson --reference-column value -o points.json
evaluate cleaned.tif --before-map scene/before_classes.tif --after-map scene/after_classes.tif -o comparison.json
evaluate map.tif change.tif -o baselines.json --image composite.tif --tiles tiles --bounds 301000 4597500 304000 4599000
polygons map.tif -o confident.gpkg --confidence map_confidence.tif --min-hectares 1
view scene/before.tif scene/after.tif -m map.tif -o view.png --reference change.tif

sample change.tif -o sample.gpkg --size 120 --floor 5 --seed 2
sample change.tif -o simple.gpkg --size 40 --design simple --unit-size 3 --show-map
sample change.tif -o systematic.gpkg --size 50 --design systematic
sample change.tif -o neyman.gpkg --standard-error 0.03 --allocation neyman --expect 0.9 --expect 'to urban=0.7' --stratum-units 'to water=9'
:label sample.csv
label-samples sample.gpkg --agreement
estimate sample.gpkg --labels labelled.csv --map change.tif -o areas.json --table areas.csv
estimate sample.gpkg --labels labelled.csv --map change.tif -o merged.json --merge 'green=to forest,to savannas,to grasslands' --level 0.9 --domains zones.geojson --domain-column zone
estimate points.geojson --map change.tif --reference-column value --design simple -o others.json --merge 'rest=to forest,to savannas,to wetlands,to croplands,to urban,to tundra,to barren,to water,to open shrublands'
estimate points.geojson --map change.tif --reference-column value --design simple --post-stratify -o stratified.json --merge 'rest=to forest,to savannas,to wetlands,to croplands,to urban,to tundra,to barren,to water,to open shrublands'
estimate sample.gpkg -o none.json

stac map.tif -o map_item.json --composite composite.tif
stac change.tif -o change_item.json --start 2001-07-14 --end 2006-09-02
report . -o report.html --map map.tif --before scene/before.tif --after scene/after.tif --reference change.tif --confidence map_confidence.tif --areas areas.json --scores scores.json --model tiles/models/small --transitions transitions.csv
"""  # noqa: E501
"""Arguments of a command in each line; those that start with a colon are this script's own.

Lines that are refused on purpose write to none.*.
"""


def make(folder: Path) -> None:
    """Run every line of the scenario in a new folder, and keep what it prints."""
    folder.mkdir(parents=True)
    (folder / "printed").mkdir()
    write_inputs(folder)
    cache = folder.resolve().with_name(f".{folder.name}.cache")
    environment = os.environ | {
        "LANDSHIFT_CACHE": str(cache), "LANDSHIFT_OFFLINE": "1", "COLUMNS": "120",
        "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "PYTHONHASHSEED": "0",
    }  # fmt: skip
    start = time.monotonic()
    for number, line in enumerate(filter(None, SCENARIO.splitlines())):
        begun = time.monotonic()
        if line.startswith(":label "):
            label(folder, line.split()[1])
            continue
        arguments = shlex.split(line)
        code = "from landshift.cli import main; main()"
        found = subprocess.run(
            [sys.executable, "-c", code, *arguments], cwd=folder, env=environment,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        out = next((a for a in arguments if a in ("-o", "--out", "--name")), None)
        name = Path(arguments[arguments.index(out) + 1]).stem if out else ""
        printed = folder / "printed" / f"{number:02} {arguments[0]} {name}".strip()
        printed.with_name(f"{printed.name}.txt").write_text(
            f"{found.returncode}\n{line}\n--- output\n{found.stdout}--- errors\n{found.stderr}"
        )
        took = time.monotonic() - begun
        last = (found.stderr.strip().splitlines() or [""])[-1] if found.returncode else ""
        told = f"{took:6.1f} s  {found.returncode}  {line[:90]}  {last}"
        print(told, file=sys.stderr, flush=True)
    print(f"{time.monotonic() - start:.0f} s in all", file=sys.stderr)


def write_inputs(folder: Path) -> None:
    """Tables, zones and points that the scenario reads, made by hand."""
    (folder / "recode.csv").write_text(
        "".join(f"{k},{new}\n" for k, new in enumerate((1, 2, 2, 2, 3, 4, 2, 4, 5, 2), start=1))
    )
    (folder / "fewer.csv").write_text(
        "value,name,red,green,blue\n1,forest,0,90,0\n2,open,200,200,90\n3,crop,240,200,80\n"
        "4,bare,200,60,60\n5,water,30,60,200\n"
    )
    (folder / "recode_change.csv").write_text(
        "".join(f"{k},{new}\n" for k, new in enumerate((1, 2, 2, 2, 3, 4, 2, 4, 5, 2, 2), start=1))
    )
    west, north, side = 300_000, 4_600_000, 11_520
    rings = {
        "north-west": (0.03, 0.51, 0.02, 0.47), "north-east": (0.51, 0.97, 0.02, 0.4),
        "south": (0.1, 0.9, 0.55, 0.98),
    }  # fmt: skip
    features = []
    for value, (name, (left, right, top, bottom)) in enumerate(rings.items(), start=1):
        corners = [(left, top), (right, top + 0.01), (right - 0.02, bottom), (left, bottom)]
        ring = [[west + side * x, north - side * y] for x, y in [*corners, corners[0]]]
        features.append(_feature("Polygon", [ring], zone=name, value=value))
    _write_features(folder / "zones.geojson", features)
    random = np.random.default_rng(0)
    places = west + side * random.random(60), north - side * random.random(60)
    points = [
        _feature("Point", [round(x, 1), round(y, 1)], value=int(value))
        for x, y, value in zip(*places, random.integers(1, 12, 60), strict=True)
    ]
    _write_features(folder / "points.geojson", points)


def _feature(kind: str, coordinates: Any, **properties: Any) -> dict[str, Any]:
    geometry = {"type": kind, "coordinates": coordinates}
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def _write_features(path: Path, features: list[dict[str, Any]]) -> None:
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32618"}}
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}))


def label(folder: Path, name: str) -> None:
    """Fill in a sample's table with classes by the number of the row."""
    names = ("forest", "savannas", "grasslands", "wetlands", "croplands", "urban", "water")
    with (folder / name).open(newline="") as file:
        rows = list(csv.reader(file))
    header = rows[0]
    for number, row in enumerate(rows[1:]):
        for column, step in (("before", 3), ("after", 4)):
            if column in header:
                row[header.index(column)] = names[number // step % len(names)]
    with (folder / "labelled.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)


if __name__ == "__main__":
    sys.exit(main())
