"""Rules about organisations and people: credit codes, scopes, lines, chains of holdings."""

from __future__ import annotations

from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haihe.kernel.errors import InvalidField
from haihe.parties.domain import (
    check_credit_code,
    check_email,
    check_line,
    check_platform_role,
    check_role,
    check_scopes,
    credit_code_check_digit,
    hash_token,
    new_token,
    related_through,
)
from haihe.parties.errors import BadCreditCode
from haihe.policy.domain import SCOPES, PlatformRole, Role

ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
LETTERS = st.sampled_from(ALPHABET)
# Registration authority and kind, district digits, organisation code.
BODIES = st.builds(
    lambda *parts: "".join(parts),
    st.text(LETTERS, min_size=2, max_size=2),
    st.text(st.sampled_from("0123456789"), min_size=6, max_size=6),
    st.text(LETTERS, min_size=9, max_size=9),
)
CODES = BODIES.map(lambda body: body + credit_code_check_digit(body))


@pytest.mark.parametrize(
    "code",
    [
        # Codes that their holders publish: Tencent, Huawei, Alibaba (China), Tsinghua University.
        "9144030071526726XG",
        "914403001922038216",
        "91330100799655058B",
        "12100000400000624D",
    ],
)
def test_published_codes_are_admitted(code: str) -> None:
    assert check_credit_code(code) == code


@given(CODES)
def test_a_well_formed_code_is_admitted_however_it_is_typed(code: str) -> None:
    assert check_credit_code(f"  {code.lower()} ") == code


@given(CODES, st.integers(0, 17), LETTERS)
def test_one_wrong_character_is_always_found(code: str, place: int, letter: str) -> None:
    wrong = code[:place] + letter + code[place + 1 :]
    if wrong == code:
        return
    with pytest.raises(BadCreditCode):
        check_credit_code(wrong)


@given(CODES, st.integers(0, 16))
def test_two_neighbours_in_the_wrong_order_are_always_found(code: str, place: int) -> None:
    swapped = code[:place] + code[place + 1] + code[place] + code[place + 2 :]
    if swapped == code:
        return
    with pytest.raises(BadCreditCode):
        check_credit_code(swapped)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("", "it has 0 characters, not 18"),
        ("9144030071526726X", "it has 17 characters, not 18"),
        ("9144030071526726XG0", "it has 19 characters, not 18"),
        ("9144030071526726XI", "the character 'I' does not occur"),
        ("91440300７1526726XG", "the character '７' does not occur"),
        ("91A4030071526726XG", "a district's digits"),
        ("9144030071526726XA", "its check digit is A, computed is G"),
    ],
)
def test_the_error_says_what_is_wrong(code: str, reason: str) -> None:
    with pytest.raises(BadCreditCode, match=reason) as caught:
        check_credit_code(code)
    assert len(caught.value.value) <= 40


@given(st.text(max_size=60))
def test_any_text_is_admitted_or_named(text: str) -> None:
    try:
        code = check_credit_code(text)
    except BadCreditCode:
        return
    assert code[-1] == credit_code_check_digit(code[:-1])


def test_tokens_differ_and_are_known_by_their_hash() -> None:
    one, two = new_token(), new_token()
    assert one != two
    assert one.startswith("haihe_")
    assert hash_token(one) != hash_token(two)
    assert one not in hash_token(one)


def test_scopes_are_known_and_stand_once() -> None:
    assert check_scopes(["read", "data", "read"]) == ["data", "read"]
    assert check_scopes(SCOPES) == sorted(SCOPES)
    for wrong in ([], ["everything"], ["read", ""]):
        with pytest.raises(InvalidField):
            check_scopes(wrong)


def test_roles_are_known() -> None:
    assert [check_role(role) for role in Role] == list(Role)
    assert [check_platform_role(role) for role in PlatformRole] == list(PlatformRole)
    for check in (check_role, check_platform_role):
        for wrong in ("", "Owner", "root"):
            with pytest.raises(InvalidField):
                check(wrong)


@pytest.mark.parametrize("text", ["津影智能（演示）", "全角　空格", "a" * 200, "O’Neill & Söhne"])
def test_a_name_is_one_line_in_any_language(text: str) -> None:
    assert check_line(text, field="name") == text


@pytest.mark.parametrize("text", ["", "  ", "　", "a\nb", "a\x00", "a" * 201, "\ud800", "a\u2028b"])
def test_what_is_no_line_is_refused(text: str) -> None:
    with pytest.raises(InvalidField, match="one line"):
        check_line(text, field="name")


