"""Is every message in one place, with the count it should have, whatever is done to a queue in any order? By seed."""

from __future__ import annotations

import random
from uuid import UUID

import pytest

from boilermaker_fn.emulator.broker import Broker, MessageNotFound, token_of
from boilermaker_fn.errors import LockLost
from boilermaker_fn.local.database import Database
from boilermaker_fn.local.queue import Rules
from boilermaker_fn.local.schema import Owner
from boilermaker_fn.messages import DEAD_LETTER_SUFFIX, Delivery, Message

WORK = "orders"
DEAD = WORK + DEAD_LETTER_SUFFIX
MOST = 3
STEPS = ("schedule", "receive", "receive", "settle", "settle", "settle", "cancel")


class Play:
    """Does one thing after another, and keeps books by rules that are plainer than the queue's.

    `places` says in which queue each number is, `counts` how often it was delivered, `due` since when it can be;
    `locks` has the queue and the end of every lock that was ever given and not used up.
    """

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.now = 1_800_000_000.0
        self.broker = Broker(
            {WORK: Rules(60, MOST, duplicate_window=600)}, Database(None, Owner.EMULATOR), lambda: self.now
        )
        self.places: dict[int, str] = {}
        self.counts: dict[int, int] = {}
        self.due: dict[int, float] = {}
        self.locks: dict[UUID, tuple[str, float]] = {}
        self.done: dict[str, int] = {}

    async def step(self) -> None:
        self.now += self.chance.choice([0, 0, 1, 25])
        await getattr(self, self.chance.choice(STEPS))()
        await self.check()

    async def schedule(self) -> None:
        due = self.now + self.chance.choice([0, 5, 50])
        twice = [Message(WORK, f"m{len(self.due)}", b"", not_before=due)] * 2
        number, duplicate = await self.broker.schedule(WORK, twice)
        assert duplicate not in self.places
        self.places[number], self.counts[number], self.due[number] = WORK, 0, due

    async def receive(self) -> None:
        queue = self.chance.choice([WORK, WORK, DEAD])
        for delivery in await self.broker.receive(queue, self.chance.randint(1, 4), locked=True):
            self._received(queue, delivery)

    async def settle(self) -> None:
        if not self.locks:
            return
        token, (queue, _) = self.chance.choice(list(self.locks.items()))
        how = self.chance.choice(["complete", "abandon", "release", "renew"] + ["dead_letter"] * (queue == WORK))
        settle = getattr(self.broker, how)
        if not self._holds(token):
            with pytest.raises(LockLost):
                await settle(queue, token)
            del self.locks[token]
            self._count("lost")
            return
        until = await settle(queue, token)
        if how == "renew":
            self.locks[token] = queue, until
        else:
            self._settled(token, how)
        self._count(how)

    async def cancel(self) -> None:
        if not self.due:
            return
        number = self.chance.choice(list(self.due)[-3:])
        if number in self.places and self.due[number] > self.now:
            await self.broker.cancel(WORK, [number])
            del self.places[number]
            self._count("cancel")
        else:
            with pytest.raises(MessageNotFound):
                await self.broker.cancel(WORK, [number])

    async def check(self) -> None:
        """The queues hold what the books say."""
        shown = {
            one.sequence_number: (place, one.delivery_count)
            for place in (WORK, DEAD)
            for one in await self.broker.peek(place, 1000, 0)
        }
        for number, (place, count) in shown.items():
            if place == DEAD and self.places[number] == WORK and count >= MOST:
                self.places[number] = DEAD  # its last lock ran out, and a receive met it
                self._count("given up")
        assert shown == {number: (place, self.counts[number]) for number, place in self.places.items()}

    def _received(self, queue: str, delivery: Delivery) -> None:
        number = delivery.sequence_number
        assert self.places[number] == queue
        assert self.due[number] <= self.now
        assert not [token for token in self.locks if token.int >> 64 == number and self._holds(token)], "under lock"
        assert delivery.delivery_count == self.counts[number] + 1
        self.counts[number] += 1
        self.locks[token_of(delivery)] = queue, delivery.locked_until

    def _holds(self, token: UUID) -> bool:
        queue, until = self.locks[token]
        number, count = divmod(token.int, 1 << 64)
        return self.places.get(number) == queue and self.counts[number] == count and until > self.now

    def _settled(self, token: UUID, how: str) -> None:
        number = token.int >> 64
        queue, _ = self.locks.pop(token)
        if how == "complete":
            del self.places[number]
        elif how == "dead_letter" or (how == "abandon" and queue == WORK and self.counts[number] >= MOST):
            self.places[number] = DEAD
        elif how == "release":
            self.counts[number] -= 1

    def _count(self, what: str) -> None:
        self.done[what] = self.done.get(what, 0) + 1


@pytest.mark.parametrize("seed", range(20))
async def test_the_books_agree(seed: int) -> None:
    play = Play(seed)
    for _ in range(400):
        await play.step()
    assert {"complete", "abandon", "release", "renew", "dead_letter", "lost", "cancel"} <= play.done.keys()
