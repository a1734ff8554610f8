import io
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipseg_hf.data.rows.json_stream import iterate_list, iterate_members, json_ends, read_element


def elements(data: bytes, chunk_bytes: int = 1 << 20):
    return list(iterate_list(io.BytesIO(data), "refer_train.json", chunk_bytes))


def test_elements_come_with_the_bytes_where_they_stand():
    data = b'[ {"a": 1},\n [2] ,3]'

    assert elements(data) == [({"a": 1}, 2, 10), ([2], 13, 16), (3, 18, 19)]


def test_ends_are_those_of_files_alone(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf [1]")
    (tmp_path / "b.json").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "c.json")
    assert json_ends(tmp_path / "a.json")[0] == b"["
    assert [json_ends(tmp_path / f"{name}.json") for name in "bc"] == [(b"", b"")] * 2


def test_an_empty_list_has_no_elements():
    assert elements(b" [ ] ") == []


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(values, max_size=6), st.integers(1, 40), st.booleans(), st.sampled_from([None, 2]))
def test_any_list_is_read_whole_whatever_the_chunk(data, chunk_bytes, ensure_ascii, indent):
    coded = json.dumps(data, ensure_ascii=ensure_ascii, indent=indent).encode()
    found = elements(coded, chunk_bytes)

    assert [element.value for element in found] == data
    with io.BytesIO(coded) as file:
        assert [read_element(file, start, end) for _, start, end in found] == data


@pytest.mark.parametrize("chunk_bytes", [1, 7, 1 << 20])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"a": 1}', r"refer_train.json is not valid JSON at byte 0: expected a list, .* found '\{'"),
        (b"", r"byte 0: expected a list, .* found ''\. The file ends there: was it cut off\?"),
        (b'[{"a": 1}, {"a" 2}]', r"byte 16: expecting ':' delimiter\.$"),
        (b'[{"\xc3\xa9": 1}, {"a" 2}]', r"byte 17: expecting ':' delimiter\.$"),
        (b"[1, ]", r"byte 4: expecting value"),
        (b"[1 2]", r"byte 3: expected ',' or '\]' after an element, found '2'"),
        (b'[{"a": 1}, {"b": [1, 2', r"byte 22: expecting ',' delimiter\. The file ends there"),
        (b'[{"a": 1}, {"b": "cut o', r"byte 17: the string that starts there has no end\. The file ends there"),
        (b'[{"a": 1}', r"byte 9: expected ',' or '\]' after an element, found ''\. The file ends there"),
        (b"[1, " + b"9" * 5000 + b"]", r"byte 4: exceeds the limit \(4300 digits\)"),
        (b"[1, " + b"[" * 100_000, r"byte 4: maximum recursion depth exceeded"),
        (b'["\xff"]', r"refer_train.json is not UTF-8 after byte \d: invalid start byte"),
    ],
)
def test_broken_json_is_named_with_its_byte(data, message, chunk_bytes):
    with pytest.raises(ValueError, match=message):
        elements(data, chunk_bytes)


def test_a_break_in_the_middle_is_reported_without_reading_the_rest():
    file = io.BytesIO(b'[{"a": }, ' + b" " * 1000 + b"{}]")

    with pytest.raises(ValueError, match="byte 7: expecting value"):
        list(iterate_list(file, "refer_train.json", chunk_bytes=64))
    assert file.tell() == 64


def test_members_that_are_wanted_are_given_element_by_element():
    data = b'{"info": {"a": [1]}, "images": [{"id": 1}, {"id": 2}], "other": [3], "annotations": [], "images": [4]}'
    found = list(iterate_members(io.BytesIO(data), "instances.json", ("images", "annotations"), chunk_bytes=5))

    assert found == [("images", ({"id": 1}, 32, 41)), ("images", ({"id": 2}, 43, 52)), ("images", (4, 99, 100))]


@given(st.dictionaries(st.text(), values, max_size=4), st.integers(1, 40))
def test_the_members_of_any_object_are_found(data, chunk_bytes):
    found = list(iterate_members(io.BytesIO(json.dumps(data).encode()), "x.json", data.keys(), chunk_bytes))

    assert [(key, element.value) for key, element in found] == [
        (key, value) for key, member in data.items() if isinstance(member, list) for value in member
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[1]", r"instances.json is not valid JSON at byte 0: expected an object, which starts with '\{', found '\['"),
        (b'{"images" [1]}', r"byte 10: expected ':' after a name, found '\['"),
        (b'{"images": [1] "a": 2}', r"byte 15: expected ',' or '\}' after a member, found '\"'"),
        (b'{"images": [{"id": 1}', r"byte 21: expected ',' or '\]' after an element, found ''\. The file ends there"),
    ],
)
def test_a_broken_object_is_named_with_its_byte(data, message):
    with pytest.raises(ValueError, match=message):
        list(iterate_members(io.BytesIO(data), "instances.json", ("images",)))
