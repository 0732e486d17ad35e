"""The fields of the current work: of this thread or task alone, and only while it goes on."""

import asyncio
import threading

from graphstore.log_context import log_fields, logged_with


def test_inner_blocks_add_and_the_end_of_a_block_takes_away() -> None:
    with logged_with(run_id="r1"):
        with logged_with(topic="seen", run_id="r2"):
            assert log_fields() == {"run_id": "r2", "topic": "seen"}
        assert log_fields() == {"run_id": "r1"}
    assert log_fields() == {}


def test_a_function_is_called_when_a_line_is_written_and_not_before() -> None:
    called: list[int] = []
    with logged_with(ids=lambda: called.append(1) or "abc"):  # type: ignore[func-returns-value]
        assert not called
        assert log_fields() == {"ids": "abc"}
    assert called == [1]


def test_threads_and_tasks_do_not_see_each_others_fields() -> None:
    seen: list[dict[str, object]] = []
    with logged_with(run_id="r1"):
        thread = threading.Thread(target=lambda: seen.append(log_fields()))
        thread.start()
        thread.join()

    async def work(topic: str, both_begun: asyncio.Barrier) -> None:
        with logged_with(topic=topic):
            await both_begun.wait()
            seen.append(log_fields())

    async def both() -> None:
        both_begun = asyncio.Barrier(2)
        await asyncio.gather(work("a", both_begun), work("b", both_begun))

    asyncio.run(both())
    assert seen[0] == {}
    assert sorted(fields["topic"] for fields in seen[1:]) == ["a", "b"]  # type: ignore[type-var]
