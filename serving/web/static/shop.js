// The shop: shows a shopper's list, turns clicks into events, and waits for the list to follow.
"use strict";

const LIST_LENGTH = 12;
const SHELF_LENGTH = 8;
const SIMILAR_LENGTH = 6;
const POLL_MS = 80;
const PATIENCE_MS = 8000;
const LOG_LENGTH = 6;
const DID = { view: "looked at", cart: "put in the cart", purchase: "bought" };

const byId = (id) => document.getElementById(id);
const state = { user: "", served: null, turn: 0, window: "24h" };
const unsent = new Map(); // clicks that the server did not take, with the ids that they keep when they are repeated

async function ask(path, options) {
  const response = await fetch(path, { headers: { Accept: "application/json" }, ...options });
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.detail || `the server answered ${response.status}`);
  return body;
}

function recommendationsPath(user, query) {
  return `/recommendations/${encodeURIComponent(user)}/?${new URLSearchParams({ k: LIST_LENGTH, ...query })}`;
}

function complain(error) {
  byId("notice").textContent = error ? `${error.message}.` : "";
  byId("notice").hidden = !error;
}

// Titles of tills are often all capitals.
function readable(text) {
  if (text !== text.toUpperCase()) return text;
  return text.charAt(0) + text.slice(1).toLowerCase();
}

function nameOf(item) {
  return readable(item.title || item.item_id);
}

function hueOf(text) {
  let hash = 7;
  for (const letter of text) hash = (hash * 31 + letter.codePointAt(0)) % 3600;
  return hash % 360;
}

