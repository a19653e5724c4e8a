"""What could somebody do wrong? The rules of the protocol, each switched off in the real code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from boilermaker_fn import effects as fx
from boilermaker_fn import follow_ups
from boilermaker_fn import table_effects as tx
from boilermaker_fn.entities import ANY_ETAG, Where
from boilermaker_fn.graph_progress import advance, attempt, block, delivery, writing
from boilermaker_fn.graph_progress.children import Children
from boilermaker_fn.graph_progress.node_state import Phase, State, end, own_claim, settle
from boilermaker_fn.graph_progress.rows import NodeRow, NodeStatus

Break = Callable[[pytest.MonkeyPatch], None]


def asks_for_what_has_not_ended(patch: pytest.MonkeyPatch) -> None:
    """Looks at a block without those that have failed."""
    hidden = (NodeStatus.SUCCEEDED, NodeStatus.FAILED, NodeStatus.SKIPPED)
    patch.setattr(advance, "NOT_SUCCEEDED", tuple(Where("status", "ne", status.value) for status in hidden))


def drops_what_another_has_claimed(patch: pytest.MonkeyPatch) -> None:
    """Trusts that somebody else's claim comes to an end by itself."""
    claimed_by_others = delivery._claimed_by_others

    def claimed(state: State, row: NodeRow, now: float) -> Any:
        after, effect = claimed_by_others(state, row, now)
        return settle(state, "claimed") if after.ending == "claimed by another" else (after, effect)

    patch.setattr(delivery, "_claimed_by_others", claimed)


def walks_only_below_what_it_marks(patch: pytest.MonkeyPatch) -> None:
    """Leaves those below a skipped node to who has skipped it."""
    skipped = block._Look._skipped

    def look(self: block._Look, child: Children, parent: NodeRow) -> list[NodeRow]:
        return [row for row in skipped(self, child, parent) if row.status is NodeStatus.PENDING]

    patch.setattr(block._Look, "_skipped", look)


def does_not_walk_below_a_skipped_handler(patch: pytest.MonkeyPatch) -> None:
    """Forgets that a handler was skipped together with the success that it guards."""
    skipped = block._Look._skipped

    def look(self: block._Look, child: Children, parent: NodeRow) -> list[NodeRow]:
        return [] if child.guard and child.alone else skipped(self, child, parent)

    patch.setattr(block._Look, "_skipped", look)


def leaves_a_handler_to_who_has_skipped_it(patch: pytest.MonkeyPatch) -> None:
    """Does not walk below a handler that waits in several blocks, and that somebody has skipped."""
    on_its_way = block._Look._on_its_way

    def look(self: block._Look, child: Children) -> list[NodeRow]:
        on_its_way(self, child)
        return []

    patch.setattr(block._Look, "_on_its_way", look)


def does_not_look_after_marking(patch: pytest.MonkeyPatch) -> None:
    """Marks, and goes."""

    def marked(state: advance.State, event: tx.Written) -> advance.Step:
        return advance._next(state._replace(visits=state.visits[1:]))

    patch.setitem(advance.TRANSITIONS, (advance.Phase.MARKING, tx.Written), marked)


def skips_a_shared_handler_at_the_first_success(patch: pytest.MonkeyPatch) -> None:
    """Takes every handler for one that guards a single node."""
    patch.setattr(Children, "alone", property(lambda self: True))


def stops_where_another_has_arrived(patch: pytest.MonkeyPatch) -> None:
    """Trusts that who has written the arrival also looks at all of them."""

    def refused(state: advance.State, event: tx.Refused) -> advance.Step:
        return advance._next(state._replace(arrivals=state.arrivals[1:]))

    patch.setitem(advance.TRANSITIONS, (advance.Phase.ARRIVING, tx.Refused), refused)


def stops_where_another_has_ended_the_block(patch: pytest.MonkeyPatch) -> None:
    """Trusts that who has written a block's end also looks at the graph's."""

    def refused(state: advance.State, event: tx.Refused) -> advance.Step:
        return advance._next(state._replace(ends=state.ends[1:]))

    patch.setitem(advance.TRANSITIONS, (advance.Phase.CLOSING, tx.Refused), refused)


