// Who shops, and what is in the cart. Nobody has an id: then what was done is known to this page alone.
const KEPT = 50;

const asked = new URLSearchParams(location.search);
export const shopper = { id: asked.has("user") ? asked.get("user") : document.body.dataset.shopper };

const done = []; // of a shopper without an id
const led = new Map(); // by item: the list that led to it

export const session = () => done.slice(-KEPT);
export const remember = (event_type, item_id) => done.push({ event_type, item_id });

export const ledTo = (itemId) => led.get(itemId) || {};
export const cameFrom = (itemId, place) => led.set(itemId, place);

export const newVisitor = () => `visitor-${crypto.getRandomValues(new Uint32Array(1))[0].toString(36)}`;

export function become(id) {
  shopper.id = id;
  done.length = 0;
  led.clear();
  history.replaceState(null, "", `?${new URLSearchParams({ user: id })}${location.hash || "#/"}`);
}

// The cart: what is in it by item id, in the order in which it came.
const key = () => `cart of ${shopper.id}`;

export const cart = () => JSON.parse(sessionStorage.getItem(key()) || "{}");

export function putInCart(itemId, quantity) {
  const held = cart();
  if (quantity > 0) held[itemId] = { quantity, ...ledTo(itemId), ...held[itemId], ...{ quantity } };
  else delete held[itemId];
  sessionStorage.setItem(key(), JSON.stringify(held));
  dispatchEvent(new Event("cart"));
}

export function emptyCart() {
  sessionStorage.removeItem(key());
  dispatchEvent(new Event("cart"));
}

export const pieces = () => Object.values(cart()).reduce((sum, { quantity }) => sum + quantity, 0);
