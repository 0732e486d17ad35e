// The cart, and the order that it becomes.
import { tell } from "./acts.js";
import { itemsOf } from "./api.js";
import { pathOf, Shelf } from "./cards.js";
import { h } from "./dom.js";
import { heading } from "./pages.js";
import { pictureOf } from "./pictures.js";
import { cart, emptyCart, putInCart } from "./shopper.js";
import { money, nameOf } from "./text.js";

export async function cartPage() {
  const held = cart();
  const known = await itemsOf(Object.keys(held));
  const again = new Shelf("for_you", "You may also like", { k: 10 });
  if (!known.length) return { title: "Cart", shelves: [again], nodes: [heading("Your cart is empty"), again.node] };
  const together = new Shelf("bought_together", "Often bought together with it", {
    k: 8, otherwise: "Goes with it", more: { items: known.map(({ item_id }) => item_id) },
  });
  const last = new Shelf("cart", "Before you go", { k: 10 });
  const total = known.reduce((sum, item) => sum + (item.price || 0) * held[item.item_id].quantity, 0);
  const order = h("button", { type: "button", class: "primary order" }, `Order for ${money(total)}`);
  order.addEventListener("click", () => buy(order, known, held));
  return {
    title: "Cart",
    shelves: [together, last],
    nodes: [
      heading("Your cart"),
      h("ul", { class: "lines" }, known.map((item) => lineOf(item, held[item.item_id].quantity))),
      h("p", { class: "total" }, h("span", {}, "Total"), h("b", {}, money(total))),
      order,
      together.node,
      last.node,
    ],
  };
}

function lineOf(item, quantity) {
  const change = (to, sign, words) => {
    const said = { type: "button", "aria-label": `${words}: ${nameOf(item)}` };
    return h("button", { ...said, onclick: () => putInCart(item.item_id, to) }, sign);
  };
  return h(
    "li", { class: "line", "data-item": item.item_id },
    h("div", { class: "tile small" }, pictureOf(item)),
    h("a", { href: pathOf(item), class: "title" }, nameOf(item)),
    h(
      "span", { class: "quantity" },
      change(quantity - 1, "−", "One less"), h("b", {}, String(quantity)), change(quantity + 1, "+", "One more"),
    ),
    h("span", { class: "price" }, money(item.price === null ? null : item.price * quantity)),
    change(0, "Remove", "Remove"),
  );
}

// All lines of an order have one order id. An order that failed keeps the cart and its id, and can be sent again.
let orderId = "";

async function buy(button, known, held) {
  button.disabled = true;
  orderId ||= crypto.getRandomValues(new Uint32Array(3)).join("-");
  const events = known.map(({ item_id, price }) => {
    const { quantity, request_id, position } = held[item_id];
    const line = { item_id, order_id: orderId, quantity, value: price ?? undefined };
    return { event_type: "purchase", ...line, request_id, position };
  });
  const names = known.length === 1 ? nameOf(known[0]) : `${known.length} items`;
  const told = tell(events, `You bought ${names}`);
  try {
    await told;
  } catch {
    button.disabled = false;
    return;
  }
  const path = `#/order/${orderId}`;
  orderId = "";
  emptyCart();
  location.hash = path;
}

export function ordered(id) {
  const again = new Shelf("for_you", "Next time, perhaps", { k: 12, wide: true, marked: true });
  return {
    title: "Thank you",
    shelves: [again],
    nodes: [
      heading("Thank you"),
      h("p", { class: "quiet" }, `Your order has the number ${id}. It is a trial: nothing will be sent.`),
      again.node,
    ],
  };
}