def drops_its_own_claim(patch: pytest.MonkeyPatch) -> None:
    """Takes its own claim, of which the answer was lost, for somebody else's."""
    is_ours = delivery._is_ours
    drops_what_another_has_claimed(patch)
    patch.setattr(delivery, "_is_ours", lambda state, row: row.claim != own_claim(state) and is_ours(state, row))
    patch.setattr(delivery, "_claimed_by_others", lambda state, row, now: settle(state, "claimed"))


def settles_what_was_refused(patch: pytest.MonkeyPatch) -> None:
    """Takes a refusal for somebody else's success."""
    patch.setitem(delivery.TRANSITIONS, (Phase.WRITING, tx.Refused), lambda state, event: settle(state, "refused"))


def sends_the_retry_before_it_is_written(patch: pytest.MonkeyPatch) -> None:
    """Asks for the next attempt, then writes that there is one."""
    retry, sent = attempt._retry, delivery._sent

    def send_first(*arguments: Any) -> Any:
        state, effect = retry(*arguments)
        if not isinstance(effect, tx.Write) or state.phase is not Phase.RETRYING:
            return state, effect
        early = state._replace(phase=Phase.SENDING, ending="sent early", ending_write=effect.operations)
        return early, fx.Send(state.after)

    def then_write(state: State, event: fx.Sent) -> Any:
        if state.ending == "sent early":
            return state._replace(phase=Phase.RETRYING, ending=""), tx.Write(state.ending_write)
        return sent(state, event)

    patch.setattr(attempt, "_retry", send_first)
    patch.setitem(delivery.TRANSITIONS, (Phase.SENDING, fx.Sent), then_write)


def drops_older_attempts(patch: pytest.MonkeyPatch) -> None:
    """Trusts that who wrote the next attempt also sent it."""
    _drop_outdated(patch, lambda state: True)


def reaps_no_older_attempts(patch: pytest.MonkeyPatch) -> None:
    """The same, where the broker has given the message up."""
    _drop_outdated(patch, lambda state: state.aside)


def drops_what_has_ended(patch: pytest.MonkeyPatch) -> None:
    """Trusts that who ended a node also saw to what follows."""
    _drop_ended(patch, lambda state: True)


def reaps_nothing_that_has_ended(patch: pytest.MonkeyPatch) -> None:
    """The same, where the broker has given the message up."""
    _drop_ended(patch, lambda state: state.aside)


def reaps_what_another_has_claimed(patch: pytest.MonkeyPatch) -> None:
    """Records a failure though somebody runs the node."""
    claimed_by_others = delivery._claimed_by_others

    def claimed(state: State, row: NodeRow, now: float) -> Any:
        if not state.aside:
            return claimed_by_others(state, row, now)
        return end(state, follow_ups.given_up_by_broker(state.delivery), now)

    patch.setattr(delivery, "_claimed_by_others", claimed)


def ends_the_graph_with_the_first_block(patch: pytest.MonkeyPatch) -> None:
    """Does not wait for the end of every block."""
    partition = advance.head_partition

    def hasty(*arguments: Any) -> Any:
        found = partition(*arguments)
        return found if found.head is None else found._replace(head=found.head._replace(blocks=1))

    patch.setattr(advance, "head_partition", hasty)


def writes_whoever_has_written_meanwhile(patch: pytest.MonkeyPatch) -> None:
    """Ends a node without looking at the ETag of its claim."""
    changed = writing.changed
    patch.setattr(writing, "changed", lambda graph, number, etag, **values: changed(graph, number, ANY_ETAG, **values))


def _drop_outdated(patch: pytest.MonkeyPatch, when: Callable[[State], bool]) -> None:
    outdated = delivery._outdated

    def drops(state: State, row: NodeRow) -> Any:
        return settle(state, "outdated") if when(state) else outdated(state, row)

    patch.setattr(delivery, "_outdated", drops)


def _drop_ended(patch: pytest.MonkeyPatch, when: Callable[[State], bool]) -> None:
    follow = delivery._follow

    def follows(state: State, now: float) -> Any:
        return settle(state, "ended") if state.phase is Phase.READING and when(state) else follow(state, now)

    patch.setattr(delivery, "_follow", follows)