function ago(time) {
  const seconds = Math.max(0, (Date.now() - Date.parse(time)) / 1000);
  if (seconds < 10) return `${seconds.toFixed(1)} s ago`;
  if (seconds < 120) return `${Math.round(seconds)} s ago`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min ago`;
  return `${Math.round(seconds / 3600)} h ago`;
}

function fill(templateId, item, context, mark) {
  const node = byId(templateId).content.firstElementChild.cloneNode(true);
  const name = nameOf(item);
  const category = item.categories.map(readable).join(" · ");
  node.querySelector(".tile").style.setProperty("--hue", hueOf(category || item.item_id));
  node.querySelector(".initials").textContent = name
    .split(/[^\p{L}\p{N}]+/u).filter(Boolean).slice(0, 2).map((word) => word[0].toUpperCase()).join("");
  node.querySelector(".title").textContent = name;
  node.querySelector(".title").title = name;
  node.querySelector(".category").textContent = category || item.brand;
  const price = node.querySelector(".price");
  if (price && item.price !== null) price.textContent = item.price.toFixed(2);
  const reason = node.querySelector(".reason");
  if (reason) reason.textContent = (item.reason || "").replace(/^goes with (.*)$/s, (_, title) => `goes with ${readable(title)}`);
  if (mark) {
    node.classList.add("moved");
    node.querySelector(".mark").textContent = mark;
  }
  for (const button of node.querySelectorAll("[data-act]")) {
    button.setAttribute("aria-label", `${button.textContent}: ${name}`);
    button.addEventListener("click", () => act(button, button.dataset.act, item, context));
  }
  return node;
}

function marksSince(before, after) {
  const places = new Map(before.map((item) => [item.item_id, item.position]));
  return after.map((item) => {
    const place = places.get(item.item_id);
    if (place === undefined) return "new";
    return place > item.position ? `▲ ${place - item.position}` : "";
  });
}

function show(served, before) {
  const marks = before ? marksSince(before.items, served.items) : [];
  const cards = served.items.map((item, place) =>
    fill("card", item, { request_id: served.request_id, position: item.position }, marks[place]));
  byId("list").replaceChildren(...cards);
  const { request_id, user_id } = served;
  served.items.forEach(({ position }, place) => watchSeen(cards[place], { request_id, user_id, position }));
  byId("list").setAttribute("aria-busy", "false");
  byId("source").textContent = served.source;
  byId("model").textContent = served.model_version;
  state.served = served;
  tick();
}

function tick() {
  if (state.served) byId("age").textContent = ago(state.served.as_of);
}

// What is shown is asked for with its slot, so that it is logged; `watchSeen` says what of it comes into view.
function fetchShown() {
  return ask(recommendationsPath(state.user, { slot: "home", explain: 1 }));
}

async function pick(user) {
  state.user = user;
  state.served = null;
  const turn = ++state.turn;
  byId("shopper").value = user;
  byId("change").textContent = "";
  byId("list").setAttribute("aria-busy", "true");
  history.replaceState(null, "", `/?${new URLSearchParams({ user })}`);
  for (const button of document.querySelectorAll("[data-shopper]")) {
    button.setAttribute("aria-current", String(button.dataset.shopper === user));
  }
  try {
    const served = await fetchShown();
    if (turn !== state.turn) return;
    complain(null);
    show(served, null);
  } catch (error) {
    if (turn !== state.turn) return;
    byId("list").replaceChildren();
    complain(error);
    setTimeout(() => turn === state.turn && pick(user), 3000); // a first model may be on its way
  }
}

function note(text, strong) {
  const line = document.createElement("li");
  line.textContent = text;
  if (strong) {
    const bold = document.createElement("b");
    bold.textContent = ` ${strong}`;
    line.append(bold);
  }
  const log = byId("log");
  log.querySelector(".quiet")?.remove();
  log.prepend(line);
  while (log.children.length > LOG_LENGTH) log.lastElementChild.remove();
}

// A click that failed keeps its id: whoever clicks again repeats it, and it counts once. Each purchase is an order.
async function send(click) {
  const name = JSON.stringify(click);
  if (!unsent.has(name)) unsent.set(name, crypto.getRandomValues(new Uint32Array(4)).join("-"));
  const clickId = unsent.get(name);
  const order = click.event_type === "purchase" ? { order_id: clickId } : {};
  await ask("/shop/events/", {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRFToken": document.body.dataset.csrf },
    body: JSON.stringify({ click_id: clickId, ...order, ...click }),
  });
  unsent.delete(name);
}

async function act(button, eventType, item, context) {
  const turn = ++state.turn;
  const before = state.served;
  const started = performance.now();
  button.disabled = true;
  if (eventType === "view") openItem(item);
  try {
    const paid = eventType === "purchase" && item.price !== null ? { value: item.price } : {};
    await send({ event_type: eventType, user_id: state.user, item_id: item.item_id, ...paid, ...context });
    complain(null);
    const what = `You ${DID[eventType]} ${nameOf(item)}.`;
    const changed = before && await follow(before, turn, started);
    if (changed === null) {
      note(what); // another click took over
    } else if (changed) {
      note(what, `list changed after ${Math.round(changed)} ms`);
      byId("change").textContent = `${what} The list changed ${Math.round(changed)} ms after the click.`;
    } else {
      note(what);
      byId("change").textContent = `${what} The list has not changed within ${PATIENCE_MS / 1000} s: is near-line running?`;
    }
    showTrending();
  } catch (error) {
    complain(error);
  } finally {
    button.disabled = false;
  }
}

// Asks without a slot until the list is a newer one: looking is no impression. Milliseconds since the click, 0 where
// patience ended, null where another click came between.
async function follow(before, turn, started) {
  while (performance.now() - started < PATIENCE_MS) {
    const seen = await ask(recommendationsPath(state.user, {}));
    const after = performance.now() - started;
    if (turn !== state.turn) return null;
    if (Date.parse(seen.as_of) > Date.parse(before.as_of) && seen.source === "nearline") {
      const served = await fetchShown();
      if (turn !== state.turn) return null;
      show(served, before);
      return after;
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return 0;
}

function showRows(list, items, empty) {
  if (items.length) {
    list.replaceChildren(...items.map((item) => fill("row", item, {}, "")));
  } else {
    const line = document.createElement("li");
    line.className = "quiet";
    line.textContent = empty;
    list.replaceChildren(line);
  }
}

async function showTrending() {
  try {
    const query = new URLSearchParams({ window: state.window, k: SHELF_LENGTH });
    showRows(byId("trending"), (await ask(`/trending/?${query}`)).items, "Nothing in this window yet.");
  } catch (error) {
    showRows(byId("trending"), [], `${error.message}.`);
  }
}

async function openItem(item) {
  byId("item-title").textContent = nameOf(item);
  byId("item-about").textContent =
    [item.brand, item.categories.map(readable).join(" · "), item.price?.toFixed(2)].filter(Boolean).join(" — ");
  byId("similar").replaceChildren();
  if (!byId("item").open) byId("item").showModal();
  try {
    const found = await ask(`/items/${encodeURIComponent(item.item_id)}/similar/?k=${SIMILAR_LENGTH}`);
    showRows(byId("similar"), found.items, "This model knows nothing that goes with it.");
  } catch (error) {
    showRows(byId("similar"), [], `${error.message}.`);
  }
}

byId("item-close").addEventListener("click", () => byId("item").close());
byId("shopper-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const user = byId("shopper").value.trim();
  if (user) pick(user);
});
for (const button of document.querySelectorAll("[data-shopper]")) {
  button.addEventListener("click", () => pick(button.dataset.shopper));
}
document.querySelector("[data-new-shopper]").addEventListener("click", () => {
  pick(`visitor-${Math.random().toString(36).slice(2, 8)}`);
});
for (const button of document.querySelectorAll("[data-window]")) {
  button.addEventListener("click", () => {
    state.window = button.dataset.window;
    for (const other of document.querySelectorAll("[data-window]")) {
      other.setAttribute("aria-pressed", String(other === button));
    }
    showTrending();
  });
}
setInterval(tick, 200);
showTrending();
pick(new URLSearchParams(location.search).get("user") || byId("shopper").value);
