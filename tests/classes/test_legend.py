import csv
import io
import json
import struct
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from landshift import grid, raster
from landshift.classes import ClassScheme, FromToScheme, legend, legend_readers, legend_writers
from landshift.errors import ClassError
from landshift.grid import Window
from qgis_host import in_qgis, what_qgis_shows


def test_classes_are_read_from_csv_and_json(tmp_path):
    csv = tmp_path / "c.csv"
    csv.write_text("value,name,red,green,blue\n1,forest,0,100,0\n2,water\n\n")
    json = tmp_path / "c.json"
    json.write_text('{"1": "forest", "2": "water"}')
    assert legend_readers.read_classes(csv).mapping == legend_readers.read_classes(json).mapping
    assert legend_readers.read_classes(csv).colours[1] == (0, 100, 0)


@pytest.mark.parametrize("text", ["[1, 2]", "{1: 2", '{"x": "y"}'])
def test_a_bad_class_file_is_one_line(tmp_path, text):
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(ClassError, match=r"Classes must come as JSON .*c\.json"):
        legend_readers.read_classes(path)
    with pytest.raises(ClassError, match="No such file"):
        legend_readers.read_classes(tmp_path / "none.csv")


def test_the_tag_round_trips_and_a_damaged_one_is_refused():
    scheme = ClassScheme.from_mapping({1: "forest", 5: "No change"})
    assert legend_readers.from_tags(legend_writers.as_tag(scheme)) == scheme
    assert legend_readers.from_tags({}) is None
    for damaged in ("{", "3", "[3]", "[{}]", "[" * 100_000):
        with pytest.raises(ClassError, match=r"must hold a list of classes, got .* in a\.tif"):
            legend_readers.from_tags({legend.TAG: damaged}, "a.tif")


def test_a_from_to_map_of_many_classes_is_refused_for_learning():
    scheme = FromToScheme(ClassScheme.from_mapping({k: f"c{k}" for k in range(1, 17)}))
    with pytest.raises(ClassError, match=r"at most 254 classes, got 256 in a\.tif; a 'from-to'"):
        legend_readers.from_tags(legend_writers.as_tag(scheme), "a.tif")


FOREST_AND_LAKE = legend.Legend({1: "Forest", 20: "Lake, deep"}, {1: (0, 100, 0), 20: (1, 2, 255)})

QML = """<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22"><pipe><rasterrenderer type="paletted" band="1"><colorPalette>
<paletteEntry value="1" color="#006400" label="Forest" alpha="255"/>
<paletteEntry value="20" color="#0102ff" label="Lake, deep" alpha="255"/>
</colorPalette></rasterrenderer></pipe></qgis>"""

RAMP = """<qgis><pipe><rasterrenderer><rastershader><colorrampshader>
<item value="1" color="#006400" label="Forest" alpha="255"/>
<item value="20.0" color="#0102ff" label="Lake, deep" alpha="255"/>
</colorrampshader></rastershader></rasterrenderer></pipe></qgis>"""

RAT = """<PAMDataset><PAMRasterBand band="1"><GDALRasterAttributeTable tableType="thematic">
<FieldDefn index="0"><Name>OID</Name><Type>0</Type><Usage>0</Usage></FieldDefn>
<FieldDefn index="1"><Name>Code</Name><Type>0</Type><Usage>5</Usage></FieldDefn>
<FieldDefn index="2"><Name>Cover</Name><Type>2</Type><Usage>2</Usage></FieldDefn>
<FieldDefn index="3"><Name>r</Name><Type>0</Type><Usage>6</Usage></FieldDefn>
<FieldDefn index="4"><Name>g</Name><Type>0</Type><Usage>7</Usage></FieldDefn>
<FieldDefn index="5"><Name>b</Name><Type>0</Type><Usage>8</Usage></FieldDefn>
<Row index="0"><F>0</F><F>1</F><F>Forest</F><F>0</F><F>100</F><F>0</F></Row>
<Row index="1"><F>1</F><F>20</F><F>Lake, deep</F><F>1</F><F>2</F><F>255</F></Row>
</GDALRasterAttributeTable></PAMRasterBand></PAMDataset>"""

