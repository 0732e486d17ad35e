"""Compose check: runs `docker-compose.yml` on a real Docker engine, from the build to an upgrade-safe restart.

Arrives: the client's command in `DOCKER` (default `docker`). Leaves: a line for each step with its time; exit 0 when
all passed, 1 when one failed, 2 where no engine answers. Everything that it starts has a project name of its own and is
removed at the end, volumes too; images stay. It takes some minutes, so it is no part of the tests: `make
compose-check`.
"""

import json
import os
import random
import secrets
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKER = shlex.split(os.environ.get("DOCKER", "docker"))
SECRETS = (
    "POSTGRES_ADMIN_PASSWORD",
    "POSTGRES_PASSWORD",
    "REDIS_PASSWORD",
    "SAGESTREAM_API_KEY",
    "SAGESTREAM_SECRET_KEY",
)
PROCESSES = ("worker", "nearline", "publisher", "scheduler", "monitor", "serve", "ranker")
SHOPPERS, ITEMS, VISITS = 150, 40, 24
WAIT_SECONDS = 240

# Other ports than an operator's own deployment: any free one, and no Kafka outside.
OVERRIDE = """
services:
  kafka: {ports: !reset []}
  serve: {ports: !override ["127.0.0.1::8000"]}
"""

CALL = """
import json, os, sys, urllib.error, urllib.request
method, path, body = json.load(sys.stdin)
headers = {"X-API-Key": os.environ["SAGESTREAM_API_KEY"], "Content-Type": "application/json"}
url, data = "http://127.0.0.1:8000" + path, body and body.encode()
asked = urllib.request.Request(url, data=data, headers=headers, method=method)
try:
    with urllib.request.urlopen(asked, timeout=20) as answer:
        print(json.dumps([answer.status, json.load(answer)]))
except urllib.error.HTTPError as error:
    print(json.dumps([error.code, error.read().decode(errors="replace")]))
"""
"""Runs in the container of `serve`: a request with the key, from standard input."""

KILL = """
import os, pathlib, signal
own = os.getpid()
for entry in pathlib.Path("/proc").iterdir():
    if entry.name.isdigit() and int(entry.name) not in (1, own):
        os.kill(int(entry.name), signal.SIGKILL)
"""
"""Runs in a container: kills all but the first process, which then ends by itself."""


class Failed(Exception):
    """A step did not do what it must."""


@dataclass
class Deployment:
    """One project of Compose, with its environment file and override."""

    directory: Path
    project: str = field(default_factory=lambda: f"sagestream-check-{secrets.token_hex(3)}")
    posted: int = 0

    def compose(self, *words: str, stdin: str = "", check: bool = True) -> str:
        """Run `docker compose` and return its standard output. Raises `Failed`."""
        command = self._command(words)
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, cwd=ROOT)
        if check and done.returncode:
            raise Failed(
                f"`compose {' '.join(words)}` ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
            )
        return done.stdout

    def pipe(self, *words: str, source: Path | None = None, target: Path | None = None) -> None:
        """Run `docker compose` with a file as its standard input, or as its standard output. Raises `Failed`."""
        with Path(source or os.devnull).open("rb") as given, Path(target or os.devnull).open("wb") as taken:
            done = subprocess.run(
                self._command(words), stdin=given, stdout=taken, stderr=subprocess.PIPE, check=False, cwd=ROOT
            )
        if done.returncode:
            raise Failed(f"`compose {' '.join(words)}` ended with {done.returncode}: {done.stderr[-2000:]!r}")

    def _command(self, words: Sequence[str]) -> list[str]:
        files = ("--file", str(ROOT / "docker-compose.yml"), "--file", str(self.directory / "override.yml"))
        environment = ("--env-file", str(self.directory / "env"))
        return [*DOCKER, "compose", "--project-name", self.project, *environment, *files, *words]

    def tools(self, *words: str, options: tuple[str, ...] = (), check: bool = True) -> str:
        """Run a verb in the container for verbs."""
        return self.compose("run", "--rm", "--no-TTY", *options, "tools", *words, check=check)

    def sql(self, query: str) -> str:
        """Return what PostgreSQL answers."""
        words = ("psql", "--username", "postgres", "--dbname", "sagestream", "--tuples-only", "--no-align", "--command")
        return self.compose("exec", "-T", "postgres", *words, query).strip()

    def call(self, method: str, path: str, body: object = None) -> tuple[int, object]:
        """Ask the API, from inside its container."""
        asked = json.dumps([method, path, None if body is None else json.dumps(body)])
        status, answer = json.loads(self.compose("exec", "-T", "serve", "python", "-c", CALL, stdin=asked))
        return status, answer

    def post(self, user: str, item: str) -> None:
        """Send one view of a shopper."""
        self.posted += 1
        event = {
            "event_id": f"check-{self.posted}",
            "event_type": "view",
            "user_id": user,
            "item_id": item,
            "event_time": datetime.now(UTC).isoformat(),
        }
        status, answer = self.call("POST", "/events/", event)
        if status != 202:
            raise Failed(f"POST /events/ answered {status}: {answer}")

    def source(self, user: str) -> str:
        """Return the source of a shopper's list."""
        status, answer = self.call("GET", f"/recommendations/{user}/?k=5")
        return str(answer["source"]) if status == 200 and isinstance(answer, dict) else f"{status}: {answer}"


