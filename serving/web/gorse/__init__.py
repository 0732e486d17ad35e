"""Gorse: a part of Gorse's HTTP API under `/api/`, so that a shop with one of its clients changes the address alone.

Read `shapes` (what Gorse's clients send and expect), then `feedback`, `entries` (items and users) and `lists`. The
names in JSON are Gorse's; everything behind them is the same as at the other doors. A body is taken whole or not at
all: Gorse's answers have no place for the reason of a single object. The OpenAPI description leaves these doors out,
because Gorse's own documentation has them, and nobody should write a new client for them.
"""
