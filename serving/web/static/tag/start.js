// The shop's own calls. A page may call before this script is there:
// `(window.sagestream ||= []).push(["view", "sku-9"])`.
// The shop's server vouches for its user by a token, on each page; the visitor of before is told once.
function login(user_id, proof) {
  token = proof;
  if (!visitor || visitor.user == user_id) return;
  visitor.user = user_id + "";
  visitor.led = {};
  keep();
  add("track/", { user_id: visitor.user, token, anonymous_id: visitor.id });
}

// The next person at this browser is somebody else.
function logout() {
  if (!visitor) return;
  sendAtEnd();
  consent(); // forgets
  consent(true);
}

const api = {
  view: track.bind(0, "view"), click: track.bind(0, "click"), cart: track.bind(0, "cart"),
  order, slot, refresh, watch, login, logout, dataLayer, segment, visitor: named,
  consent: given => (consent(given), refresh()),
  push: (...all) => all.forEach(([name, ...rest]) => api[name](...rest))
};

asked == "ask" ? visitor = recall() : consent(asked == "yes");
const { sagestream: calls = [] } = window;
window.sagestream = api;
api.push(...calls);
for (const name of layers.match(/\w+/g) || []) api[name]();
document.readyState == "loading" ? addEventListener("DOMContentLoaded", refresh) : refresh();
