// What a shop's own script calls: views, carts, orders, consent and login.
"use strict";

(() => {
  const byId = (id) => document.getElementById(id);
  const { item, price, shopper, token } = document.body.dataset;
  const value = price ? Number(price) : undefined;

  // Read back as the browser has it, every half second: it is for those who look.
  function kept() {
    const { sagestream: stored } = localStorage;
    byId("kept").textContent = stored ? JSON.stringify(JSON.parse(stored), null, 1) : "nothing";
    byId("visitor").textContent = sagestream.visitor() || "nobody";
    byId("login").hidden = sagestream.visitor() === shopper;
    byId("logout").hidden = sagestream.visitor() !== shopper;
  }

  const answered = sessionStorage.getItem("answered");
  byId("consent").hidden = Boolean(answered || sagestream.visitor());
  for (const [id, given] of [["yes", true], ["no", false]]) {
    byId(id).addEventListener("click", () => {
      sessionStorage.setItem("answered", id);
      byId("consent").hidden = true;
      sagestream.consent(given).then(kept);
    });
  }

  byId("login").addEventListener("click", () => {
    sagestream.login(shopper, token);
    sagestream.refresh().then(kept);
  });
  byId("logout").addEventListener("click", () => {
    sagestream.logout();
    sagestream.refresh().then(kept);
  });
  if (sagestream.visitor() === shopper) sagestream.login(shopper, token); // each page vouches anew

  if (item) {
    // This shop tells Google Analytics what is looked at; the tag listens there.
    dataLayer.push({ event: "view_item", ecommerce: { items: [{ item_id: item, price: value }] } });
    byId("cart").addEventListener("click", () => sagestream.cart(item));
    byId("order").addEventListener("click", () => {
      sagestream.order(`demo-${Date.now()}`, [{ item_id: item, value, quantity: 1 }]);
    });
  }
  setInterval(kept, 500);
  kept();
})();
