// Pictures: drawn from what is known of an item, because a trial shop has no photographs and loads nothing from
// elsewhere. Things of one category have one shape and one colour; the item decides about the label.
import { svg } from "./dom.js";
import { hashOf, initialsOf, nameOf } from "./text.js";

// Packages, of which each may hold anything, on 120 × 90: the outline, what is darker on it, the middle of the label.
const SHAPES = [
  {
    label: 58,
    body: "M40 36 48 22h24l8 14v44H40z",
    dark: "M48 14h24v8H48zM40 36h40l-2-4H42z",
  },
  {
    label: 58,
    body: "M53 12h14v13c0 6 9 9 9 20v29a6 6 0 0 1-6 6H50a6 6 0 0 1-6-6V45c0-11 9-14 9-20z",
    dark: "M52 8h16v7H52z",
  },
  {
    label: 55,
    body: "M43 28h34c4 2 6 5 6 10v34a8 8 0 0 1-8 8H45a8 8 0 0 1-8-8V38c0-5 2-8 6-10z",
    dark: "M41 16h38v11H41z",
  },
  {
    label: 52,
    body: "M42 20v54c0 4 8 7 18 7s18-3 18-7V20z",
    dark: "M42 20c0-4 8-7 18-7s18 3 18 7-8 7-18 7-18-3-18-7z",
  },
  {
    label: 52,
    body: "M40 20c13 4 27 4 40 0 2 20 4 38 4 56-16 5-32 5-48 0 0-18 2-36 4-56z",
    dark: "M39 14c14 4 28 4 42 0l-1 8c-13 4-27 4-40 0z",
  },
  {
    label: 56,
    body: "M36 30h48v50H36z",
    dark: "M36 30l10-14h28l10 14zM57 16h6v14h-6z",
  },
  {
    label: 54,
    body: "M46 22h28l5 58H41z",
    dark: "M48 10h24v12H48z",
  },
  {
    label: 62,
    body: "M30 44h60l-6 32a5 5 0 0 1-5 4H41a5 5 0 0 1-5-4z",
    dark: "M27 36h66v8H27z",
  },
];
const HUES = [208, 28, 128, 336, 46, 266, 184, 8, 78, 302, 160, 232];

// The largest categories look different from each other. What comes after them looks as chance will have it.
let large = [];
export const largest = (names) => { large = names.slice(0, HUES.length); };

function chosen(from, kind) {
  const place = large.indexOf(kind);
  return from[(place < 0 ? hashOf(kind) : place) % from.length];
}

export function pictureOf(item) {
  const kind = (item.categories || []).at(-1) || item.brand || item.item_id; // the narrowest category
  const { body, dark, label } = chosen(SHAPES, kind);
  const own = hashOf(item.item_id);
  const height = 13 + (own % 3) * 3;
  const node = svg(
    "svg", { viewBox: "0 0 120 90", class: "picture", "aria-hidden": "true", focusable: "false" },
    svg("rect", { class: "ground", width: 120, height: 90 }),
    svg("ellipse", { class: "shadow", cx: 60, cy: 81, rx: 34, ry: 4 }),
    svg("path", { class: "body", d: body }),
    svg("path", { class: "dark", d: dark }),
    svg("rect", { class: "label", x: 45, y: label - height / 2, width: 30, height, rx: own % 2 ? 2 : height / 2 }),
    svg("text", { class: "letters", x: 60, y: label + 3.6, "text-anchor": "middle" }, initialsOf(nameOf(item))),
  );
  // Set by script, not in the markup, which the page's policy forbids.
  node.style.setProperty("--hue", String(chosen(HUES, kind)));
  node.style.setProperty("--turn", String((own % 5) * 5 - 10));
  return node;
}
