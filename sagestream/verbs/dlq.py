"""Dead letter queue: lists the letters, and replays them after a fix."""

from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from sagestream.interruption import EXIT_CODE, Interruption
from sagestream.moments import moment_option
from sagestream.printable import PlainConsole, echo, echo_json, printable
from sagestream.tables import print_table
from stream.config import StreamConfig

if TYPE_CHECKING:
    from stream.dlq.queue import QueuedLetter

RAW_BYTES = 400
RAW_CHARACTERS = 80
REASON_CHARACTERS = 200
ID_CHARACTERS = 60

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Topic = Annotated[str | None, typer.Option(help="Only letters that came from this topic.")]
Reason = Annotated[str | None, typer.Option(help="Only letters with these words in their reason.")]

dlq_app = typer.Typer(help="Look at the dead letter queue, and send its letters again.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    dlq_app.command("list")(list_letters)
    dlq_app.command("replay")(replay_letters)
    app.add_typer(dlq_app, name="dlq")


def list_letters(
    limit: Annotated[int, typer.Option(min=0, max=1000, help="How many of the newest letters to show.")] = 10,
    reason: Reason = None,
    topic: Topic = None,
    since: Annotated[
        datetime | None, moment_option("--since", help="Only letters first seen from this time, or age, on.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What is in the dead letter queue: counts by reason and topic, and the newest letters."""
    from stream.dlq.queue import Filter, Queue, summarise

    with Queue(StreamConfig()) as queue:
        mark = queue.mark()
        chosen = Filter(topic, reason, since)
        summary = summarise(queue.letters(), mark=mark, chosen=chosen, limit=limit, keep_bytes=RAW_BYTES)
    reasons = [
        {"topic": source, "reason": why, "letters": count} for (source, why), count in summary.reasons.most_common()
    ]
    if as_json:
        newest = [_letter(queued) for queued in summary.newest]
        told = {"letters": summary.letters, "waiting": summary.waiting, "reasons": reasons, "newest": newest}
        echo_json(told)
        return
    console = PlainConsole()
    console.print(f"{summary.letters:,} letters, {summary.waiting:,} of them not replayed yet")
    if reasons:
        table = Table("letters", "topic", "reason")
        for row in reasons:
            table.add_row(
                f"{row['letters']:,}",
                printable(str(row["topic"]), ID_CHARACTERS),
                printable(str(row["reason"]), REASON_CHARACTERS),
            )
        print_table(console, table)
    for queued in summary.newest:
        _print_letter(console, _letter(queued))


def _letter(queued: "QueuedLetter") -> dict[str, Any]:
    """Return one letter as text that is safe for a terminal."""
    letter = queued.letter
    if letter is None:
        return {"letter": f"{queued.partition}@{queued.offset}", "error": "not a letter of the contract"}
    return {
        "letter": f"{queued.partition}@{queued.offset}",
        "topic": printable(letter.topic, ID_CHARACTERS),
        "partition": letter.partition,
        "offset": letter.offset,
        "first_seen": letter.first_seen.isoformat(),
        "error": printable(letter.error, REASON_CHARACTERS),
        "raw": printable(letter.raw, RAW_CHARACTERS),
    }


def _print_letter(console: PlainConsole, shown: dict[str, Any]) -> None:
    if "topic" in shown:
        console.print(
            Text.assemble(
                (f"{shown['first_seen']} ", "dim"),
                f"{shown['topic']}/{shown['partition']}@{shown['offset']}: ",
                (shown["error"], "red"),
            )
        )
        console.print(Text(f"    {shown['raw']}", no_wrap=True, overflow="ellipsis"))
    else:
        console.print(Text(f"{shown['letter']}: {shown['error']}", "red"))


def replay_letters(
    topic: Topic = None,
    reason: Reason = None,
    all_letters: Annotated[
        bool, typer.Option("--all", help="From the oldest letter on, not only those since the last replay.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Judge the letters, send nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send dead letters that are valid now to the topic that they came from. Events that are known count once.

    Those that are still invalid stay, and are told. What has been taken is remembered: the next replay begins behind
    it, or, where --topic or --reason left letters out, before the first of those.
    """
    from stream.dlq import replay
    from stream.dlq.queue import Filter, Queue
    from stream.kafka.producer import EventProducer

    stream = StreamConfig()
    with Interruption() as interruption, ExitStack() as stack:
        queue = stack.enter_context(Queue(stream))
        producer = None if dry_run else stack.enter_context(EventProducer(stream))
        done = replay.replay(
            queue,
            producer,
            now=datetime.now(UTC),
            chosen=Filter(topic, reason),
            all_letters=all_letters,
            stop=lambda: interruption.asked,
        )
        interrupted = interruption.asked
    told: dict[str, Any] = {verdict.value: done.verdicts[verdict] for verdict in replay.Verdict}
    told |= {"left_out": done.left_out, "dry_run": dry_run, "interrupted": interrupted}
    reasons = [
        {"verdict": verdict, "reason": printable(why, REASON_CHARACTERS), "letters": count}
        for (verdict, why), count in done.reasons.most_common()
    ]
    if as_json:
        echo_json({**told, "reasons": reasons})
    else:
        echo(" · ".join(f"{name}: {value}" for name, value in told.items()))
        for row in reasons:
            echo(f"{row['letters']:,} {row['verdict']}: {row['reason']}")
    if interrupted:
        raise typer.Exit(EXIT_CODE)
