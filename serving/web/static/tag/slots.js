// Slots: elements that show a list. All text is set as text, and only http and https become links and pictures.
const element = (name, made) => Object.assign(document.createElement(name), made);

function address(text) {
  const { href, protocol } = element("a", { href: text });
  return text && /^https?:/.test(protocol) ? href : "";
}

function textOf(item, field) {
  const value = item[field];
  if (field == "title") return value || item.item_id;
  if (field != "price" || value == null) return [value ?? []].flat().join(" · ");
  return currency ? value.toLocaleString([], { style: "currency", currency }) : value.toFixed(2);
}

function part(name, field, ...children) {
  const node = element(name, { className: "sagestream-" + field });
  node.dataset.field = field;
  node.append(...children);
  return node;
}

function put(node, item, pattern = "") {
  const { field } = node.dataset;
  if (field == "link") {
    const href = address(item.url || pattern.replace("{id}", encodeURIComponent(item.item_id)));
    if (href) node.href = href;
  } else if (field == "image_url") {
    // Without a text of its own: the title beside it says the same.
    Object.assign(node, { alt: "", src: address(item[field]), hidden: !item[field] });
  } else {
    node.textContent = textOf(item, field);
    node.hidden = !node.textContent;
  }
}

function line(item, { request_id, user_id }, look, pattern) {
  const { item_id, position } = item, place = { request_id, position, user_id }, node = element("li");
  node.append(look ? look.content.cloneNode(true)
    : part("a", "link", part("img", "image_url"), part("span", "title"), part("span", "price")));
  node.querySelectorAll("[data-field]").forEach(one => put(one, item, pattern));
  node.onclick = node.onauxclick = ({ target, button }) => { // the middle button opens a link, too
    if (button < 2 && target.closest("a")) track("click", item_id, place);
    if (target.closest("[data-action=cart]")) {
      track("cart", item_id, place);
      tell(node, "cart", item);
    }
  };
  watch(node, place);
  return node;
}

function tell(node, what, detail) {
  node.dispatchEvent(new CustomEvent("sagestream:" + what, { bubbles: true, detail }));
}

function draw({ target, link }, list) {
  const look = target.querySelector("template"), shown = part("ul", "list");
  shown.role = "list"; // a list without bullets is none to some readers
  shown.append(...list.items.map(item => line(item, list, look, link)));
  target.querySelector(".sagestream-list")?.remove();
  target.append(shown);
  target.hidden = !list.items.length;
  tell(target, "list", list);
}

// Fill all these places by one question, so that no item stands in two of them.
async function fill(places) {
  if (!places.length) return;
  // Two places of one slot show one list.
  const wanted = new Map(places.map(({ slot, k, items, criteria }) => [slot, { slot, k: k && +k, items, criteria }]));
  let lists = {};
  try {
    const answer = await post("recommendations/", {
      ...(visitor ? { user_id: named() } : { session }),
      slots: [...wanted.values()], cart: places.flatMap(place => place.cart || [])
    });
    const body = await answer.json();
    if (!answer.ok) throw body.detail;
    lists = body.lists;
  } catch (error) {
    warn(error); // the page goes on without its lists
  }
  for (const place of places) draw(place, lists[place.slot] || { items: [] });
}

// `data-k`, `data-link`, and all options as JSON in `data-options`.
function placeOf(target, slot = target.dataset.sagestreamSlot, more) {
  const { options = "{}", k, link } = target.dataset;
  return { slot, target, k, link, ...JSON.parse(options), ...more };
}

const slot = (name, target, options) => fill([placeOf(target, name, options)]);
const refresh = () => fill([...document.querySelectorAll("[data-sagestream-slot]")].map(target => placeOf(target)));