def test_an_address_has_the_shape_of_one() -> None:
    assert check_email(" Ann@Example.Test ") == "ann@example.test"
    for wrong in (
        "",
        "ann",
        "ann@",
        "@example.test",
        "a b@example.test",
        "a@b",
        "a" * 250 + "@b.cn",
    ):
        with pytest.raises(InvalidField):
            check_email(wrong)


# Holdings

ORGANISATIONS = [UUID(int=number) for number in range(1, 8)]
SHARES = st.lists(
    st.tuples(
        st.sampled_from(ORGANISATIONS), st.sampled_from(ORGANISATIONS), st.integers(1, 100)
    ).filter(lambda share: share[0] != share[1]),
    max_size=14,
    unique_by=lambda share: share[:2],
)
A, B, C, D, E = ORGANISATIONS[:5]


def holders_of(start: UUID, shares: list[tuple[UUID, UUID, int]], at_least: int) -> set[UUID]:
    """The organisation and all that hold it through links of the size, however long the chain."""
    known = {start}
    for _ in ORGANISATIONS:
        known |= {owner for owner, owned, share in shares if owned in known and share >= at_least}
    return known


@given(SHARES, st.sampled_from(ORGANISATIONS), st.sampled_from(ORGANISATIONS), st.integers(1, 100))
def test_two_are_related_if_and_only_if_somebody_holds_both(
    shares: list[tuple[UUID, UUID, int]], a: UUID, b: UUID, at_least: int
) -> None:
    chain = related_through(a, b, shares, at_least_percent=at_least)
    both = holders_of(a, shares, at_least) & holders_of(b, shares, at_least)
    assert (chain is not None) == bool(both)


@given(SHARES, st.sampled_from(ORGANISATIONS), st.sampled_from(ORGANISATIONS), st.integers(1, 100))
def test_the_chain_is_made_of_holdings_up_and_then_down(
    shares: list[tuple[UUID, UUID, int]], a: UUID, b: UUID, at_least: int
) -> None:
    chain = related_through(a, b, shares, at_least_percent=at_least)
    if chain is None:
        return
    assert (chain[0], chain[-1]) == (a, b)
    large = {(owner, owned) for owner, owned, share in shares if share >= at_least}
    ups = ["up" if (to, start) in large else "down" for start, to in pairwise(chain)]
    both = [(to, start) in large and (start, to) in large for start, to in pairwise(chain)]
    assert all((to, start) in large or (start, to) in large for start, to in pairwise(chain))
    if not any(both):
        assert ups == sorted(ups, reverse=True), "up to the common holder, then down"


@given(SHARES, st.sampled_from(ORGANISATIONS), st.sampled_from(ORGANISATIONS), st.integers(1, 100))
def test_being_related_has_no_direction(
    shares: list[tuple[UUID, UUID, int]], a: UUID, b: UUID, at_least: int
) -> None:
    there = related_through(a, b, shares, at_least_percent=at_least)
    back = related_through(b, a, shares, at_least_percent=at_least)
    assert (there is None) == (back is None)
    assert there is None or back is None or len(there) == len(back)


def test_a_holding_counts_from_the_threshold_on() -> None:
    assert related_through(A, B, [(A, B, 25)], at_least_percent=25) == [A, B]
    assert related_through(B, A, [(A, B, 25)], at_least_percent=25) == [B, A]
    assert related_through(A, B, [(A, B, 24)], at_least_percent=25) is None


def test_two_daughters_of_one_mother_are_related_and_strangers_are_not() -> None:
    shares = [(C, A, 30), (C, B, 60), (D, E, 100)]
    assert related_through(A, B, shares, at_least_percent=25) == [A, C, B]
    assert related_through(A, E, shares, at_least_percent=25) is None


def test_holding_the_same_daughter_relates_nobody() -> None:
    assert related_through(A, B, [(A, C, 50), (B, C, 50)], at_least_percent=25) is None


def test_a_chain_counts_by_its_links_and_not_by_their_product() -> None:
    shares = [(A, C, 30), (C, D, 30), (D, B, 30)]
    assert related_through(A, B, shares, at_least_percent=25) == [A, C, D, B]


def test_the_shortest_chain_is_told() -> None:
    shares = [(C, A, 30), (D, C, 30), (D, B, 30), (E, A, 30), (E, B, 30)]
    assert related_through(A, B, shares, at_least_percent=25) == [A, E, B]


def test_a_ring_of_holdings_ends() -> None:
    ring = [(A, B, 30), (B, C, 30), (C, A, 30)]
    chain = related_through(A, C, ring, at_least_percent=25)
    assert chain is not None
    assert related_through(A, D, ring, at_least_percent=25) is None
    assert related_through(A, A, ring, at_least_percent=25) == [A]
