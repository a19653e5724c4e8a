"""What is sent again after a transport has refused some messages, or says so of others."""

from __future__ import annotations

from boilermaker_fn.errors import NotSent
from boilermaker_fn.messages import Message

MESSAGES = [Message("q", name, b"") for name in "abc"]


def test_only_what_was_refused_is_sent_again() -> None:
    assert [m.message_id for m in NotSent([("b", OSError("full"))]).of(MESSAGES)] == ["b"]


def test_a_refusal_of_unknown_messages_loses_none() -> None:
    assert NotSent([("somebody else's", OSError("full"))]).of(MESSAGES) == MESSAGES
