// The shop's own calls. A page may call before this script is there:
// `(window.sagestream ||= []).push(["view", "sku-9"])`.
function login(user_id, proof) {
  if (!visitor || visitor.user == user_id) return;
  const from = named(); // what was done before belongs to the id before
  visitor.user = user_id + "";
  keep();
  out.push({ path: "track/", body: { user_id: from, events: [], login: { user_id: visitor.user, proof } }, tries: 0 });
  send();
}

// The next person at this browser is somebody else.
function logout() {
  sendAtEnd();
  const known = visitor;
  consent(false);
  if (known) consent(true);
}

const api = {
  view: track.bind(0, "view"), click: track.bind(0, "click"), cart: track.bind(0, "cart"),
  order, slot, refresh, watch, login, logout, dataLayer, segment, visitor: named,
  consent: given => (consent(given), refresh()),
  push: (...all) => all.forEach(([name, ...rest]) => api[name](...rest))
};

if (asked == "ask") visitor = recall();
else consent(asked == "yes");
const { sagestream: calls = [] } = window;
window.sagestream = api;
api.push(...calls);
if (layers.includes("ga4")) dataLayer();
if (layers.includes("segment")) segment();
if (document.readyState == "loading") addEventListener("DOMContentLoaded", refresh);
else refresh();
