"""Every command's hectares are those of the ground, whatever the CRS of the map."""

import csv

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from pyproj import Geod, Transformer

import commands
import landshift
from landshift.assess import domains, drawing
from landshift.assess.plan import SamplePlan
from landshift.errors import GridError
from landshift.maps import zonal
from landshift.maps.patches import patches
from landshift.maps.polygons import LAYER, polygons
from landshift.prepare.difference import ChangeClasses, difference
from landshift.prepare.label import Cleaning, Filters, label

SIZE = 100
TOP, LEFT, BOTTOM, RIGHT = 20, 30, 61, 80
"""Class 2 fills these rows and columns, class 1 the rest."""

GRIDS = {
    "Web Mercator at 60 N": ("EPSG:3857", Affine(20, 0, 2_782_987, 0, -20, 8_399_737)),
    "polar stereographic": ("EPSG:3413", Affine(500, 0, -2_500_000, 0, -500, 2_600_000)),
    "turned": (
        "EPSG:3857",
        Affine.translation(2_782_987, 8_399_737) @ Affine.rotation(20) @ Affine.scale(30, -30),
    ),
    "degrees, turned": (
        "EPSG:4326",
        Affine.translation(10, 60) @ Affine.rotation(20) @ Affine.scale(0.01, -0.01),
    ),
}


class Scene:
    """Two maps, of which the second has a rectangle of another class, and the ground's figures."""

    def __init__(self, folder, name):
        self.crs, self.affine = GRIDS[name]
        first = np.ones((SIZE, SIZE), np.uint8)
        second = first.copy()
        second[TOP:BOTTOM, LEFT:RIGHT] = 2
        self.before, self.after = folder / "before.tif", folder / "after.tif"
        for path, values in ((self.before, first), (self.after, second)):
            with rasterio.open(
                path, "w", driver="GTiff", count=1, height=SIZE, width=SIZE, dtype="uint8",
                crs=self.crs, transform=self.affine, nodata=0,
            ) as target:  # fmt: skip
                target.write(values, 1)
        self.whole, _ = self.on_ground(0, 0, SIZE, SIZE)
        self.rectangle, self.outline = self.on_ground(TOP, LEFT, BOTTOM, RIGHT)

    def on_ground(self, top, left, bottom, right):
        """Hectares and perimeter in metres of a rectangle of pixels, by Karney's polygons."""
        steps = np.linspace(0, 1, 2_000, endpoint=False)
        one, zero = np.ones_like(steps), np.zeros_like(steps)
        columns = left + (right - left) * np.concatenate([steps, one, 1 - steps, zero])
        rows = top + (bottom - top) * np.concatenate([zero, steps, one, 1 - steps])
        way = Transformer.from_crs(self.crs, "EPSG:4326", always_xy=True)
        places = way.transform(*(self.affine @ (columns, rows)))
        area, perimeter = Geod(ellps="WGS84").polygon_area_perimeter(*places)
        return abs(area) / 1e4, perimeter

    def polygon(self, path, top, left, bottom, right):
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        outline = shapely.Polygon([self.affine @ c for c in corners])
        pyogrio.raw.write(
            path, shapely.to_wkb(np.array([outline])), [np.array(["zone"], object)],
            np.array(["name"], object), driver="GPKG", geometry_type="Polygon", crs=self.crs,
        )  # fmt: skip
        return path


@pytest.fixture(params=GRIDS)
def scene(request, tmp_path):
    return Scene(tmp_path, request.param)


def close(value):
    return pytest.approx(value, rel=1e-6)


def test_of_label(scene, tmp_path):
    table = label(scene.before, scene.after, tmp_path / "c.tif")
    assert table.hectares == close(np.array([[scene.whole - scene.rectangle, scene.rectangle],
                                             [0, 0]]))  # fmt: skip
    # the smallest patch is of the ground too
    for share, kept in ((0.99, True), (1.01, False)):
        out = tmp_path / f"{kept}.tif"
        cleaned = label(
            scene.before, scene.after, out, cleaning=Cleaning(min_hectares=share * scene.rectangle)
        )
        assert (cleaned.removed == 0) == kept


def test_of_patches(scene):
    for block in (1024, 32):
        _, two = patches(scene.after, block=block).classes
        assert (two.hectares, two.largest) == (close(scene.rectangle), close(scene.rectangle))
        assert two.percent == close(100 * scene.rectangle / scene.whole)
        assert two.edge == close(scene.outline)


