// What the shop asks of the server.
import { session, shopper } from "./shopper.js";

export async function ask(path, options) {
  const response = await fetch(path, { headers: { Accept: "application/json" }, ...options });
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.detail || `the server answered ${response.status}`);
  return body;
}

const post = (path, body, headers) =>
  ask(path, {
    method: "POST",
    headers: { Accept: "application/json", "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
  });

// The lists of a page, by slot: one question, so that no item stands in two of them. Without an id, only the session in
// the question counts, and the server keeps nothing.
export async function listsOf(slots, cart) {
  const who = shopper.id ? { user_id: shopper.id } : { session: session() };
  return (await post("/recommendations/", { ...who, slots, cart, explain: true })).lists;
}

// The shopper's list as it is, without a slot: looking at it is no impression.
export const plainList = () => ask(`/recommendations/${encodeURIComponent(shopper.id)}/?k=12`);

export const search = (words) => ask(`/shop/search/?${new URLSearchParams({ q: words })}`);

export async function itemsOf(ids) {
  if (!ids.length) return [];
  return (await ask(`/shop/items/?${new URLSearchParams(ids.map((id) => ["id", id]))}`)).items;
}

export const categories = async () => (await ask("/categories/")).categories;

export const sendEvent = (event) =>
  post("/shop/events/", { user_id: shopper.id, ...event }, { "X-CSRFToken": document.body.dataset.csrf });