def wait_until(condition: Callable[[], bool], told: Callable[[], str], seconds: float = WAIT_SECONDS) -> None:
    """Wait until the condition holds. Raises `Failed`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Failed(f"not within {seconds:g} s: {told()}")
        time.sleep(1)


def write_purchases(path: Path) -> int:
    """Write a shop in which shoppers of one half like the items of that half. Return the number of rows."""
    rng, start = random.Random(17), datetime.now(UTC) - timedelta(days=30)
    rows = [
        (
            start + timedelta(minutes=rng.uniform(0, 29 * 24 * 60)),
            f"u{user}",
            f"i{2 * rng.randrange(ITEMS // 2) + user % 2}",
        )
        for user in range(SHOPPERS)
        for _ in range(VISITS)
    ]
    lines = [f"{user},{item},{moment.isoformat()}" for moment, user, item in sorted(rows)]
    path.write_text("\n".join(["user_id,item_id,timestamp", *lines]) + "\n")
    path.chmod(0o644)
    return len(rows)


def fresh_shop_is_healthy(shop: Deployment) -> None:
    """`up --wait` ends with 0 while there is no model, and the doctor finds every process from another container."""
    shop.compose("up", "--detach", "--wait", "--wait-timeout", "300")
    checks = {check["name"]: check for check in json.loads(shop.tools("doctor", "--json", check=False))}
    wrong = [check for name, check in checks.items() if not check["ok"] and name != "serve"]
    if wrong or set(PROCESSES) - set(checks):
        raise Failed(f"the doctor finds: {wrong or checks}")


def containers_are_closed(shop: Deployment) -> None:
    """Roots are read-only, secrets are where they are needed, the application is no superuser."""
    for name in PROCESSES:
        if "Read-only" not in shop.compose("exec", "-T", name, "sh", "-c", "touch /here 2>&1 || true"):
            raise Failed(f"the root of {name} can be written")
    variables = {name: shop.compose("exec", "-T", name, "env") for name in PROCESSES}
    for name, told in variables.items():
        for secret, owners in {
            "SAGESTREAM_API_KEY=": {"serve"},
            "SAGESTREAM_SECRET_KEY=": {"serve"},
            "SAGESTREAM_DATABASE_URL=": set(PROCESSES) - {"serve"},
            "SAGESTREAM_REDIS_URL=": set(PROCESSES),
            "POSTGRES": set(),
        }.items():
            there = any(line.startswith(secret) for line in told.splitlines())
            if there != (name in owners):
                raise Failed(f"{secret} is {'there' if there else 'missing'} in {name}")
    if shop.sql("SELECT rolsuper FROM pg_roles WHERE rolname = 'sagestream'") != "f":
        raise Failed("the application is a superuser of PostgreSQL")
    if "NOAUTH" not in shop.compose("exec", "-T", "-e", "REDISCLI_AUTH=", "redis", "redis-cli", "dbsize"):
        raise Failed("Redis answers without a password")


def import_and_first_model(shop: Deployment) -> None:
    """A file goes in by Kafka; the scheduler makes the first model, the publisher its lists."""
    rows = write_purchases(shop.directory / "purchases.csv")
    mount = ("--volume", f"{shop.directory}/purchases.csv:/import/purchases.csv:ro")
    shop.tools("import", "/import/purchases.csv", options=mount)
    wait_until(lambda: stored(shop) == rows, lambda: f"{stored(shop)} of {rows} rows in SQL")
    wait_until(lambda: shop.source("u1") == "batch", lambda: f"the list of u1 is {shop.source('u1')}")


def event_to_list(shop: Deployment) -> None:
    """A new shopper's first event becomes a list of their own."""
    shop.post("newcomer", "i2")
    wait_until(lambda: shop.source("newcomer") == "nearline", lambda: f"the list is {shop.source('newcomer')}", 60)


