// The pages that show what there is: home, a category, and what a search finds.
import { listsOf, search } from "./api.js";
import { Shelf } from "./cards.js";
import { h } from "./dom.js";
import { cart, shopper } from "./shopper.js";
import { readable } from "./text.js";

export const heading = (text) => h("h1", { tabindex: "-1" }, text);

// Every page: its title, its elements and its shelves.
export function home() {
  const shelves = [
    new Shelf("home", "Recommended for you", { k: 12, wide: true, marked: true }),
    new Shelf("buy_again", "Buy it again", { k: 10, own: true }),
    new Shelf("recently_viewed", "Recently viewed", { k: 10 }),
    new Shelf("trending", "Rising now", { k: 10 }),
    new Shelf("best_sellers", "Best sellers", { k: 10 }),
    new Shelf("discover", "New to you", { k: 10 }),
  ];
  const who = shopper.id ? `Shopping as ${shopper.id}` : "Shopping without an id: nothing is stored";
  const greeting = h("h1", { tabindex: "-1", class: "greeting" }, who);
  return { title: "Shop", shelves, nodes: [greeting, ...shelves.map(({ node }) => node)] };
}

export function category(name) {
  const all = new Shelf("category", "In your order", { k: 60, wide: true, marked: true, more: { category: name } });
  const best = new Shelf("best_sellers", "Best sellers here", { k: 8, more: { category: name } });
  return { title: readable(name), shelves: [all, best], nodes: [heading(readable(name)), all.node, best.node] };
}

export async function found(words) {
  const { items, matches, total } = await search(words);
  const title = `${matches} found for “${words}”`;
  const said = matches > items.length ? `The first ${items.length} of them, among` : "Among";
  const node = h("p", { class: "quiet" }, `${said} ${total} items in the shop.`);
  if (!items.length) return { title, shelves: [], nodes: [heading(title), node, h("p", {}, "Try fewer words.")] };
  // What was found comes in the shopper's order.
  const shelf = new Shelf("search", "Best for you first", {
    k: items.length, wide: true, more: { items: items.map(({ item_id }) => item_id) },
  });
  return { title, shelves: [shelf], nodes: [heading(title), node, shelf.node] };
}

// One question for all shelves of a page. What is in the cart is not offered again.
export async function fill(page) {
  if (!page.shelves.length) return;
  const lists = await listsOf(page.shelves.map(({ request }) => request), Object.keys(cart()));
  for (const shelf of page.shelves) shelf.show(lists[shelf.request.slot]);
}
