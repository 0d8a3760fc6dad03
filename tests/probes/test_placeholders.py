from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from healer.probes._placeholders import MissingValueError, Template, fill, placeholders

VALUES = {"address": "10.0.0.7", "port": "8080", "name": "api", "empty": ""}


def test_the_names_in_a_text_are_found_in_their_order() -> None:
    assert placeholders("http://{address}:{port}/{name}") == ("address", "port", "name")
    assert placeholders("nothing to fill") == ()


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "{0}",
        "{address.port}",
        "{address[0]}",
        "{address!r}",
        "{address:>9}",
        "{_x}",
        "{ address }",
        "{a-b}",
    ],
)
def test_what_format_would_take_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no placeholder; expected a name in braces"):
        placeholders(text)


@pytest.mark.parametrize("text", ["{address", "address}", "{{address}}", "a{b}}", "{"])
def test_a_brace_without_its_other_half_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"brace without its other half|is no placeholder"):
        placeholders(text)


def test_values_are_put_in_as_they_are_and_never_looked_into_again() -> None:
    assert fill("http://{address}:{port}/", VALUES) == "http://10.0.0.7:8080/"
    assert fill("{name}", {"name": "{address}", "address": "x"}) == "{address}"
    assert fill("{name}", {"name": r"\1 \g<0>"}) == r"\1 \g<0>"


def test_a_value_is_spelled_for_the_place_where_it_goes() -> None:
    assert fill("<{name}>", VALUES, str.upper) == "<API>"


def test_a_missing_value_is_named_with_those_that_there_are() -> None:
    with pytest.raises(MissingValueError) as caught:
        fill("http://{adress}/", VALUES)
    assert str(caught.value) == (
        "{adress} has no value; did you mean {address}? (there are: {address}, {name}, {port})"
    )
    with pytest.raises(MissingValueError, match=r"\{x\} has no value \(there are: none\)"):
        fill("{x}", {})


def test_an_empty_value_is_a_missing_one() -> None:
    with pytest.raises(MissingValueError, match=r"\{empty\} has no value"):
        fill("http://{empty}:80", VALUES)


def test_where_the_attributes_are_known_an_unknown_name_is_an_error_at_load() -> None:
    adapter = TypeAdapter[str](Template)
    known = {"placeholders": {"address", "port"}}
    assert adapter.validate_python("{address} {port} {path}", context=known) == "{address} {port} {path}"
    with pytest.raises(ValidationError, match=r"\{prot\} does not exist; did you mean \{port\}\?"):
        adapter.validate_python("{prot}", context=known)


def test_where_they_are_not_known_any_name_may_be_an_attribute() -> None:
    assert TypeAdapter[str](Template).validate_python("{first_address}") == "{first_address}"
    with pytest.raises(ValidationError, match="is no placeholder"):
        TypeAdapter[str](Template).validate_python("{}")
