"""Shapes: messages as the trade's trackers and shop systems send them, and the events that they mean.

Reading order: fields, shape, then any shape (segment is the plainest), registry. Nothing here needs pandas: the web's
doors use the same translations as files.
"""
