"""Tokens open what they name and nothing else, and only with their key."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skillwarden.depot.tokens import Grant, InvalidTokenError, is_operator, issue, operator_token, verify
from skillwarden.domain.errors import InvalidInputError

SECRET = b"k" * 32
LOCK, CONTENT, INPUT = (f"sha256:{letter * 64}" for letter in "abc")


def test_a_token_opens_exactly_what_it_was_issued_for() -> None:
    token = issue(SECRET, lock_digest=LOCK, content_digest=CONTENT, input_digest=INPUT)
    assert verify(SECRET, token) == Grant(LOCK, CONTENT, INPUT)
    assert verify(SECRET, issue(SECRET, lock_digest=LOCK, content_digest=CONTENT)) == Grant(
        LOCK, CONTENT, None
    )


def test_a_token_is_the_same_each_time() -> None:
    assert issue(SECRET, lock_digest=LOCK, content_digest=CONTENT) == issue(
        SECRET, lock_digest=LOCK, content_digest=CONTENT
    )


def test_another_key_does_not_accept_it() -> None:
    token = issue(SECRET, lock_digest=LOCK, content_digest=CONTENT)
    with pytest.raises(InvalidTokenError):
        verify(b"x" * 32, token)


def test_the_operators_token_is_no_sandbox_token_and_the_other_way_round() -> None:
    token = issue(SECRET, lock_digest=LOCK, content_digest=CONTENT)
    assert is_operator(SECRET, operator_token(SECRET))
    assert not is_operator(SECRET, token)
    with pytest.raises(InvalidTokenError):
        verify(SECRET, operator_token(SECRET))


def test_a_signature_does_not_carry_over_to_another_payload() -> None:
    scheme, _, mark = issue(SECRET, lock_digest=LOCK, content_digest=CONTENT).split(".")
    payload = json.dumps(["b" * 64, "b" * 64], separators=(",", ":")).encode()
    forged = ".".join((scheme, base64.urlsafe_b64encode(payload).decode().rstrip("="), mark))
    with pytest.raises(InvalidTokenError):
        verify(SECRET, forged)


@given(st.text(max_size=300))
def test_no_text_opens_anything(text: str) -> None:
    assert not is_operator(SECRET, text)
    with pytest.raises(InvalidTokenError):
        verify(SECRET, text)


@given(position=st.integers(min_value=0), letter=st.sampled_from("ABCxyz019-_."))
def test_no_changed_token_opens_something_else(position: int, letter: str) -> None:
    token = issue(SECRET, lock_digest=LOCK, content_digest=CONTENT)
    place = position % len(token)
    changed = token[:place] + letter + token[place + 1 :]
    try:
        opened = verify(SECRET, changed)
    except InvalidTokenError:
        return
    assert opened == Grant(LOCK, CONTENT, None), "unused bits of base64's last letter may change, no more"


@pytest.mark.parametrize("secret", [b"", b"short", b"x" * 31])
def test_a_short_key_is_refused(secret: bytes) -> None:
    for use in (
        lambda: issue(secret, lock_digest=LOCK, content_digest=CONTENT),
        lambda: operator_token(secret),
        lambda: verify(secret, "swd1.AAAA.AAAA"),
    ):
        with pytest.raises(InvalidInputError, match="at least 32"):
            use()


def test_what_is_no_digest_cannot_be_granted() -> None:
    with pytest.raises(InvalidInputError):
        issue(SECRET, lock_digest="everything", content_digest=CONTENT)


def test_a_grant_says_nothing_of_its_key() -> None:
    token = issue(SECRET, lock_digest=LOCK, content_digest=CONTENT)
    assert SECRET.decode() not in token
    assert operator_token(SECRET) not in token
