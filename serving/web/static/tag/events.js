// Messages leave in small groups, and wait while the server cannot take them. Each event has its own id, so one that
// arrives twice counts once.
const GROUP_MS = 300, RETRY_MS = 3000, RETRIES = 9;

const out = []; // { path, body, list: the list in the body that grows, key: what may grow together, tries }
let timer = 0;

const url = path => new URL(path, script.src);

// A string goes as text/plain, which a page of another origin may send without asking first (CORS).
// It outlives its page.
const post = (path, body) =>
  fetch(url(path), { method: "POST", body: JSON.stringify(body), credentials: "omit", keepalive: true });

function add(path, head, name, ...entries) {
  const key = path + JSON.stringify(head);
  let message = out.find(one => one.key == key && one.list.length < MOST);
  if (!message) {
    const list = [];
    out.push(message = { key, path, list, body: { ...head, ...(name && { [name]: list }) }, tries: 0 });
  }
  message.list.push(...entries);
  timer ||= setTimeout(send, GROUP_MS);
}

function send() {
  timer = 0;
  for (const message of out.splice(0)) {
    post(message.path, message.body).then(answer => {
      if (answer.status == 429 || answer.status > 499) throw answer.status;
      // Refused, or some events of it: each says why.
      answer.text().then(text => /"reason|"detail/.test(text) && warn(text));
    }).catch(error => {
      if (++message.tries > RETRIES) return warn(error);
      out.push(message);
      timer ||= setTimeout(send, RETRY_MS);
    });
  }
}

// Before the page goes: a beacon outlives it, and has no answer. What the browser's queue does not take stays.
function sendAtEnd() {
  out.push(...out.splice(0).filter(({ path, body }) => !navigator.sendBeacon(url(path), JSON.stringify(body))));
}

function track(event_type, item_id, more = {}) {
  item_id += "";
  if (!visitor) return void (session = [...session, { event_type, item_id }].slice(-MOST));
  // A list vouches for the shopper for whom it was made, who may have logged in since.
  const { request_id, position, user_id = named(), ...rest } = { ...visitor.led[item_id], ...more };
  if (more.request_id) remember(item_id, { request_id, position, user_id });
  add("track/", { user_id, token: user_id == visitor.user ? token : undefined }, "events", {
    event_id: random(), event_type, item_id, request_id, position, ...rest
  });
}

// The page of a finished order may be opened again: the same line of an order has the same id.
function order(order_id, lines) {
  order_id += "";
  lines.forEach(({ item_id, ...line }, place) =>
    track("purchase", item_id, { ...line, order_id, event_id: (order_id + "." + place).slice(-64) }));
}