SPACED = '1 0 100 0 255 Forest\n20 1 2 255 255 "Lake, deep"'


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.qml", QML),
        ("a.qml", RAMP),
        ("a.tif.aux.xml", RAT),
        ("a.clr", "# made by hand\n1 0 100 0 255 Forest\n20 1 2 255 255 Lake; deep\n"),
        (
            "a.txt",
            "# QGIS Generated Color Map Export File\nINTERPOLATION:EXACT\n"
            "1,0,100,0,255,Forest\n20,1,2,255,255,Lake, deep\n",
        ),
        ("a.csv", 'value,name,r,g,b\n1,Forest,0,100,0\n20,"Lake, deep",1,2,255\n'),
    ],
)
def test_every_format_holds_names_and_colours(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    result = legend_readers.read_legend(path)
    names = {v: n.replace(";", ",") for v, n in result.names.items()}
    assert legend.Legend(names, result.colours) == FOREST_AND_LAKE


def test_colours_alone_name_the_classes_by_value(tmp_path):
    path = tmp_path / "a.clr"
    path.write_text("1 0 100 0\n7 1 2 255\n")
    scheme = legend_readers.read_classes(path)
    assert scheme.mapping == {1: "class 1", 7: "class 7"}
    assert scheme.colours[7] == (1, 2, 255)


def test_category_names_and_gdals_colour_entries_are_read(tmp_path):
    path = tmp_path / "a.tif.aux.xml"
    path.write_text(
        '<PAMDataset><PAMRasterBand band="1"><CategoryNames><Category/><Category>Forest'
        '</Category></CategoryNames><ColorTable><Entry c1="9" c2="9" c3="9" c4="255"/>'
        '<Entry c1="0" c2="100" c3="0" c4="255"/></ColorTable></PAMRasterBand></PAMDataset>'
    )
    assert legend_readers.read_legend(path) == legend.Legend({1: "Forest"}, {1: (0, 100, 0)})


BOMB = """<?xml version="1.0"?><!DOCTYPE q [<!ENTITY a "aaaaaaaaaa">
<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>
<qgis><paletteEntry value="1" color="#000000" label="&c;"/></qgis>"""
FETCH = """<!DOCTYPE q [<!ENTITY a SYSTEM "file:///etc/hostname">]>
<qgis><paletteEntry value="1" color="#000000">&a;</paletteEntry></qgis>"""


def dbf(columns, count):
    """A dBase table of whole numbers whose cells are blank."""
    head, width = 33 + 32 * len(columns), 1 + sum(wide for _, wide in columns)
    fields = [struct.pack("<11sc4xBB14x", name.encode(), b"N", wide, 0) for name, wide in columns]
    about = struct.pack("<4BIHH20x", 3, 100, 1, 1, count, head, width)
    return about + b"".join(fields) + b"\r" + b" " * width * count


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.qml", BOMB, "entity declarations"),
        ("a.qml", FETCH, "entity declarations"),
        ("a.qml", "<qgis>", "no element found"),
        ("a.qml", "<qgis/>", "no classes"),
        ("a.qml", "<a>" * 5000, "64 deep"),
        ("a.qml", '<q><paletteEntry value="1" color="red"/></q>', "colour 'red'"),
        ("a.qml", '<q><paletteEntry value="inf" color="#000000"/></q>', "no classes"),
        ("a.xml", RAT.replace("<F>20</F>", "<F>x</F>"), "could not convert"),
        ("a.xml", RAT.replace("<F>255</F>", ""), "index out of range"),
        ("a.xml", RAT.replace("<F>255</F>", "<F>999</F>"), "the colour"),
        ("a.clr", "1 0 100\n", "index out of range"),
        ("a.clr", "1 0 100 300\n", "the colour"),
        ("a.clr", b"\x00\xff\x13\x37", "line 1: .* is no whole number"),
        ("a.csv", b"PK\x03\x04", "no classes"),
        ("a.csv", "1" * 5000 + ",forest", "limit"),
        ("a.vat.dbf", b"", "unpack"),
        ("a.vat.dbf", b"\x03" * 64, "bytes for"),
        ("a.vat.dbf", struct.pack("<4BIHH20x", 3, 1, 1, 1, 2**32 - 1, 65, 9), "bytes for"),
        ("a.vat.dbf", dbf([("VALUE", 3), *[("F", 0)] * 2000], 10**4), "a column of 0 bytes"),
        ("a.json", "[" * 100_000, "recursion|[Ll]imit|Recursion"),
    ],
)
def test_hostile_and_damaged_legends_are_one_line(tmp_path, name, content, why):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ClassError, match=why) as caught:
        legend_readers.read_legend(path)
    assert str(path) in str(caught.value)


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(["a.qml", "a.tif.aux.xml", "a.clr", "a.csv", "a.json", "a.vat.dbf"]),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=6),
    st.integers(0, 10**6),
)
def test_a_file_with_broken_bytes_is_read_or_refused_never_worse(name, breaks, cut):
    with TemporaryDirectory() as folder:
        raster = Path(folder) / "a.tif"
        legend_writers.write_qml(raster, FOREST_AND_LAKE.scheme())
        legend_writers.write_attributes(raster, FOREST_AND_LAKE.scheme(), [])
        (Path(folder) / "a.clr").write_text(SPACED)
        (Path(folder) / "a.csv").write_text("1,Forest,0,100,0\n")
        (Path(folder) / "a.json").write_text('{"1": "Forest", "20": "Lake"}')
        if name == "a.vat.dbf":
            (Path(folder) / "a.tif.vat.dbf").rename(Path(folder) / name)
        path = Path(folder) / name
        data = bytearray(path.read_bytes())
        for at, byte in breaks:
            data[at % len(data)] = byte
        path.write_bytes(data[: max(0, len(data) - cut // 9000)])
        for read, given_path in (
            (legend_readers.read_classes, path),
            (legend_readers.beside, raster),
        ):
            with suppress(ClassError):
                read(given_path)


def test_attributes_round_trip_and_gdal_reads_them(tmp_path):
    import pyogrio

    scheme = ClassScheme.from_mapping({1: "Forêt", 20: "Lake, deep"}, FOREST_AND_LAKE.colours)
    columns = [
        legend.AttributeColumn("Count", [5, 70_000]),
        legend.AttributeColumn("Hectares", [0.45, 6300.25]),
        legend.AttributeColumn("From", ["", "a"]),
    ]
    raster = tmp_path / "a.tif"
    for path in legend_writers.write_attributes(raster, scheme, columns):
        assert legend_readers.read_classes(path) == scheme
    about, _, _, values = pyogrio.raw.read(tmp_path / "a.tif.vat.dbf")
    table = dict(zip(about["fields"], values, strict=True))
    assert table["Value"].tolist() == [1, 20]
    assert table["Count"].tolist() == [5, 70_000]
    assert table["Name"].tolist() == ["Forêt", "Lake, deep"]
    assert table["Hectares"].tolist() == [0.45, 6300.25]
    assert table["Blue"].tolist() == [0, 255]


def test_a_style_round_trips(tmp_path):
    scheme = ClassScheme.from_mapping({1: 'a <b> & "c"', 20: "Lake"}, FOREST_AND_LAKE.colours)
    assert (
        legend_readers.read_classes(legend_writers.write_qml(tmp_path / "a.tif", scheme)) == scheme
    )


def test_a_deleted_row_and_shares_of_one_in_a_dbf(tmp_path):
    scheme = ClassScheme.from_mapping({1: "a", 2: "b"})
    path = legend_writers.write_attributes(tmp_path / "a.tif", scheme, [])[1]
    data = bytearray(path.read_bytes())
    head = struct.unpack("<H", data[8:10])[0]
    data[head : head + 1] = b"*"
    path.write_bytes(data)
    assert legend_readers.read_classes(path).mapping == {2: "b"}
    table = RAT.replace("<F>100</F>", "<F>0.5</F>").replace("<F>255</F>", "<F>1</F>")
    shares = tmp_path / "s.xml"
    shares.write_text(table.replace("<F>1</F><F>2</F><F>1</F>", "<F>0</F><F>0</F><F>1</F>"))
    assert legend_readers.read_legend(shares).colours == {1: (0, 128, 0), 20: (0, 0, 255)}


def test_sidecars_are_found_and_the_earlier_wins(tmp_path):
    raster = tmp_path / "a.tif"
    assert not legend_readers.beside(raster)
    (tmp_path / "a.clr").write_text("1 9 9 9 255 wood\n3 4 5 6\n")
    (tmp_path / "a.tif.aux.xml").write_text(RAT)
    result = legend_readers.beside(raster)
    assert result.names == FOREST_AND_LAKE.names
    assert result.colours == {**FOREST_AND_LAKE.colours, 3: (4, 5, 6)}
    (tmp_path / "a.tif.aux.xml").write_text("<PAMDataset/>")  # statistics or the like only
    (tmp_path / "a.qml").write_text("<qgis/>")  # a style of something else
    assert legend_readers.beside(raster).names == {1: "wood"}
    (tmp_path / "a.tif.aux.xml").write_text("<PAM")
    with pytest.raises(ClassError, match=r"\(\.aux\.xml\), got .*a\.tif\.aux\.xml"):
        legend_readers.beside(raster)


def test_a_table_of_counts_alone_has_no_names_and_is_no_error(tmp_path):
    scheme = ClassScheme.from_mapping({1: "a", 2: "b"})
    legend_writers._write_dbf(
        tmp_path / "a.tif",
        [
            legend.AttributeColumn("Value", scheme.values),
            legend.AttributeColumn("Count", [3, 4]),
        ],
    )
    assert not legend_readers.beside(tmp_path / "a.tif")
    with pytest.raises(ClassError, match="no classes"):
        legend_readers.read_classes(tmp_path / "a.tif.vat.dbf")


def test_a_mapping_file_by_value_and_by_name(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("value,new\n111,1\n112,forest\n0,water\n999,\n")
    assert legend_readers.read_recoding(path) == {111: 1, 112: "forest", 0: "water", 999: None}
    for text, why in (("1,2\n1,3\n", "value 1 twice"), ("a,b\n", "no values"), ("1\n", "line 1")):
        path.write_text(text)
        with pytest.raises(ClassError, match=why):
            legend_readers.read_recoding(path)


def test_tables_of_two_byte_codes_are_written_whole(tmp_path):
    change = FromToScheme(ClassScheme.from_mapping({v: f"c{v}" for v in range(1, 18)}))
    for path in legend_writers.write_attributes(tmp_path / "a.tif", change, []):
        result = legend_readers.read_legend(path)
        assert result.names == change.mapping
        assert result.colours == change.colours
    assert np.shape(list(legend_writers.colour_table(change))) == (65536,)


def test_qgis_shows_names_and_colours_and_its_style_is_read(tmp_path):
    scheme = ClassScheme.from_mapping(
        {1: "forest", 2: "Wässer & <ice>", 40: "built"}, {1: (0, 100, 0), 40: (200, 10, 255)}
    )
    box = grid.geobox(2, 3, Affine(30, 0, 500_000, 0, -30, 4_000_000), "EPSG:32618")
    out = tmp_path / "classes.tif"
    with raster.create(out, box, count=1, dtype="uint8", nodata=0, scheme=scheme) as target:
        raster.write(target, np.array([[[0, 1, 2], [40, 2, 1]]], np.uint8), Window(0, 0, 2, 3))
    legend_writers.write_attributes(out, scheme, [legend.AttributeColumn("Count", [2, 2, 1])])
    style = tmp_path / "from_qgis.qml"
    result = what_qgis_shows(out, style)
    assert result["palette"] == result["table"] == in_qgis(scheme)
    assert "forest" in result["metadata"]
    assert legend_readers.read_classes(style) == scheme


def _tag(folder, scheme):
    return legend_readers.from_tags(legend_writers.as_tag(scheme)).mapping


def _category_names(folder, scheme):
    return legend_readers.read_legend(
        legend_writers.write_category_names(folder / "c.tif", scheme)
    ).names


def _attributes(folder, scheme):
    xml, _ = legend_writers.write_attributes(folder / "a.tif", scheme, [])
    return legend_readers.read_legend(xml).names


def _dbf(folder, scheme):
    _, dbf = legend_writers.write_attributes(folder / "d.tif", scheme, [])
    return legend_readers.read_legend(dbf).names


def _qml(folder, scheme):
    return legend_readers.read_legend(legend_writers.write_qml(folder / "q.tif", scheme)).names


def _csv(folder, scheme):
    names = {}
    for delimiter in (",", ";", "\t"):
        for encoding in ("utf-8", "utf-8-sig", "utf-16"):
            text = io.StringIO(newline="")
            table = csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_NONNUMERIC)
            table.writerows([("value", "name"), *scheme.mapping.items()])
            path = folder / "c.csv"
            path.write_bytes(text.getvalue().encode(encoding))
            names = legend_readers.read_legend(path).names
            if names != scheme.mapping:
                return names
    return names


def _json(folder, scheme):
    path = folder / "c.json"
    path.write_text(json.dumps({str(v): n for v, n in scheme.mapping.items()}))
    return legend_readers.read_legend(path).names


def _esri(folder, scheme):
    return ClassScheme.from_list(json.loads(json.dumps(scheme.as_list()))).mapping


def _clr(folder, scheme):
    path = folder / "c.clr"
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(f"{c.value} 1 2 3 255 {c.name}\n" for c in scheme)
    return legend_readers.read_legend(path).names


NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="\ufffe\uffff", exclude_categories=["Cs"])
    .filter(lambda c: c >= " " or c in "\t\n\r"),
    min_size=1,
    max_size=60,
) | st.sampled_from(
    ["a\u2028b",
     "a\nb", "a\r\nb", "a\rb", "a\x85b", "a\tb", ' "x" ', "<&'>]]>", "a,b;c", "#1", "a->b"]
)  # fmt: skip


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.integers(0, 254), NAMES, min_size=1, max_size=4))
def test_names_come_back_as_they_were_from_every_format(names):
    named = {v: n.strip() for v, n in names.items()}
    named = {v: n for v, n in named.items() if n}
    if not named:
        return
    scheme = ClassScheme.from_mapping(named)
    with TemporaryDirectory() as folder:
        ways = [_tag, _category_names, _attributes, _dbf, _qml, _json, _esri]
        for way in ways:
            assert way(Path(folder), scheme) == named, way
        assert _csv(Path(folder), scheme) == named
        if not any({*n} & {*'\r\n"'} for n in named.values()):  # .clr has no quotes
            one_blank = {v: " ".join(n.split(" ")) for v, n in named.items()}
            assert _clr(Path(folder), scheme) == one_blank


