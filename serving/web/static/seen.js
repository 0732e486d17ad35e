// Says what was truly seen of a served list: an item of which half was in view for one second (MRC), on a page that is
// itself visible. Copy this file into a shop: `watchSeen(element, { request_id, user_id, position })` for each item.
"use strict";

const SEEN_SHARE = 0.5;
const SEEN_MS = 1000;
const SEEN_SEND_MS = 500; // items that come into view together are one message

const watchSeen = (() => {
  const places = new WeakMap(); // which item an element shows
  const inView = new Map(); // elements in view, with the timers of their second
  const waiting = new Map(); // by request_id: what is seen and not sent yet
  let sending = 0;

  function send() {
    clearTimeout(sending);
    sending = 0;
    for (const [request_id, look] of waiting) {
      // What the browser's queue does not take waits for the next time. What the server refuses is lost: a beacon has
      // no answer, and a list that counts as not seen is the smaller error.
      if (navigator.sendBeacon("/seen/", JSON.stringify(look))) waiting.delete(request_id);
    }
    if (waiting.size) sending = setTimeout(send, SEEN_MS);
  }

  function note(element) {
    const { request_id, user_id, position } = places.get(element);
    if (!waiting.has(request_id)) waiting.set(request_id, { request_id, user_id, positions: [] });
    waiting.get(request_id).positions.push(position);
    inView.delete(element);
    observer.unobserve(element);
    if (!sending) sending = setTimeout(send, SEEN_SEND_MS);
  }

  function begin(element) {
    clearTimeout(inView.get(element));
    inView.set(element, document.visibilityState === "visible" ? setTimeout(note, SEEN_MS, element) : 0);
  }

  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting && entry.intersectionRatio >= SEEN_SHARE) {
        begin(entry.target);
      } else {
        clearTimeout(inView.get(entry.target));
        inView.delete(entry.target);
      }
    }
  }, { threshold: SEEN_SHARE });

  // A second on a hidden page is no look: it begins again when the page is back. What is seen is sent before it goes.
  document.addEventListener("visibilitychange", () => {
    for (const element of [...inView.keys()]) begin(element);
    if (document.visibilityState === "hidden") send();
  });
  addEventListener("pagehide", send);

  return (element, place) => {
    places.set(element, place);
    observer.observe(element);
  };
})();
