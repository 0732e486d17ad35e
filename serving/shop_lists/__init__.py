"""Shop lists: what the whole shop says about its items: best sellers, what rises, what goes together, when it is due.

The publisher's process computes them from SQL; the web process reads them. Reading order: lists, reader, sales, rising,
together, repurchase, refresh.
"""
