// Acts: what the shopper does becomes an event, and the list that follows from it is waited for and timed.
import { plainList, sendEvent } from "./api.js";
import { h, byId } from "./dom.js";
import { remember, shopper } from "./shopper.js";
import { nameOf } from "./text.js";

const POLL_MS = 60;
const PATIENCE_MS = 8000;
const LOG_LENGTH = 8;
const DID = { click: "opened #", view: "looked at #", cart: "put # into the cart" };

const unsent = new Map(); // acts that the server did not take, with the ids that they keep when they are repeated
let turn = 0;

export function complain(error) {
  byId("notice").textContent = error ? `${error.message}.` : "";
  byId("notice").hidden = !error;
}

function note(text, strong) {
  const log = byId("log");
  log.querySelector(".quiet")?.remove();
  log.prepend(h("li", {}, text, strong && h("b", {}, ` ${strong}`)));
  while (log.children.length > LOG_LENGTH) log.lastElementChild.remove();
  byId("change").replaceChildren(h("span", {}, text), strong ? h("b", {}, ` ${strong}`) : "");
}

// An act that failed keeps its id: whoever repeats it counts once.
async function send(event) {
  const name = JSON.stringify(event);
  if (!unsent.has(name)) unsent.set(name, crypto.getRandomValues(new Uint32Array(4)).join("-"));
  await sendEvent({ click_id: unsent.get(name), ...event });
  unsent.delete(name);
}

// Several events at once: the lines of an order. Then the lists of the page follow, by the event "changed".
export async function tell(events, said) {
  const mine = ++turn;
  if (!shopper.id) {
    for (const { event_type, item_id } of events) remember(event_type, item_id);
    note(said, "– nothing of it is stored");
    dispatchEvent(new Event("changed"));
    return;
  }
  try {
    const before = await plainList().catch(() => null); // before the first model there is none
    const started = performance.now();
    await Promise.all(events.map(send));
    complain(null);
    const took = before && (await follow(before, mine, started));
    if (took === null) return note(said); // another act took over
    const late = `– no new list within ${PATIENCE_MS / 1000} s: is near-line running?`;
    note(said, took ? `– your list changed ${Math.round(took)} ms after it` : late);
    if (took) dispatchEvent(new Event("changed"));
  } catch (error) {
    complain(error);
    throw error;
  }
}

// Milliseconds until the list is a newer one; 0 where patience ended, null where another act came between.
async function follow(before, mine, started) {
  while (performance.now() - started < PATIENCE_MS) {
    const list = await plainList();
    if (mine !== turn) return null;
    const newer = Date.parse(list.as_of) > Date.parse(before.as_of);
    if (newer && list.source === "nearline") return performance.now() - started;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return 0;
}

// One event. Its error is on the page already.
export function act(event_type, item, place = {}) {
  const said = `You ${DID[event_type].replace("#", () => nameOf(item))}`;
  return tell([{ event_type, item_id: item.item_id, ...place }], said).catch(() => {});
}