def second_worker(shop: Deployment) -> None:
    """The profile starts a second worker beside the first."""
    shop.compose("--profile", "second-worker", "up", "--detach", "--wait", "worker-2")
    shop.post("newcomer", "i4")
    shop.compose("--profile", "second-worker", "stop", "worker-2")


def doctor_beside_failures(shop: Deployment) -> None:
    """The doctor finds a service that is stopped and services that hang, and starts nothing."""
    for service, name, halt, resume in (
        ("redis", "redis", "stop", "start"),
        ("postgres", "database", "pause", "unpause"),
        ("kafka", "kafka", "pause", "unpause"),
    ):
        shop.compose(halt, service)
        found = json.loads(shop.tools("doctor", "--json", check=False) or "[]")
        running = shop.compose("ps", "--services", "--status", "running").split()
        shop.compose(resume, service)
        if service in running:
            raise Failed(f"the doctor has started {service}")
        if not any(check["name"] == name and not check["ok"] for check in found):
            raise Failed(f"{service} is away, and the doctor finds: {found}")
    # After a pause a container is unhealthy until the next look, and `up` does not wait for that.
    wait_until(lambda: "unhealthy" not in shop.compose("ps", "--format", "{{.Health}}"), lambda: shop.compose("ps"))
    shop.compose("up", "--detach", "--wait", "--wait-timeout", "300")


def kills(shop: Deployment) -> None:
    """What is killed comes back, services too, and every accepted event is stored once."""
    for name in PROCESSES:
        shop.compose("exec", "-T", name, "python", "-c", KILL, check=False)
        if name != "serve":
            shop.post(f"killed-{name}", "i6")
    for name in ("redis", "postgres", "kafka"):
        shop.compose("kill", name)
        shop.compose("up", "--detach", "--wait", "--wait-timeout", "300", name)
    shop.compose("up", "--detach", "--wait", "--wait-timeout", "300")
    shop.post("after-the-kills", "i8")
    wait_until(lambda: shop.source("after-the-kills") == "nearline", lambda: shop.source("after-the-kills"))
    expected = SHOPPERS * VISITS + shop.posted
    wait_until(lambda: stored(shop) == expected, lambda: f"{stored(shop)} of {expected} events are stored", 60)


def down_and_up(shop: Deployment) -> None:
    """After `down` and `up` everything is as it was."""
    before = shop.sql("SELECT model_version FROM models WHERE status = 'champion'")
    shop.compose("down", "--timeout", "45")
    shop.compose("up", "--detach", "--wait", "--wait-timeout", "300")
    if stored(shop) != SHOPPERS * VISITS + shop.posted:
        raise Failed("events were lost")
    if not before:
        raise Failed("there is no champion")
    wait_until(lambda: shop.source("u1") in ("batch", "nearline"), lambda: f"the list of u1 is {shop.source('u1')}")
    checks = json.loads(shop.tools("doctor", "--json", check=False))
    if wrong := [check for check in checks if not check["ok"]]:
        raise Failed(f"the doctor finds: {wrong}")