def test_a_carriage_return_survives_in_gdals_own_reading(tmp_path):
    import rasterio

    box = grid.geobox(1, 2, Affine(30, 0, 500_000, 0, -30, 4_000_000), "EPSG:32618")
    scheme = ClassScheme.from_mapping({1: "a\r\nb", 2: "c\u2028d"})
    out = tmp_path / "c.tif"
    with raster.create(out, box, count=1, dtype="uint8", nodata=0, scheme=scheme) as target:
        raster.write(target, np.array([[[1, 2]]], np.uint8), Window(0, 0, 1, 2))
    copy = tmp_path / "copy.vrt"
    rasterio.shutil.copy(out, copy, driver="VRT")
    assert raster.legend_of(copy).names == scheme.mapping


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "cp1252"])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "value;name\n1;For\xeat\n"),
        ("a.json", '{"1": "For\xeat"}'),
        ("a.clr", "1 0 100 0 255 For\xeat\n"),
        ("a.txt", "INTERPOLATION:EXACT\n1,0,100,0,255,For\xeat\n"),
    ],
)
def test_texts_are_read_in_the_encodings_that_people_have(tmp_path, name, text, encoding):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    assert legend_readers.read_legend(path).names == {1: "For\xeat"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '{"1": "a", "1": "b"}'),
        ("a.csv", "1,a\n1,b\n"),
        ("a.clr", "1 0 0 0 255 a\n1 0 0 0 255 b\n"),
        ("a.qml", QML.replace('"20"', '"1"')),
    ],
)
def test_a_value_twice_is_refused(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ClassError, match=r"the value 1 twice.* in .*a\.\w+; correct it"):
        legend_readers.read_legend(path)


