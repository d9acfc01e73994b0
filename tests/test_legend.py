import pytest

from landshift import legend
from landshift.classes import ClassScheme
from landshift.errors import ClassError


def test_classes_are_read_from_csv_and_json(tmp_path):
    csv = tmp_path / "c.csv"
    csv.write_text("value,name,red,green,blue\n1,forest,0,100,0\n2,water\n\n")
    json = tmp_path / "c.json"
    json.write_text('{"1": "forest", "2": "water"}')
    assert legend.read_classes(csv).mapping == legend.read_classes(json).mapping
    assert legend.read_classes(csv).colours[1] == (0, 100, 0)


@pytest.mark.parametrize("text", ["[1, 2]", "{1: 2", '{"x": "y"}'])
def test_a_bad_class_file_is_one_line(tmp_path, text):
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(ClassError, match=r"Classes must come as JSON .*c\.json"):
        legend.read_classes(path)
    with pytest.raises(ClassError, match="No such file"):
        legend.read_classes(tmp_path / "none.csv")


def test_the_tag_round_trips_and_a_damaged_one_is_refused():
    scheme = ClassScheme.from_mapping({1: "forest", 5: "No change"})
    assert legend.from_tags(legend.as_tag(scheme)) == scheme
    assert legend.from_tags({}) is None
    for damaged in ("{", "3", "[3]", "[{}]"):
        with pytest.raises(ClassError):
            legend.from_tags({legend.TAG: damaged})
