// Why this item: the reason on its card, and the evidence behind it, as the server has computed it.
import { h, byId } from "./dom.js";
import { nameOf, readable } from "./text.js";

const said = (reason) => (reason || "").replace(/^goes with (.*)$/s, (_, title) => `goes with ${readable(title)}`);

export function whyButton(item, list) {
  if (!item.reason && !item.evidence) return null;
  const text = said(item.reason) || "why this?";
  return h("button", { type: "button", class: "why", "aria-label": `Why ${nameOf(item)}? ${text}`, onclick: () => explain(item, list) }, text);
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
  byId("why-evidence").replaceChildren(...Object.entries(item.evidence || {}).map(([name, found]) => evidence(name, found)));
  byId("why").showModal();
}

// Evidence is drawn by its form, so that a new kind of it is shown without a change here.
function evidence(name, found) {
  const title = h("h3", {}, readable(name.replaceAll("_", " ")));
  if (Array.isArray(found)) return h("section", {}, title, h("ul", {}, found.map((one) => h("li", {}, worded(one)))));
  if (found !== null && typeof found === "object") return h("section", {}, title, bars(Object.entries(found)));
  return h("section", {}, title, h("p", {}, worded(found)));
}

function worded(one) {
  if (one === null || typeof one !== "object") return typeof one === "number" ? one.toFixed(2) : String(one);
  return Object.entries(one).map(([name, value]) => `${name.replaceAll("_", " ")} ${worded(value)}`).join(", ");
}

function bars(entries) {
  const numbers = entries.filter(([, value]) => typeof value === "number");
  const most = Math.max(...numbers.map(([, value]) => Math.abs(value)), 1e-9);
  return h("ul", { class: "bars" }, entries.map(([name, value]) => {
    if (typeof value !== "number") return h("li", {}, `${name} ${worded(value)}`);
    const bar = h("meter", { min: 0, max: most, value: Math.abs(value), class: value < 0 ? "less" : null });
    return h("li", {}, h("span", {}, readable(name.replaceAll("_", " "))), bar, h("span", { class: "number" }, value.toFixed(2)));
  }));
}

byId("why-close").addEventListener("click", () => byId("why").close());
