// Why this item: the reason on its card, and the evidence behind it, as the server has computed it.
import { h, byId } from "./dom.js";
import { nameOf, readable } from "./text.js";

const said = (reason) => (reason || "").replace(/^goes with (.*)$/s, (_, title) => `goes with ${readable(title)}`);

export function whyButton(item, list) {
  if (!item.reason && !item.evidence) return null;
  const text = said(item.reason) || "why this?";
  const named = { type: "button", class: "why", "aria-label": `Why ${nameOf(item)}? ${text}` };
  return h("button", { ...named, onclick: () => explain(item, list) }, text);
}

const fact = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));

function explain(item, list) {
  byId("why-title").textContent = `Why ${nameOf(item)}?`;
  byId("why-facts").replaceChildren(
    fact("reason", said(item.reason) || "none"),
    fact("place", `${item.position + 1} of ${list.items.length}`),
    fact("source", item.source),
    fact("score", item.score.toFixed(2)),
    ...(item.propensity < 1 ? [fact("chance of this place", `${(item.propensity * 100).toFixed(1)} %`)] : []),
    fact("model", list.model_version || "none"),
    ...(list.variant && list.variant !== "champion" ? [fact("variant", list.variant)] : []),
    ...(list.degraded ? [fact("lacks", list.degraded)] : []),
  );
  byId("why-evidence").replaceChildren(...(item.evidence ? evidence(item.evidence, nameOf(item)) : []));
  byId("why").showModal();
}

const DID = { view: "looked at", click: "opened", cart: "put in the cart", purchase: "bought", rating: "rated" };
const percent = (share) => `${Math.round(share * 100)} %`;
const part = (title, ...children) => h("section", {}, h("h3", {}, title), children);

function evidence({ because, path, terms, rules }, name) {
  const carrier = path && because.find(({ item_id }) => item_id === path.item_id);
  const walked = path && `${path.shoppers} who bought ${nameOf(carrier || path)} bought ${name}.`;
  return [
    because.length && part("What you did that speaks for it", bars(
      because.map((one) => [`${DID[one.event_type]} ${nameOf(one)}`, one.share, percent(one.share)]),
    )),
    path && part("The path in the graph", h("p", {}, walked)),
    Object.keys(terms).length && part("The score, term by term", bars(
      Object.entries(terms).map(([term, value]) => [term.replaceAll("_", " "), value, value.toFixed(2)]),
    )),
    rules.length && part("Rules of the shop that touched it", h("p", {}, rules.join(", "))),
  ].filter(Boolean);
}

function bars(lines) {
  const most = Math.max(...lines.map(([, value]) => Math.abs(value)), 1e-9);
  return h("ul", { class: "bars" }, lines.map(([said, value, written]) => {
    const bar = h("i", { class: value < 0 ? "less" : null });
    bar.style.setProperty("--share", String(Math.abs(value) / most));
    return h("li", {}, h("span", {}, said), bar, h("span", { class: "number" }, written));
  }));
}

byId("why-close").addEventListener("click", () => byId("why").close());
