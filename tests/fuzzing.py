"""Bytes and JSON changed at random, for tests that give them to readers of untrusted files."""

import contextlib
import copy
import json
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import strategies as st

PIECES = [
    b"..\\", b"../", b"/", b"\\\\", b"C:\\", b"\0", b"\r\n", b"\n", b" ", b"  ", b"\xff",
    b"\xef\xbb\xbf",
    b"images\\", b"images2\\", b"labels/", b".tif", b"000000001", b"9" * 40, b"-1", b"1e999",
    b"NaN", b"null", b"true", b'"', b"{", b"}", b"[", b"]" , b":", b",", b"[" * 3000, b"PK\x01\x02",
    b"PK\x03\x04", b"PK\x05\x06", b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\xff" * 8, b"\x01",
    b"CON", b"a" * 300,
]  # fmt: skip
VALUES = [
    None, True, False, 0, -1, 1, 255, 256, 2**31, 2**63, 10**400, 0.5, -0.0, 1e308, 5e-324, "",
    " ", "x", "1", "..", "../x", "/etc/passwd", "\\\\server\\x", "CON", "\0", "\ud800", "é" * 300,
    "a" * 5000, [], [None], [[]], {}, {"": None}, [0] * 300, [-1, -1, -1], ["a", "b", "c"],
    {"Value": 1}, json.loads("[" * 60 + "]" * 60), "No change", "forest->forest",
    float("nan"), float("inf"),
]  # fmt: skip


def mutations(
    data: bytes, pieces: Sequence[bytes] = PIECES, most: int = 5
) -> st.SearchStrategy[bytes]:
    """Bytes with a few pieces put in, taken out, overwritten, flipped, repeated or cut off."""
    places = st.integers(0, len(data)) | st.integers(0, 200).map(lambda k: max(0, len(data) - k))
    edit = st.tuples(st.sampled_from("iodfrc"), places, st.sampled_from(pieces), st.integers(0, 99))

    def apply(edits: list[tuple[str, int, bytes, int]]) -> bytes:
        changed = bytearray(data)
        for kind, at, piece, count in edits:
            if kind == "i":
                changed[at:at] = piece
            elif kind == "o":
                changed[at : at + len(piece)] = piece
            elif kind == "d":
                del changed[at : at + count]
            elif kind == "f" and at < len(changed):
                changed[at] ^= 1 << count % 8
            elif kind == "r":
                changed[at:at] = changed[at : at + count]
            elif kind == "c" and count < 20:
                del changed[at:]
        return bytes(changed)

    return st.lists(edit, min_size=1, max_size=most).map(apply)


def places_of(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value inside another."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in inner:
        yield (*above, key)
        if isinstance(part, dict | list):
            yield from places_of(part, (*above, key))


def other_values(data: bytes) -> st.SearchStrategy[bytes]:
    """JSON with a few of its values replaced, left out, or with a key too many."""
    whole = json.loads(data)
    edit = st.tuples(
        st.sampled_from("rrrda"), st.sampled_from(list(places_of(whole))), st.sampled_from(VALUES)
    )

    def apply(edits: list[tuple[str, tuple[Any, ...], Any]]) -> bytes:
        changed = copy.deepcopy(whole)
        for kind, (*way, last), value in edits:
            around = changed
            with contextlib.suppress(LookupError, TypeError):
                for key in way:
                    around = around[key]
                value = copy.deepcopy(value)
                if kind == "r":
                    around[last] = value
                elif kind == "d":
                    del around[last]
                elif isinstance(around, list):
                    around += [value] * 3
                else:
                    around["further"] = value
        return json.dumps(changed).encode()

    return st.lists(edit, min_size=1, max_size=4).map(apply)
