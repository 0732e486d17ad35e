"""Processes forked from a server that has imported what they need: a start takes a tenth of a second, not three.

A process has one such server, and what is imported first counts for all that ask.
"""

import multiprocessing

forked = multiprocessing.get_context("forkserver")
forked.set_forkserver_preload(["tests.kills.worker", "tests.training.together"])
