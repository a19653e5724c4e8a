"""What is known of the messages that were met? Whose they are, and how to name them."""

from __future__ import annotations

from boilermaker_fn.graph_progress.messages import NodeMessage, decoded

from .machines import COPIES, Machines
from .world import REAPED, Held, Worker


class About:
    """Looks into messages, once into each."""

    def __init__(self, machines: Machines) -> None:
        self._machines = machines
        self._known: dict[int, tuple[str, int, int]] = {}

    def node(self, message: int) -> tuple[str, int, int]:
        """The row of a message's node ("" if it is the watchdog's), its partition, and how many wakes led to it."""
        if message not in self._known:
            self._known[message] = self._looked_into(message)
        return self._known[message]

    def is_watch(self, message: int) -> bool:
        """Whether it is one of the watchdog's."""
        return not self.node(message)[0]

    def name(self, message: Held) -> str:
        """Its id, with a star for each copy, and which delivery it is."""
        number, copy, delivery, _ = message
        return f"{self._machines.messages[number].message_id}{'*' * copy}{f' ({delivery}.)' if delivery else ''}"

    def described(self, worker: Worker | None) -> str:
        """Who that is."""
        if worker is None:
            return ""
        zombie, held = worker[:2]
        if not held:
            return "publisher"
        kind = "reaper" if held[3] == REAPED else "worker"
        return f"{'zombie ' if zombie else ''}{kind} of {self.name(held)}"

    def _looked_into(self, message: int) -> tuple[str, int, int]:
        sent = self._machines.messages[message]
        content = decoded(sent.body)
        if not isinstance(content, NodeMessage):
            return "", 0, 0
        partition, row = content.graph.node(content.number)
        _, wake, sequence_number = sent.message_id.rpartition("/w")
        wakes = 1 + self.node((int(sequence_number) - 1) // COPIES)[2] if wake else 0
        return row, self._machines.partitions.index(partition), wakes
