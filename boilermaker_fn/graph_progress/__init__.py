"""How does a graph go forward? By messages, with its progress in rows: the pure part, state machines and their rows.

A graph's nodes lie in *blocks* of up to 100, each a partition of the table. Every writer writes its own row and then
looks at the block: the last one always sees the whole, so there are no counters, no leases and no contention.
"""
