// Refreshes the middle of a page through htmx while somebody looks at it, and tells how old its figures are.
// The server answers 204 when nothing is new, so a table stays as it is under the reader's eyes.
"use strict";

const STORED_PAUSE = "dashboard-paused";
const trouble = document.getElementById("trouble");
let shownAt = performance.now(); // when the figures came
let askedAt = performance.now();
let kept = null; // what the reader had opened, while the middle is replaced

const main = () => document.getElementById("page");
const isPaused = () => sessionStorage.getItem(STORED_PAUSE) === "yes";

function words(seconds) {
  for (const [length, name] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (seconds >= length) return `${Math.floor(seconds / length)}\u202f${name} ago`;
  }
  return seconds < 1 ? "now" : `${Math.floor(seconds)}\u202fs ago`;
}

function tellAge() {
  const age = document.querySelector("[data-age]");
  if (!age) return;
  const seconds = Number(age.dataset.age) + (performance.now() - shownAt) / 1000;
  const time = age.querySelector("time");
  const text = words(seconds);
  if (time.textContent !== text) time.textContent = text;
  age.classList.toggle("old", seconds > Number(age.dataset.old));
}

function isBusy() {
  const focused = document.activeElement;
  const selected = document.getSelection();
  return (focused && main().contains(focused) && focused.matches("input, select, textarea")) ||
    (selected && !selected.isCollapsed);
}

function refresh(force) {
  const page = main();
  const pause = Number(page.dataset.refresh) * 1000;
  if (!pause || isPaused() || document.hidden || isBusy()) return;
  if (!force && performance.now() - askedAt < pause) return;
  askedAt = performance.now();
  htmx.trigger(page, "again");
}

function showPause() {
  for (const button of document.querySelectorAll("[data-pause]")) {
    button.hidden = false;
    button.setAttribute("aria-pressed", String(isPaused()));
  }
}

function say(text) {
  trouble.textContent = text;
  trouble.hidden = !text;
}

document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-pause]")) return;
  sessionStorage.setItem(STORED_PAUSE, isPaused() ? "no" : "yes");
  showPause();
  refresh(true);
});

document.addEventListener("visibilitychange", () => refresh(false));

document.body.addEventListener("htmx:afterRequest", (event) => {
  const status = event.detail.xhr.status;
  if (event.detail.successful) say("");
  else if (status === 503) say("Redis cannot be read: the figures below are the last ones that came.");
  else if (status === 0) say("The web server does not answer: the figures below are the last ones that came.");
  else if (status !== 401) say(`The figures cannot be refreshed (${status}).`);
});

document.body.addEventListener("htmx:beforeSwap", () => {
  kept = {
    open: [...document.querySelectorAll("main details[open]")].map((one) => one.id),
    focused: main().contains(document.activeElement) ? pathOf(document.activeElement) : null,
    across: [...document.querySelectorAll("main .scroll")].map((one) => one.scrollLeft),
  };
});

document.body.addEventListener("htmx:afterSwap", () => {
  shownAt = performance.now();
  for (const id of kept?.open ?? []) document.getElementById(id)?.setAttribute("open", "");
  document.querySelectorAll("main .scroll").forEach((one, place) => { one.scrollLeft = kept?.across[place] ?? 0; });
  if (kept?.focused) elementAt(kept.focused)?.focus({ preventScroll: true });
  showPause();
  tellAge();
});

// Where an element is in the middle of the page: the new middle has the same shape, unless its figures are others.
function pathOf(element) {
  const path = [];
  for (let one = element; one !== main(); one = one.parentElement) path.unshift([...one.parentElement.children].indexOf(one));
  return path;
}

function elementAt(path) {
  return path.reduce((one, place) => one?.children[place], main());
}

showPause();
setInterval(() => { tellAge(); refresh(false); }, 1000);
