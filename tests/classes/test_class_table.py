import pytest

from landshift.classes import class_table


def read(text):
    return {row.value: (row.name, row.colour) for row in class_table.read(text)}


GREEN, BLUE = (0, 100, 0), (0, 70, 200)


@pytest.mark.parametrize(
    "text",
    [
        "1,forest,0,100,0\n2,water,0,70,200\n",
        "# by hand\n\n1,forest,0,100,0\n2,water,0,70,200\n",
        "1,0,100,0,forest\n2,0,70,200,water\n",
        "value,name,red,green,blue\n1,forest,0,100,0\n2,water,0,70,200\n",
        "value;name;red;green;blue\n1;forest;0;100;0\n2;water;0;70;200\n",
        "value\tname\tred\tgreen\tblue\r\n1\tforest\t0\t100\t0\r\n2\twater\t0\t70\t200\r\n",
        "Value,Red,Green,Blue,Class Name\n1.0,0,100,0,forest\n2.0,0,70,200,water\n",
        "NB_LAB;LCCOwnLabel;R;G;B\n1;forest;0;100;0\n2;water;0;70;200\n",
        "klasse;bezeichnung;rot;gruen;blau\n1;forest;0;100;0\n2;water;0;70;200\n",
        "name,value,color\nforest,1,#006400\nwater,2,#0046c8\n",
        "GRID_CODE,CLC_CODE,Label,RGB\n1,111,forest,000-100-000\n2,112,water,000-070-200\n",
        "OID,Value,Count,Name,Red,Green,Blue\n0,1,50,forest,0,100,0\n1,2,70,water,0,70,200\n",
    ],
)
def test_columns_are_found_whatever_their_order(text):
    assert read(text) == {1: ("forest", GREEN), 2: ("water", BLUE)}


def test_what_may_be_missing():
    assert read("forest,1\nwater,2\n") == {1: ("forest", None), 2: ("water", None)}
    assert read("1,forest,0,100,0\n2,water\n") == {1: ("forest", GREEN), 2: ("water", None)}
    assert read("1,2000\n2,2001\n") == {1: ("2000", None), 2: ("2001", None)}
    assert read("value,red,green,blue\n1,0,100,0\n") == {1: ("", GREEN)}
    result = read("value,name,count\n-5,a,700\n70000,b,800\n")
    assert result == {-5: ("a", None), 70_000: ("b", None)}
    assert read("value,name,red,green,blue\n1,a,0,0.5,1\n") == {1: ("a", (0, 128, 255))}
    assert read("") == {}
    assert read("value,name\n") == {}


def test_a_name_holds_delimiters_and_ends_of_lines():
    text = 'value,name\n1,"Lake, deep"\n2,"two\nlines\u2028three\x0bfour"\n3,\u0085x\n'
    assert [row.name for row in class_table.read(text)] == [
        "Lake, deep", "two\nlines\u2028three\x0bfour", "x",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("value,name\n1,a\nx,b\n", "line 3: the value 'x' is no whole number"),
        ("value,name\n1,a\n1.5,b\n", r"line 3: the value '1\.5' is no whole number"),
        ("1,a\n\n2x,b\n", "line 3: the value '2x'"),
        ('value,name\n1,"a\nb"\n,c\n', "line 4: the value ''"),
        ("value,name\n1,a\n2,b\n2,b\n", "the value 2 twice, in the lines 3 and 4"),
        ("value,name\n1,a\n2\n", "line 3: '2' has no name"),
        ("value,name\n2,Lake, deep\n", "line 2: 3 cells in 2 columns; quote a name"),
        ("1,a\n2,Lake, deep\n3,c\n", "line 2: 3 cells where other lines have 2"),
        ("value,name,r,g,b\n1,a,1,2,\n", "line 2: the colour '1, 2, '"),
        ("value,name,hex\n1,a,red\n", "line 2: the colour 'red'"),
        ("GRIDCODE,CLC,LABEL1,LABEL2\n1,111,a,b\n", "label1, label2 of texts; name the one"),
        ("fid,klasse,wert,text\n1,4,5,a\n", "fid, klasse, wert with whole numbers; name the one"),
        ("1,2,3\n", "column 1, column 2, column 3 with whole numbers"),
        ("value,count\n1,2\n", "no column of names or colours"),
    ],
)
def test_a_line_that_is_not_understood_is_named(text, why):
    with pytest.raises(ValueError, match=why):
        class_table.read(text)


def test_pairs_come_by_their_header_or_in_order():
    assert class_table.read_pairs("1,2\n3,\n") == [(1, "2"), (3, "")]
    assert class_table.read_pairs("new;old\nforest;1.0\n;3\n") == [(1, "forest"), (3, "")]
    assert class_table.read_pairs("name,value\nforest,1\n") == [(1, "forest")]
    with pytest.raises(ValueError, match="line 2: the value 'x' is no whole number"):
        class_table.read_pairs("1,2\nx,3\n")
    with pytest.raises(ValueError, match="line 1: 3 cells in 2 columns"):
        class_table.read_pairs("1,Lake, deep\n")
