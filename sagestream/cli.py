"""The command line: one verb for each process and each job; the composition root of all packages."""

import typer

app = typer.Typer(name="sagestream", no_args_is_help=True)


@app.command()
def worker() -> None:
    """Run one stream worker."""
    from sagestream.services import run_worker

    run_worker()


@app.command()
def doctor() -> None:
    """x"""


def main() -> None:
    app()
