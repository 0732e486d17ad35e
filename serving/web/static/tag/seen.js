// What was truly seen of a list: an item of which half was in view for one second (MRC), on a page that is itself
// visible.
const SHARE = .5, SEEN_MS = 1000;

const places = new WeakMap(); // what an element shows
const inView = new Map(); // elements in view, with the timers of their second

function leave(element) {
  clearTimeout(inView.get(element));
  inView.delete(element);
}

function saw(element) {
  const { position, ...list } = places.get(element);
  observer.unobserve(element);
  leave(element);
  if (visitor) add("seen/", list, "positions", position);
}

function begin(element) {
  leave(element);
  inView.set(element, document.hidden ? 0 : setTimeout(saw, SEEN_MS, element));
}

const observer = new IntersectionObserver(entries => {
  for (const { target, intersectionRatio } of entries) (intersectionRatio < SHARE ? leave : begin)(target);
}, { threshold: SHARE });

// `place`: { request_id, user_id, position }. A list for nobody has no user_id: the server keeps nothing to which a
// look could belong.
function watch(element, place) {
  if (!place.user_id) return;
  places.set(element, place);
  observer.observe(element);
}

// A second on a hidden page is no look: it begins again when the page is back. What is seen is said before it goes.
addEventListener("visibilitychange", () => {
  [...inView.keys()].forEach(begin);
  if (document.hidden) sendAtEnd();
});
addEventListener("pagehide", sendAtEnd);
