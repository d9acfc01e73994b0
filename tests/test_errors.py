from landshift.errors import reason_of


def test_the_reason_is_the_first_line_or_the_kind_of_error():
    assert reason_of(ValueError("no room\non the disk")) == "no room"
    assert reason_of(MemoryError()) == "MemoryError"
    assert reason_of(AssertionError("\nlater")) == "AssertionError"