def backup_and_restore(shop: Deployment) -> None:
    """The database and the state volume bring everything back, as docs/operations.md says; the rest heals."""
    dump, state = shop.directory / "sagestream.dump", shop.directory / "state.tar"
    tar = ("run", "--rm", "--no-TTY", "--entrypoint", "tar", "tools", "-C", "/var/lib/sagestream")
    shop.pipe(
        *["exec", "-T", "postgres", "pg_dump", "--username", "postgres", "--format", "custom", "sagestream"],
        target=dump,
    )
    shop.pipe(*tar, "-c", ".", target=state)
    shop.compose("--profile", "*", "down", "--volumes", "--timeout", "45")
    shop.compose("up", "--detach", "--wait", "postgres")
    restore = "exec -T postgres pg_restore --username postgres --dbname sagestream --no-owner --role sagestream"
    shop.pipe(*restore.split(), source=dump)
    shop.pipe(*tar, "-x", source=state)
    shop.compose("up", "--detach", "--wait", "--wait-timeout", "300")
    if stored(shop) != SHOPPERS * VISITS + shop.posted:
        raise Failed("the restored database lacks events")
    wait_until(lambda: shop.source("u1") in ("batch", "nearline"), lambda: f"the list of u1 is {shop.source('u1')}")
    shop.post("after-the-restore", "i2")
    wait_until(lambda: shop.source("after-the-restore") == "nearline", lambda: shop.source("after-the-restore"))


def stored(shop: Deployment) -> int:
    """Return how many interactions SQL holds."""
    return int(shop.sql("SELECT count(*) FROM interactions") or 0)


STEPS = (
    fresh_shop_is_healthy,
    containers_are_closed,
    import_and_first_model,
    event_to_list,
    second_worker,
    doctor_beside_failures,
    kills,
    down_and_up,
    backup_and_restore,
)


@contextmanager
def deployment() -> Iterator[Deployment]:
    """A project of its own, which is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="compose-check-") as directory:
        path = Path(directory)
        path.chmod(0o755)
        lines = [f"{name}={secrets.token_hex(16)}" for name in SECRETS]
        lines += ["SAGESTREAM_RETRAIN_MIN_EVENTS=2000", "SAGESTREAM_SCHEDULER_TICK_SECONDS=3"]
        (path / "env").write_text("\n".join(lines) + "\n")
        (path / "override.yml").write_text(OVERRIDE)
        shop = Deployment(path)
        try:
            yield shop
        finally:
            shop.compose("--profile", "*", "down", "--volumes", "--timeout", "20", check=False)


def main() -> int:
    """Run all steps and return the exit code."""
    try:
        engine = subprocess.run([*DOCKER, "version"], capture_output=True, text=True, check=False)
        answers = engine.returncode == 0
    except OSError:
        answers = False
    if not answers:
        print(
            f"compose-check: no Docker engine answers to `{shlex.join(DOCKER)} version`: start one, or name its client "
            "in DOCKER"
        )
        return 2
    with deployment() as shop:
        try:
            if "--no-build" not in sys.argv[1:]:
                _timed("build", lambda: shop.compose("build"))
            for step in STEPS:
                _timed(step.__name__.replace("_", " "), lambda step=step: step(shop))  # type: ignore[misc]
        except Failed as failed:
            print(f"✗ {failed}")
            print(shop.compose("ps", "--all", check=False))
            print(shop.compose("logs", "--tail", "15", "--no-color", check=False)[-12_000:])
            return 1
    print("compose-check: all passed")
    return 0


def _timed(name: str, run: Callable[[], object]) -> None:
    print(f"  {name} …", flush=True)
    began = time.monotonic()
    run()
    print(f"✓ {name} ({time.monotonic() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    sys.exit(main())
