"""Triggers: decide when the figures require a new model, and when they cannot be trusted.

Reading order: `hours`, `level_watch`, `fall`, `lasting_drift`, `ask`, `tracking`, `hold`.
"""