def test_codes_of_any_size_are_read(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("code,label\n111,a\n-1,b\n70000,c\n")
    assert legend_readers.read_legend(path).names == {111: "a", -1: "b", 70_000: "c"}
    assert legend_readers.read_classes(path).values == (-1, 111, 70_000)


def rat(fields, rows, **attributes):
    """An attribute table as GDAL writes it: fields of (name, type, usage)."""
    stated = "".join(f' {k}="{v}"' for k, v in attributes.items())
    defined = "".join(
        f"<FieldDefn><Name>{n}</Name><Type>{t}</Type><Usage>{u}</Usage></FieldDefn>"
        for n, t, u in fields
    )
    filled = "".join(
        f'<Row index="{k}">' + "".join(f"<F>{c}</F>" for c in row) + "</Row>"
        for k, row in enumerate(rows)
    )
    return (
        '<PAMDataset><PAMRasterBand band="2"><CategoryNames><Category>other</Category>'
        '</CategoryNames></PAMRasterBand><PAMRasterBand band="1"><GDALRasterAttributeTable'
        f"{stated}>{defined}{filled}</GDALRasterAttributeTable></PAMRasterBand></PAMDataset>"
    )


RANGES = (("from", 0, 3), ("to", 0, 4), ("first", 2, 2), ("second", 2, 2))


@pytest.mark.parametrize(
    ("table", "names"),
    [
        (rat(RANGES, [(1, 3, "low", "x"), (3, 5, "high", "y")]),
         {1: "low", 2: "low", 3: "low", 4: "high", 5: "high"}),
        (rat((("a", 1, 3), ("b", 1, 4), ("c", 2, 2)), [(0.5, 1.5, "one"), (1.6, 1.9, "none")]),
         {1: "one"}),
        (rat((("Histogram", 1, 1), ("Class_Names", 2, 2)), [(0, ""), (9, "pine"), (8, "oak")]),
         {1: "pine", 2: "oak"}),
        (rat((("Value", 0, 0), ("Class", 2, 0)), [(7, "pine"), (9, "oak")]), {7: "pine", 9: "oak"}),
        (rat((("Class", 2, 2),), [("pine",), ("oak",)], Row0Min=10, BinSize=2),
         {10: "pine", 11: "pine", 12: "oak", 13: "oak"}),
        (rat((("v", 0, 5), ("w", 0, 5), ("n", 2, 2)), [(4, 5, "pine")]), {4: "pine"}),
        (rat(RANGES[1:], [(6, "six", "x")]), {6: "six"}),
    ],
)  # fmt: skip
def test_attribute_tables_are_read_as_gdal_reads_them(tmp_path, table, names):
    path = tmp_path / "a.tif.aux.xml"
    path.write_text(table)
    assert legend_readers.read_legend(path).names == names


def test_a_range_without_end_names_no_more_than_two_bytes_hold(tmp_path):
    path = tmp_path / "a.tif.aux.xml"
    path.write_text(rat(RANGES, [(0, 10, "a", ""), (11, "1e300", "b", ""), (5, "nan", "c", "")]))
    names = legend_readers.read_legend(path).names
    assert names[10] == "a"
    assert names[65_536] == "b"
    assert max(names) == 65_536


CATEGORIES = """<VRTDataset rasterXSize="3" rasterYSize="1"><SRS>EPSG:32618</SRS>
<GeoTransform>500000, 30, 0, 4000000, 0, -30</GeoTransform><VRTRasterBand dataType="Byte" band="1">
<CategoryNames><Category>Unclassified</Category><Category>Forest</Category><Category>Lake</Category>
</CategoryNames><SimpleSource><SourceFilename relativeToVRT="1">a.tif</SourceFilename>
</SimpleSource></VRTRasterBand></VRTDataset>"""


@pytest.mark.parametrize("name", ["b.vrt", "b.dat"])
def test_category_names_inside_a_format_are_read(tmp_path, name):
    import rasterio.shutil

    box = grid.geobox(1, 3, Affine(30, 0, 500_000, 0, -30, 4_000_000), "EPSG:32618")
    with raster.create(tmp_path / "a.tif", box, count=1, dtype="uint8", nodata=None) as target:
        raster.write(target, np.array([[[0, 1, 2]]], np.uint8), Window(0, 0, 1, 3))
    (tmp_path / "v.vrt").write_text(CATEGORIES)
    path = tmp_path / name
    driver = {".vrt": "VRT", ".dat": "ENVI"}[path.suffix]
    rasterio.shutil.copy(tmp_path / "v.vrt", path, driver=driver)
    for left in tmp_path.glob("b*.aux.xml"):
        left.unlink()  # the names are inside
    assert raster.legend_of(path).names == {1: "Forest", 2: "Lake"}
    assert raster.scheme_of(path).mapping == {1: "Forest", 2: "Lake"}
    with rasterio.open(path) as source:
        assert raster.holds_classes(source)
    assert not list(tmp_path.glob("*.vrt.*"))


def test_an_attribute_table_inside_erdas_imagine_is_read(tmp_path):
    import rasterio.shutil

    box = grid.geobox(1, 3, Affine(30, 0, 500_000, 0, -30, 4_000_000), "EPSG:32618")
    with raster.create(tmp_path / "a.tif", box, count=1, dtype="uint8", nodata=None) as target:
        raster.write(target, np.array([[[0, 1, 2]]], np.uint8), Window(0, 0, 1, 3))
    (tmp_path / "a.tif.aux.xml").write_text(
        rat(
            (("Red", 0, 6), ("Green", 0, 7), ("Blue", 0, 8), ("Class_Names", 2, 2)),
            [(0, 0, 0, ""), (0, 100, 0, "pine"), (9, 9, 0, "oak")],
        )
    )
    rasterio.shutil.copy(tmp_path / "a.tif", tmp_path / "b.img", driver="HFA")
    (tmp_path / "b.img.aux.xml").unlink(missing_ok=True)
    result = raster.legend_of(tmp_path / "b.img")
    assert result.names == {1: "pine", 2: "oak"}
    assert result.colours[1] == (0, 100, 0)


@pytest.mark.parametrize("listed", [True, False])
def test_values_named_no_data_are_no_classes(tmp_path, listed):
    box = grid.geobox(1, 4, Affine(30, 0, 500_000, 0, -30, 4_000_000), "EPSG:32618")
    with raster.create(tmp_path / "a.tif", box, count=1, dtype="uint8", nodata=7) as target:
        raster.write(target, np.array([[[0, 1, 2, 255]]], np.uint8), Window(0, 0, 1, 4))
    names = [(0, "No Data"), (1, "pine"), (2, "oak"), (255, "Fill")]
    scheme = None
    if listed:
        (tmp_path / "c.csv").write_text("".join(f"{v},{n}\n" for v, n in names))
        scheme = legend_readers.read_classes(tmp_path / "c.csv")
    else:
        table = rat((("Value", 0, 5), ("Name", 2, 2)), names)
        (tmp_path / "a.tif.aux.xml").write_text(table)
        assert raster.scheme_of(tmp_path / "a.tif").mapping == {1: "pine", 2: "oak"}
    known = raster.map_classes(tmp_path / "a.tif", scheme)
    assert known.names == {1: "pine", 2: "oak"}
    with raster.open_raster(tmp_path / "a.tif") as source:
        _, mask = raster.read_classes(source, Window(0, 0, 1, 4), known)
    assert mask.tolist() == [[False, True, True, False]]


def test_a_table_of_windows_keeps_its_letters(tmp_path):
    path = legend_writers.write_attributes(
        tmp_path / "a.tif", ClassScheme.from_mapping({1: "Caf__ - x"}), []
    )[1]
    path.write_bytes(
        path.read_bytes().replace(b"Caf__ - x", "Caf\xe9\u2019 \u2013 x".encode("cp1252"))
    )
    assert legend_readers.read_legend(path).names == {1: "Caf\xe9\u2019 \u2013 x"}


def test_a_damaged_table_inside_a_raster_is_one_line(tmp_path):
    table = rat((("Value", 0, 5), ("Name", 2, 2)), [("x", "pine")])
    broken = table.replace("PAMDataset", "VRTDataset").replace("PAMRasterBand", "VRTRasterBand")
    with pytest.raises(ClassError, match=r"must be whole, got 'could not convert.* in a\.vrt"):
        legend_readers.from_vrt(broken, "a.vrt")


def test_a_value_twice_in_a_list_of_classes_is_refused():
    entries = [{"Value": 1, "Name": "a"}, {"Value": 1, "Name": "b"}]
    with pytest.raises(ClassError, match="must differ, got 1 for 'a' and 'b'"):
        ClassScheme.from_list(entries)
