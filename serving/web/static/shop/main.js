// The shop: shows the page that the address names, and keeps its lists current.
import { complain } from "./acts.js";
import { categories } from "./api.js";
import { cartPage, ordered } from "./checkout.js";
import { byId, h } from "./dom.js";
import { categoryPath, item } from "./item.js";
import { category, fill, found, home } from "./pages.js";
import { largest } from "./pictures.js";
import { pieces } from "./shopper.js";
import { ago, readable } from "./text.js";
import "./who.js";

const PAGES = { "": home, category, search: found, item, cart: cartPage, order: ordered };
const MENU = 12;
const RETRY_MS = 3000;

let page = null;
let turn = 0;

async function show(moved) {
  const mine = ++turn;
  const [, name = "", argument = ""] = location.hash.split("/");
  const main = byId("main");
  main.setAttribute("aria-busy", "true");
  try {
    const next = await (PAGES[name] || home)(decodeURIComponent(argument));
    if (mine !== turn) return;
    page = next;
    main.replaceChildren(...next.nodes);
    document.title = `${next.title} – Sagestream shop`;
    for (const link of byId("menu").querySelectorAll("a")) {
      if (link.hash === location.hash) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    if (moved) {
      scrollTo(0, 0);
      main.querySelector("h1").focus({ preventScroll: true });
      next.opened?.();
    }
    await fill(next);
    complain(null);
    current();
  } catch (error) {
    if (mine !== turn) return;
    complain(error);
    setTimeout(() => mine === turn && show(moved), RETRY_MS); // a first model may be on its way
  } finally {
    if (mine === turn) main.setAttribute("aria-busy", "false");
  }
}

// The lists of the page follow what was done; the page itself stays where it is.
async function changed() {
  const shown = page;
  await fill(shown).catch(complain);
  if (shown === page) current();
}

function current() {
  const list = page.shelves[0]?.shown;
  byId("facts").hidden = !list;
  if (!list) return;
  byId("source").textContent = list.degraded ? `${list.source} (${list.degraded})` : list.source;
  byId("model").textContent = list.model_version || "none";
  byId("age").dataset.time = list.as_of;
  tick();
}

function tick() {
  const { time } = byId("age").dataset;
  if (time) byId("age").textContent = ago(time);
}

function count() {
  const held = pieces();
  byId("pieces").textContent = String(held);
  byId("cart-open").setAttribute("aria-label", `Cart, ${held} ${held === 1 ? "piece" : "pieces"}`);
}

async function menu() {
  const known = await categories();
  largest(known.map(({ category: name }) => name));
  byId("menu").replaceChildren(...known.slice(0, MENU).map(
    ({ category: name }) => h("li", {}, h("a", { href: categoryPath(name) }, readable(name))),
  ));
}

byId("search-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const words = byId("search").value.trim();
  if (words) location.hash = `#/search/${encodeURIComponent(words)}`;
});
addEventListener("hashchange", () => show(true));
addEventListener("shopper", () => { count(); show(true); });
addEventListener("changed", changed);
addEventListener("cart", () => { count(); if (location.hash === "#/cart") show(false); });
// The address names the page, so the link to its text cannot be followed as others are.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("main").focus();
});
setInterval(tick, 500);
count();
await menu().catch(complain); // the pictures know by it which categories are large
show(location.hash.startsWith("#/item/"));