@pytest.mark.parametrize("neighbours", [4, 8])
def test_of_polygons(scene, tmp_path, neighbours):
    changed = tmp_path / "c.tif"
    label(scene.before, scene.after, changed, filters=Filters(keep="changed"))
    for block in (1024, 32):
        out = tmp_path / f"{block}.gpkg"
        traced = polygons(changed, out, neighbours=neighbours, block=block,
                               min_hectares=0.99 * scene.rectangle)  # fmt: skip
        assert list(traced.hectares.values()) == [close(scene.rectangle)]
        about, _, _, values = pyogrio.raw.read(out, layer=LAYER)
        written = dict(zip(about["fields"], values, strict=True))
        assert written["hectares"].tolist() == [close(scene.rectangle)]


def test_of_zonal(scene, tmp_path):
    # half a pixel of the rectangle's rows at each side is cut off
    zone = scene.polygon(tmp_path / "z.gpkg", TOP + 0.5, LEFT - 10, BOTTOM - 0.5, RIGHT)
    inside, _ = scene.on_ground(TOP + 0.5, LEFT, BOTTOM - 0.5, RIGHT)
    beside, _ = scene.on_ground(TOP + 0.5, LEFT - 10, BOTTOM - 0.5, LEFT)
    zones = zonal.measure_zones(scene.after, zone, "name")
    assert zones.hectares[0] == pytest.approx([beside, inside], rel=1e-5)


@pytest.mark.parametrize("unit_size", [1, 3])
def test_of_sample(scene, tmp_path, unit_size):
    drawn = landshift.sample(
        scene.after, tmp_path / "s.gpkg",
        plan=SamplePlan(
            size=40, design="simple" if unit_size > 1 else "stratified", unit_size=unit_size
        ),
    )  # fmt: skip
    assert sum(s.hectares for s in drawn.design.strata) == close(scene.whole)
    if unit_size == 1:
        assert drawn.design.strata[1].hectares == close(scene.rectangle)
    population = drawing.Population(scene.after, unit_size=unit_size)
    every = [drawing.draw_random(population, 9_999, 0, block=b) for b in (1024, 31)]
    assert every[0].parts == every[1].parts
    row, column = every[0].units.row[-1], every[0].units.column[-1]
    unit = (row, column, min(row + unit_size, SIZE), min(column + unit_size, SIZE))
    assert every[0].units.hectares[-1] == pytest.approx(scene.on_ground(*unit)[0], rel=1e-4)
    assert every[0].units.hectares.sum() == close(scene.whole)


def test_of_domains_in_estimate(scene, tmp_path):
    zone = scene.polygon(tmp_path / "z.gpkg", TOP, LEFT, BOTTOM, RIGHT)
    none = np.zeros(0, np.int64)
    assert domains.find_domains(
        scene.after, domains.DomainSource(zone, "name"), none, none, classes=(1, 2)
    ).hectares == close([scene.rectangle])


def test_of_difference(scene, tmp_path):
    found = difference(
        scene.before, scene.after, tmp_path / "d.tif", classes=ChangeClasses(breaks=[0.5])
    )
    below, above = found.classes
    assert (below.hectares, above.hectares) == (
        close(scene.whole - scene.rectangle), close(scene.rectangle),
    )  # fmt: skip


def test_a_local_crs_says_nothing_of_the_ground(tmp_path):
    values = np.ones((4, 4), np.uint8)
    for name in ("a.tif", "b.tif"):
        with rasterio.open(
            tmp_path / name, "w", driver="GTiff", count=1, height=4, width=4, dtype="uint8",
            crs='LOCAL_CS["drawing",UNIT["metre",1]]', transform=Affine(2, 0, 0, 0, -2, 0),
        ) as target:  # fmt: skip
            target.write(values, 1)
    table = label(tmp_path / "a.tif", tmp_path / "b.tif", tmp_path / "c.tif")
    assert table.hectares is None
    found = difference(
        tmp_path / "a.tif",
        tmp_path / "b.tif",
        tmp_path / "d.tif",
        classes=ChangeClasses(breaks=[0.5]),
    )
    assert found.classes[0].hectares is None
    with pytest.raises(GridError, match="Areas need a CRS on an ellipsoid, got 4 x 4"):
        label(
            tmp_path / "a.tif",
            tmp_path / "b.tif",
            tmp_path / "e.tif",
            cleaning=Cleaning(min_hectares=1),
        )


def test_the_table_of_label_in_web_mercator(tmp_path):
    scene = Scene(tmp_path, "Web Mercator at 60 N")
    table = tmp_path / "t.csv"
    options = ["label", str(scene.before), str(scene.after), "-o", str(tmp_path / "c.tif")]
    result = commands.run(*options, "--table", str(table))
    assert result.exit_code == 0, result.output
    with table.open() as file:
        hectares = [float(row["hectares"]) for row in csv.DictReader(file)]
    assert sum(hectares) == pytest.approx(scene.whole, abs=1e-3)
    assert sum(hectares) < 0.26 * SIZE**2 * 0.04  # the plane is four times the ground
