// The shopper switch: anybody who is known, somebody new, or nobody with an id.
import { byId } from "./dom.js";
import { become, newVisitor, shopper } from "./shopper.js";

const dialog = byId("who");

function show() {
  byId("who-open").textContent = shopper.id || "nobody";
  for (const button of dialog.querySelectorAll("[data-shopper]")) {
    button.setAttribute("aria-pressed", String(button.dataset.shopper === shopper.id));
  }
}

function choose(id) {
  dialog.close();
  become(id);
  show();
  dispatchEvent(new Event("shopper"));
}

byId("who-open").addEventListener("click", () => dialog.showModal());
byId("who-close").addEventListener("click", () => dialog.close());
byId("who-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const id = byId("who-id").value.trim();
  if (id) choose(id);
});
for (const button of dialog.querySelectorAll("[data-shopper]")) {
  button.addEventListener("click", () => choose(button.dataset.shopper));
}
byId("who-new").addEventListener("click", () => choose(newVisitor()));
byId("who-nobody").addEventListener("click", () => choose(""));
show();
