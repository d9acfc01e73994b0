"""Bytes and JSON changed at random, for tests that give them to readers of untrusted files."""

import contextlib
import copy
import json

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


def mutations(data, pieces=PIECES, most=5):
    """Bytes with a few pieces put in, taken out, overwritten, flipped, repeated or cut off."""
    places = st.integers(0, len(data)) | st.integers(0, 200).map(lambda k: max(0, len(data) - k))
    edit = st.tuples(st.sampled_from("iodfrc"), places, st.sampled_from(pieces), st.integers(0, 99))

    def apply(edits):
        found = bytearray(data)
        for kind, at, piece, count in edits:
            if kind == "i":
                found[at:at] = piece
            elif kind == "o":
                found[at : at + len(piece)] = piece
            elif kind == "d":
                del found[at : at + count]
            elif kind == "f" and at < len(found):
                found[at] ^= 1 << count % 8
            elif kind == "r":
                found[at:at] = found[at : at + count]
            elif kind == "c" and count < 20:
                del found[at:]
        return bytes(found)

    return st.lists(edit, min_size=1, max_size=most).map(apply)


def places_of(value, above=()):
    """The way to every value inside another."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, found in inner:
        yield (*above, key)
        if isinstance(found, dict | list):
            yield from places_of(found, (*above, key))


def other_values(data):
    """JSON with a few of its values replaced, left out, or with a key too many."""
    told = json.loads(data)
    edit = st.tuples(
        st.sampled_from("rrrda"), st.sampled_from(list(places_of(told))), st.sampled_from(VALUES)
    )

    def apply(edits):
        found = copy.deepcopy(told)
        for kind, (*way, last), value in edits:
            around = found
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
        return json.dumps(found).encode()

    return st.lists(edit, min_size=1, max_size=4).map(apply)
