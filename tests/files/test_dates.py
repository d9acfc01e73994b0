import json
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landshift import raster
from landshift.errors import DateError, ParameterError
from landshift.files import dates
from landshift.files.dates import Period, of_name, of_tags, parse
from landshift.prepare.composite import CompositeOutput, composite
from landshift.prepare.difference import difference
from landshift.prepare.label import label

TODAY = date(2026, 6, 1)
MAP = np.array([[1, 2, 2], [1, 1, 2]], np.uint8)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("LC08_L2SP_015033_20200115_20200823_02_T1_SR_B4.TIF", "2020-01-15"),
        ("LE07_L1TP_015033_19990909_20161002_01_T1", "1999-09-09"),
        ("LC08_CU_029006_20190615_20190801_C01_V01_SRB2", "2019-06-15"),
        ("LT50150331990123PAC00_B3", "1990-05-03"),
        ("S2A_MSIL2A_20200115T101319_N0213_R022_T32TQM_20210301T120000.SAFE", "2020-01-15"),
        ("S2A_OPER_PRD_MSIL1C_PDMC_20160102T1234_R008_V20151230T105153_20151230T105153", None),
        ("S2A_OPER_PRD_MSIL1C_PDMC_20160102T123456_R008_V20151230T105153_20151230T105153",
         "2015-12-30"),
        ("S2A_OPER_MSI_L1C_TL_EPA__20160605T113933_A000734_T34JCF_B02", None),
        ("T32TQM_20200115T101319_B04_10m.jp2", "2020-01-15"),
        ("HLS.S30.T18TWL.2020015T154321.v2.0.B04", "2020-01-15"),
        ("MCD12Q1.A2001001.h12v04.061.2022146024956.hdf", "2001-01-01"),
        ("MCD12Q1.006_LC_Type1_doy2001060_aid0001.tif", "2001-03-01"),
        ("20200115_154321_12_2019_3B_Visual", "2020-01-15"),
        ("global_monthly_2020_01_mosaic_L15-1234E-0567N", "2020-01"),
        ("m_4709963_se_14_1_20090818", "2009-08-18"),
        ("m_4709963_se_14_060_20190818_20191209", "2019-08-18"),
        ("NLCD_2019_Land_Cover_L48_20210604.img", "2019"),
        ("U2018_CLC2012_V2020_20u1", "2012"),
    ],
)  # fmt: skip
def test_names_of_products_state_the_day_by_their_rules(name, expected):
    assert of_name(name, today=TODAY) == (None if expected is None else parse(expected))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lc_epsg2056_1990.tif", "1990"),
        ("lc_epsg_2009_1990.tif", "1990"),
        ("tile_2010_lc2001.tif", "2001"),
        ("tile2010.tif", None),
        ("map_32618_2154_4326.tif", None),
        ("T18TWL_015033_4709963.tif", None),
        ("h10v08_2010.tif", "2010"),
        ("x2010_y2015.tif", None),
        ("p2010r033_7x19990921.tif", "1999-09-21"),
        ("2000x2000.tif", None),
        ("lc_2000m_1990.tif", "1990"),
        ("20230105_lc1990.tif", None),
        ("lc_1990_2000.tif", None),
        ("lc_2016_20160630.tif", "2016-06-30"),
        ("lc_2026-06-01.tif", "2026-06-01"),
        ("lc_2026-06-02.tif", None),
        ("lc_2027.tif", None),
        ("madrid_2010.tif", "2010"),
        ("20190230.tif", None),
        ("lc_19491231.tif", None),
        ("img_20200115101319.tif", "2020-01-15"),
    ],
)
def test_numbers_that_are_no_dates_or_disagree_give_none(name, expected):
    assert of_name(name, today=TODAY) == (None if expected is None else parse(expected))


@given(st.text(max_size=40) | st.from_regex(r"\A[A-Z0-9a-z_.-]{0,60}\Z"))
def test_any_name_gives_a_period_of_the_past_or_none(name):
    period = of_name(name, today=TODAY)
    assert period is None or period.first <= min(period.last, TODAY)


@given(st.dates(date(1950, 1, 1), TODAY), st.sampled_from(["", "-", "_", "."]))
def test_a_lone_day_is_found_however_it_is_written(day, separator):
    name = f"a_{day:%Y}{separator}{day:%m}{separator}{day:%d}_b"
    assert of_name(name, today=TODAY) == Period(day, day)
    assert parse(str(Period(day, day))) == Period(day, day)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"DATE_ACQUIRED": "2016-07-01T10:11:12Z"}, "2016-07-01"),
        ({"ACQUISITION_DATE": "2016"}, "2016"),
        ({"ACQUISITION_DATE": "2016-07-01/2016-07-09"}, "2016-07-01/2016-07-09"),
        ({"NC_GLOBAL#time_coverage_start": "20150101", "NC_GLOBAL#time_coverage_end": "20151231"},
         "2015"),
        ({"NC_GLOBAL#time_coverage_start": "20150101"}, None),
        ({"ACQUISITION_DATE": "unknown"}, None),
    ],
)  # fmt: skip
def test_tags_state_a_day_or_a_period(tags, expected):
    assert of_tags(tags) == (None if expected is None else parse(expected))


