// Shows what the tag sends. It stands before the tag, so that it hears all.
"use strict";

(() => {
  const MOST = 30;

  function show(url, body) {
    const line = document.createElement("li");
    const path = document.createElement("b");
    path.textContent = new URL(url, location.href).pathname;
    const said = document.createElement("code");
    said.textContent = body;
    line.append(path, " ", said);
    const log = document.querySelector("#sent");
    log.prepend(line);
    while (log.children.length > MOST) log.lastElementChild.remove();
  }

  const { fetch } = window;
  window.fetch = (url, options) => {
    show(url, options.body);
    return fetch(url, options);
  };
  const beacon = navigator.sendBeacon.bind(navigator);
  navigator.sendBeacon = (url, body) => {
    show(url, body);
    return beacon(url, body);
  };
})();
