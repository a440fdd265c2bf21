"""What a job may ask for: every field is checked, and the error names it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haihe.compute.domain import InputRef, parse_input, spec_from
from haihe.compute.errors import BadJobSpec
from tests.compute.factories import spec_data

INPUT = {"name": "cases", "dataset": "wdbc", "version": 1}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"gpus": 1}, "gpus"),
        ({"name": "Big Job"}, "name"),
        ({"name": 7}, "name"),
        ({"command": "echo hello"}, "command"),
        ({"command": []}, "command"),
        ({"command": ["echo", 7]}, "command"),
        ({"command": ["echo", "a\0b"]}, "command"),
        ({"command": ["x"] * 65}, "command"),
        ({"command": {"echo": 1}}, "command"),
        ({"inputs": "cases=wdbc@1"}, "inputs"),
        ({"inputs": [{"name": "cases"}]}, "inputs"),
        ({"inputs": [7]}, "inputs"),
        ({"inputs": [{**INPUT, "name": "../keys"}]}, "inputs"),
        ({"inputs": [{**INPUT, "dataset": 7}]}, "inputs"),
        ({"inputs": [{**INPUT, "version": 0}]}, "version"),
        ({"inputs": [{**INPUT, "version": True}]}, "version"),
        ({"inputs": [INPUT, INPUT]}, "inputs"),
        ({"inputs": [INPUT, {**INPUT, "name": "again"}]}, "each dataset version once"),
        ({"environment": ["A=1"]}, "environment"),
        ({"environment": {"path": "x"}}, "environment"),
        ({"environment": {"LD_PRELOAD": "x"}}, "environment"),
        ({"environment": {"HAIHE_HOME": "x"}}, "environment"),
        ({"environment": {"A": 1}}, "environment"),
        ({"labels": {"a": 1}}, "labels"),
        ({"labels": {str(n): "x" for n in range(65)}}, "labels"),
        ({"cpu_milli": 0}, "cpu_milli"),
        ({"cpu_milli": 1.5}, "cpu_milli"),
        ({"cpu_milli": True}, "cpu_milli"),
        ({"memory_bytes": 1}, "memory_bytes"),
        ({"wall_s": 31 * 86_400}, "wall_s"),
        ({"output_bytes": -1}, "output_bytes"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], field: str) -> None:
    with pytest.raises(BadJobSpec, match=field):
        spec_from({**spec_data(), **change})


@pytest.mark.parametrize("missing", ["name", "command"])
def test_a_missing_field_is_named(missing: str) -> None:
    data = spec_data()
    del data[missing]
    with pytest.raises(BadJobSpec, match=f"{missing} is missing"):
        spec_from(data)


def test_a_spec_survives_its_way_through_json() -> None:
    spec = spec_from(spec_data("echo", "a b", inputs=[INPUT], environment={"SEED": "7"}))
    assert spec_from(spec.as_dict()) == spec


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(field=st.sampled_from(sorted(spec_data() | {"inputs": 0, "environment": 0})), value=json)
def test_whatever_comes_is_a_spec_or_a_named_error(field: str, value: Any) -> None:
    try:
        spec_from({**spec_data(), field: value})
    except BadJobSpec as error:
        assert str(error)


def test_an_input_is_read_as_people_write_it() -> None:
    assert parse_input(" cases=wdbc@12 ") == InputRef(name="cases", dataset="wdbc", version=12)


@pytest.mark.parametrize("text", ["", "wdbc@1", "a=b", "a=@1", "=b@1", "a=b@x", "a=b@0", "a=b@-1"])
def test_an_input_that_cannot_be_read_says_how(text: str) -> None:
    with pytest.raises(BadJobSpec):
        parse_input(text)
