// A shop that already tells Google Analytics (GA4) or Segment what happens need not tell it twice.
const TYPES = {
  view_item: "view", select_item: "click", add_to_cart: "cart", purchase: "purchase",
  "Product Viewed": "view", "Product Clicked": "click", "Product Added": "cart", "Order Completed": "purchase",
};

function told(name, data) {
  const type = TYPES[name], bought = type == "purchase";
  if (!type || !data) return;
  const { items, products, transaction_id, order_id = transaction_id, currency } = data;
  const lines = (items || products || [data]).map(({ item_id, product_id = item_id, price, quantity }) => ({
    item_id: product_id,
    ...(bought && { value: price && +price, quantity, currency }),
  }));
  if (bought && order_id) order(order_id, lines);
  else lines.forEach(({ item_id, ...more }) => track(type, item_id, more));
}

function dataLayer(layer = (window.dataLayer ||= [])) {
  // `dataLayer.push({ event, ecommerce })`, or `gtag("event", name, data)`, which puts its arguments there.
  // In a task of its own: what is wrong with an entry must not stop the shop's analytics.
  const take = entry => queueMicrotask(
    () => entry[0] == "event" ? told(entry[1], entry[2]) : told(entry.event, entry.ecommerce)
  );
  const { push } = layer;
  layer.forEach(take);
  layer.push = (...entries) => {
    entries.forEach(take);
    return push.apply(layer, entries);
  };
}

const segment = (analytics = window.analytics) => analytics.on("track", told);
