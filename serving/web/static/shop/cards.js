// Cards and shelves: how lists look, and what of them was truly seen.
import { h } from "./dom.js";
import { act } from "./acts.js";
import { pictureOf } from "./pictures.js";
import { cameFrom, cart, putInCart } from "./shopper.js";
import { money, nameOf, readable } from "./text.js";
import { whyButton } from "./why.js";

export const pathOf = (item) => `#/item/${encodeURIComponent(item.item_id)}`;

// Adds one piece. The button says it to those who do not look.
export function cartButton(item, place, options) {
  const said = { type: "button", class: "to-cart", "aria-label": `Add to cart: ${nameOf(item)}` };
  const button = h("button", { ...said, ...options }, "Add to cart");
  button.addEventListener("click", () => {
    if (place.request_id) cameFrom(item.item_id, place);
    putInCart(item.item_id, (cart()[item.item_id]?.quantity || 0) + 1);
    button.textContent = "In the cart";
    setTimeout(() => { button.textContent = "Add to cart"; }, 1500);
    act("cart", item, place);
  });
  return button;
}

function opened(item, place) {
  if (!place.request_id) return;
  cameFrom(item.item_id, place);
  act("click", item, place);
}

export function cardOf(item, list, mark) {
  const place = list.request_id ? { request_id: list.request_id, position: item.position } : {};
  const category = (item.categories || []).map(readable).join(" · ");
  const link = h("a", { href: pathOf(item), title: nameOf(item), onclick: () => opened(item, place) }, nameOf(item));
  const card = h(
    "li", { class: mark ? "card moved" : "card" },
    h("div", { class: "tile" }, pictureOf(item), mark && h("span", { class: "mark" }, mark)),
    h(
      "div", { class: "about" },
      h("p", { class: "category" }, category || item.brand || ""),
      h("h3", { class: "title" }, link),
      h("p", { class: "price" }, money(item.price)),
      whyButton(item, list),
    ),
    cartButton(item, place),
  );
  // The tag of this very server says what was in view for a second.
  if (list.user_id) window.sagestream?.watch(card, { ...place, user_id: list.user_id });
  return card;
}

function marksSince(before, after) {
  if (!before) return [];
  const places = new Map(before.items.map((item) => [item.item_id, item.position]));
  return after.items.map((item) => {
    const place = places.get(item.item_id);
    if (place === undefined) return "new";
    return place > item.position ? `▲ ${place - item.position}` : "";
  });
}

// A place of the page for one slot. `wide` is a grid; else it is a row that scrolls sideways.
export class Shelf {
  constructor(slot, title, { k, wide = false, marked = false, own = false, otherwise = title, more = {} }) {
    this.request = { slot, k, ...more };
    this.marked = marked;
    this.own = own; // hidden where nothing but its fallback would be shown
    this.titles = [title, otherwise]; // where it begins with its own kind, and where with its fallback
    this.shown = null;
    this.list = h("ol", { class: wide ? "cards" : "cards row", "aria-busy": "true" });
    this.source = h("span", { class: "source" });
    const id = `shelf-${slot}`;
    this.title = h("h2", { id }, title);
    this.node = h(
      "section", { class: "shelf", "aria-labelledby": id, "data-slot": slot },
      h("div", { class: "heading" }, this.title, this.source), this.list,
    );
  }

  show(list) {
    const marks = this.marked ? marksSince(this.shown, list) : [];
    this.list.replaceChildren(...list.items.map((item, place) => cardOf(item, list, marks[place])));
    this.list.setAttribute("aria-busy", "false");
    this.source.textContent = list.degraded ? `${list.source}, degraded` : list.source;
    this.source.title = list.degraded || "";
    const byKind = list.source === this.request.slot;
    this.title.textContent = this.titles[byKind ? 0 : 1];
    this.node.hidden = !list.items.length || (this.own && !byKind);
    this.shown = list;
  }
}
