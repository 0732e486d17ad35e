// Who shops here. Without consent nobody: no id is made, nothing is stored, no event is sent. What was done on this
// page is then known to this page alone (`session`), and goes with the question for a list, which the server forgets.
const script = document.currentScript;
const { consent: asked = "ask", currency, layers = "" } = script.dataset;
const STORED = "sagestream";
const MOST = 50; // of what is remembered, and of events in one message

// visitor: { id, user?, led: { item_id: { request_id, position, user_id } } }
let visitor = null, session = [], token; // the token of the user is not stored: each page brings it

const random = () => crypto.getRandomValues(new Uint32Array(4)).join("-");
const named = () => visitor ? visitor.user || visitor.id : "";
const warn = console.warn.bind(0, "sagestream:");

function recall() {
  try {
    const found = JSON.parse(localStorage[STORED]);
    return found.id && found.led && found;
  } catch {
    return null; // nothing is there, or this browser stores nothing
  }
}

function keep() {
  try {
    if (visitor) localStorage[STORED] = JSON.stringify(visitor);
    else delete localStorage[STORED];
  } catch {
    visitor = null; // a browser that stores nothing would be another visitor on each page
  }
}

function consent(given) {
  visitor = given ? visitor || recall() || { id: "anon-" + random(), led: {} } : null;
  if (!given) out.length = 0;
  session = []; // what was done before is not told afterwards
  keep();
}

// Which list led to an item: its cart and its order may come pages later.
function remember(item_id, place) {
  delete visitor.led[item_id];
  visitor.led = Object.fromEntries([...Object.entries(visitor.led), [item_id, place]].slice(-MOST));
  keep();
}
