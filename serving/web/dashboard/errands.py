"""Errands: asks the monitor for what needs SQL or Kafka (forget, export, replay of dead letters), and shows its state.

Arrives: a form of the operator, after a page that says what will happen. Leaves: an errand in Redis
(`graphstore.redis.errands`). Next: the monitor runs it; this page follows its state.
"""

from typing import NamedTuple

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from graphstore.redis import errands
from graphstore.redis.errands import DONE, FAILED, NotAsked
from serving.dashboard.blocks import Cell, Column, Row, Rows
from serving.dashboard.blocks import State as Judgement
from serving.web import services
from serving.web.dashboard.access import now_ms, operator_only
from serving.web.dashboard.drawn import drawn
from serving.web.dashboard.pages import refreshed, shell
from serving.web.dashboard.refusals import message
from serving.web.dashboard.reports import leads
from serving.web.dashboard.written import moment

NAME = "errands"
WHO = "dashboard"
FOLLOW_SECONDS = 2
"""How often the page of an errand asks for its state."""
_JUDGED: dict[str, Judgement] = {DONE: "ok", FAILED: "bad"}


class Told(NamedTuple):
    """What the operator reads before an errand is asked for. `final`: it cannot be undone."""

    title: str
    what: str
    button: str
    final: bool = False


TOLD: dict[str, Told] = {
    "forget": Told(
        "Forget a shopper",
        "Everything that names this shopper is deleted: from the database, Redis, the snapshots and Kafka. "
        "Later events with the same id are refused.",
        "Forget for ever",
        final=True,
    ),
    "export": Told(
        "Export a shopper",
        "All rows that name this shopper are collected as JSON. The file can be fetched here for a few minutes.",
        "Export",
    ),
    "dlq_replay": Told(
        "Replay dead letters",
        "These messages are sent to their topic again. What is still wrong comes back as a dead letter.",
        "Replay",
    ),
    "retrain": Told("Ask for a retrain", "The scheduler trains a new model; the gate decides about it.", "Retrain"),
}


@operator_only
@require_http_methods(["GET", "HEAD", "POST"])
def ask(request: HttpRequest) -> HttpResponse:
    """Ask whether it is meant; after the POST, put the errand and lead to its state."""
    given = request.POST if request.method == "POST" else request.GET
    kind, subject = given.get("errand", ""), given.get("subject", "")
    told = TOLD.get(kind)
    if told is None:
        raise Http404
    context = {"title": told.title, "told": told, "kind": kind, "subject": subject}
    if request.method != "POST":
        return shell(request, "dashboard/ask.html", NAME, context)
    if told.final and given.get("sure") != "yes":
        return shell(request, "dashboard/ask.html", NAME, {**context, "problem": "Say that you are sure."}, status=400)
    try:
        errand_id = errands.ask(services.storefront().redis, kind, subject, who=WHO, now=now_ms())
    except NotAsked as error:
        return shell(request, "dashboard/ask.html", NAME, {**context, "problem": str(error)}, status=400)
    return HttpResponseRedirect(reverse("dashboard-errand", args=[errand_id]), status=303)


@operator_only
@require_safe
def newest(request: HttpRequest) -> HttpResponse:
    """Return the last errands and their states."""
    found = errands.newest(services.storefront().redis)
    rows = [
        Row(
            cells=[
                float(one.asked_at),
                Cell(value=TOLD[one.kind].title, href=reverse("dashboard-errand", args=[one.id])),
                one.subject,
                Cell(value=one.state, state=_JUDGED.get(one.state, "none")),
                one.said,
            ]
        )
        for one in found
    ]
    names = [Column(name=name) for name in ("errand", "of what", "state", "what became of it")]
    block = Rows(
        title="Errands",
        note="What was asked for on this dashboard. The monitor does it, one errand after the other.",
        columns=[Column(name="asked (UTC)", unit="time"), *names],
        rows=rows,
        window="the last day",
        empty="nothing was asked for",
    )
    context = {"title": "Errands", "blocks": [drawn(block, 0, leads)], **refreshed(request)}
    return shell(request, "dashboard/errands.html", NAME, context)


@operator_only
@require_safe
def state(request: HttpRequest, errand_id: str) -> HttpResponse:
    """Return the state of one errand. The page asks again until it has ended."""
    found = errands.state(services.storefront().redis, errand_id)
    if found is None:
        return message(request, 404, "This errand is not known", "Its state is kept for a day after its last change.")
    ended = found.state in (DONE, FAILED)
    context = {
        "title": TOLD[found.kind].title,
        "errand": found,
        "judged": _JUDGED.get(found.state, "none"),
        "asked": moment(found.asked_at),
        "changed": moment(found.changed_at),
        "ended": ended,
        **({} if ended else refreshed(request, FOLLOW_SECONDS)),
    }
    return shell(request, "dashboard/errand.html", NAME, context)


@operator_only
@require_safe
def result(request: HttpRequest, errand_id: str) -> HttpResponse:
    """Return the result of an errand as a file."""
    found = errands.result(services.storefront().redis, errand_id)
    if found is None:
        return message(request, 404, "This result is gone", "A result is kept for some minutes. Ask for it again.")
    disposition = f'attachment; filename="sagestream-{errand_id}.json"'
    return HttpResponse(found, content_type="application/json", headers={"Content-Disposition": disposition})
