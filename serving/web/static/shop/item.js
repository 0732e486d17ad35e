// The page of one item, with what is like it and what goes with it.
import { act } from "./acts.js";
import { itemsOf } from "./api.js";
import { cartButton, Shelf } from "./cards.js";
import { h } from "./dom.js";
import { heading } from "./pages.js";
import { pictureOf } from "./pictures.js";
import { ledTo } from "./shopper.js";
import { money, nameOf, readable } from "./text.js";

export const categoryPath = (name) => `#/category/${encodeURIComponent(name)}`;

export async function item(itemId) {
  const [known] = await itemsOf([itemId]);
  if (!known) {
    return { title: "Unknown", shelves: [], nodes: [heading("No such item"), h("p", {}, `Nobody knows ${itemId}.`)] };
  }
  const more = { items: [itemId] };
  const together = new Shelf("bought_together", "Bought together with it", { k: 6, otherwise: "Goes with it", more });
  const similar = new Shelf("similar", "Similar items", { k: 12, more });
  const facts = Object.entries(known.attributes).map(([name, value]) => h("li", {}, `${readable(name)}: ${value}`));
  const paths = known.categories.flatMap((name, place) => [
    place ? " · " : "", h("a", { href: categoryPath(name) }, readable(name)),
  ]);
  const stock = !known.available ? "Sold out" : known.stock === null ? "In stock" : `${known.stock} in stock`;
  return {
    title: nameOf(known),
    shelves: [together, similar],
    // The event of the page itself: it was looked at, from whichever list.
    opened: () => act("view", known, ledTo(itemId)),
    nodes: [
      h(
        "article", { class: "item" },
        h("div", { class: "tile large" }, pictureOf(known)),
        h(
          "div", { class: "about" },
          h("p", { class: "category" }, paths),
          heading(nameOf(known)),
          h("p", { class: "brand-name" }, known.brand),
          h("p", { class: "price" }, money(known.price)),
          h("p", { class: known.available ? "stock" : "stock out" }, stock),
          facts.length ? h("ul", { class: "facts" }, facts) : null,
          cartButton(known, ledTo(itemId), { class: "to-cart primary", disabled: !known.available }),
        ),
      ),
      together.node,
      similar.node,
    ],
  };
}