@pytest.mark.parametrize("text", ["", "16", "2016-13", "2016-02-30", "2017/2016", "1/2/3", "0000"])
def test_other_dates_are_refused(text):
    with pytest.raises(ParameterError, match=r"A (date must be|period must go)"):
        parse(text)


def test_a_day_of_the_year_that_follows_is_in_order(write_raster):
    """2016-06-30 may be before a map of 2016, whose day is unknown."""
    day = raster.info(write_raster("a_20160630.tif", MAP))
    year = raster.info(write_raster("b_2016.tif", MAP))
    raster.check_order(day, year)
    raster.check_order(year, day)
    with pytest.raises(DateError, match=r"got 2016 \(b_2016.tif\) .* state their dates .*`dates`"):
        raster.check_order(year, raster.info(write_raster("c_2015.tif", MAP)))


@pytest.mark.parametrize("stage", [label, difference])
def test_stated_dates_go_before_those_of_names(write_raster, tmp_path, stage):
    before, after = write_raster("lc_2010.tif", MAP), write_raster("lc_2000.tif", MAP)
    with pytest.raises(DateError, match=r"got 2010 .* 2000 .*`dates`"):
        stage(before, after, tmp_path / "o.tif")
    stage(before, after, tmp_path / "o.tif", dates=("1990", "-"))
    with pytest.raises(DateError, match=r"got 1990-05 .* 1985"):
        stage(write_raster("x.tif", MAP), after, tmp_path / "p.tif", dates=("1990-05", "1985"))
    with pytest.raises(ParameterError, match=r"Dates must be 2, .* got 1990"):
        stage(before, after, tmp_path / "p.tif", dates=("1990",))
    assert not (tmp_path / "p.tif").exists()


def test_a_composite_states_what_is_known_of_its_dates(write_raster, tmp_path):
    first, second = write_raster("a_2010.tif", MAP + 7), write_raster("b_2000.tif", MAP + 9)
    with pytest.raises(DateError, match="`dates`"):
        composite([first, second], tmp_path / "c.tif")
    out = composite(
        [first, second], tmp_path / "c.tif", output=CompositeOutput(dates=["1990-07-04", "-"])
    )
    with raster.open_raster(out) as source:
        assert json.loads(source.tags()["LANDSHIFT_DATES"]) == {
            "before": "1990-07-04", "after": "2000",
        }  # fmt: skip
    one = composite([second], tmp_path / "d.tif", output=CompositeOutput(dates=["2001"]))
    assert raster.info(one).taken == parse("2001")


def test_the_dates_of_a_composite_are_read_by_name():
    tags = {dates.DATES_TAG: '{"before": "1990-07-04", "after": "2000"}'}
    assert dates.of_each(tags) == {"before": parse("1990-07-04"), "after": parse("2000")}
    assert dates.of_each({}) == {}
    with pytest.raises(ParameterError, match="must have a name each"):
        dates.of_each({dates.DATES_TAG: '["2000"]'})
    with pytest.raises(ParameterError, match="must be whole JSON"):
        dates.of_each({dates.DATES_TAG: "{"})
    with pytest.raises(ParameterError, match="got 'May'"):
        dates.of_each({dates.DATES_TAG: '{"before": "May"}'})


def test_a_period_spans_all_that_are_known():
    assert dates.spanning([None, parse("2001"), parse("2003-02")]) == parse("2001-01-01/2003-02-28")
    assert dates.spanning([None]) is None


@pytest.mark.parametrize(
    ("step", "units", "calendar", "expected"),
    [
        ("0", "days since 1970-01-01", None, "1970-01-01"),
        ("1.5", "days since 2000-02-28 12:00:00", "gregorian", "2000-03-01"),
        ("3", "hours since 2000-1-1 06:30", "standard", "2000-01-01T0930"),
        ("90", "minutes since 2000-12-31T23:00", "proleptic_gregorian", "2001-01-01T0030"),
        ("-1", "day since 2000-03-01 0:00", None, "2000-02-29"),
        ("29.9", "seconds since 2000-01-01", None, "2000-01-01"),
        ("30", "seconds since 2000-01-01", None, "2000-01-01T0001"),
        ("3600", "seconds since 2000-01-01", None, "2000-01-01T0100"),
        ("0", None, None, None),
        ("0", "days since 2000-01-01", "noleap", None),
        ("0", "months since 2000-01-01", None, None),
        ("0", "days since 2000-13-01", None, None),
        ("1e9", "days since 2000-01-01", None, None),
        ("x", "days since 2000-01-01", None, None),
    ],
)
def test_a_step_of_time_is_a_day_and_a_minute(step, units, calendar, expected):
    assert dates.of_step(step, units, calendar) == expected


def test_a_year_is_one_that_the_calendar_has():
    assert parse("0001") == Period(date(1, 1, 1), date(1, 12, 31))
    assert parse("9999") == Period(date(9999, 1, 1), date(9999, 12, 31))
    with pytest.raises(ParameterError, match="A date must be"):
        parse("0000")


def test_a_period_lies_within_another_that_shares_its_ends():
    year, month, day = parse("2016"), parse("2016-02"), parse("2016-02-29")
    assert day.within(month)
    assert month.within(year)
    assert month.within(month)
    assert not year.within(month)
    assert not parse("2016-02-29/2016-03-01").within(month)
    assert not parse("2016-01-31/2016-02-29").within(month)
    assert [str(p) for p in (year, month, day)] == ["2016", "2016-02", "2016-02-29"]
