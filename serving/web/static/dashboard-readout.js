// Tells the figures of a chart at the pointer, or at the place that the arrow keys choose. The figures come from the
// table behind the chart, on the page or on its own page, so they are the very texts of the server.
"use strict";

const HINT = "Point at the chart, or choose a time with the arrow keys, to read its figures.";
const SVG = "http://www.w3.org/2000/svg";
const figures = new WeakMap(); // chart → promise of {names, rows, start, end}
const places = new WeakMap(); // chart → index of the row that is told

async function tableOf(chart) {
  const where = chart.dataset.figures;
  if (where.startsWith("#")) return document.querySelector(`${where} table`);
  const answer = await fetch(where, { headers: { "HX-Request": "true" } });
  if (!answer.ok) throw new Error(`${answer.status}`);
  return new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("table");
}

async function read(chart) {
  const table = await tableOf(chart);
  const cell = (one) => [...one.children].map((part) => part.textContent.trim()).filter(Boolean).join(", ") || one.textContent.trim();
  const names = [...table.querySelectorAll("thead th")].slice(1).map((one) => one.textContent);
  const rows = [...table.querySelectorAll("tbody tr")].reverse().map((row) => {
    const [time, ...cells] = [...row.children].map(cell);
    return { time, at: Date.parse(time.replace(" UTC", "Z").replace(" ", "T")), cells };
  });
  let [start, end] = [rows[0].at, rows[rows.length - 1].at];
  if (chart.querySelector(".plot .bars")) { // half a bar stands on each side of its time
    const half = (end - start) / Math.max(1, 2 * rows.length - 2) || 1;
    [start, end] = [start - half, end + half];
  }
  return { names, rows, start, end };
}

function known(chart) {
  if (!figures.has(chart)) figures.set(chart, read(chart));
  return figures.get(chart);
}

async function tell(chart, choose) {
  const output = chart.parentElement.querySelector(".readout");
  let found;
  try {
    found = await known(chart);
  } catch {
    figures.delete(chart); // the next try asks again
    output.textContent = "The figures cannot be read now.";
    return;
  }
  const place = Math.min(found.rows.length - 1, Math.max(0, choose(found, places.get(chart) ?? found.rows.length)));
  places.set(chart, place);
  const row = found.rows[place];
  output.textContent = `${row.time} · ${found.names.map((name, number) => `${name}: ${row.cells[number]}`).join(" · ")}`;
  const x = found.end > found.start ? (10000 * (row.at - found.start)) / (found.end - found.start) : 5000;
  const plot = chart.querySelector(".plot");
  const cursor = plot.querySelector(".cursor") ?? plot.appendChild(document.createElementNS(SVG, "path"));
  cursor.setAttribute("class", "cursor");
  cursor.setAttribute("d", `M${Math.round(x)} 0v1000`);
}

function nearest(at) {
  return ({ rows }) => rows.reduce((best, row, place) => (Math.abs(row.at - at) < Math.abs(rows[best].at - at) ? place : best), 0);
}

document.addEventListener("pointermove", (event) => {
  const plot = event.target.closest?.(".plot");
  if (!plot) return;
  const box = plot.getBoundingClientRect();
  const share = (event.clientX - box.left) / box.width;
  tell(plot.closest(".chart"), (found) => nearest(found.start + share * (found.end - found.start))(found));
});

document.addEventListener("keydown", (event) => {
  const chart = event.target.closest?.(".chart");
  const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -30, PageDown: 30, Home: -Infinity, End: Infinity }[event.key];
  if (!chart || step === undefined) return;
  event.preventDefault();
  tell(chart, (_, place) => place + step);
});

function makeReachable() {
  for (const chart of document.querySelectorAll(".chart")) {
    chart.tabIndex = 0;
    chart.parentElement.querySelector(".readout").textContent = HINT;
  }
}

document.body.addEventListener("htmx:afterSwap", makeReachable);
makeReachable();
