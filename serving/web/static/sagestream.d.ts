// Types of the tag's calls, for shops that write TypeScript: copy this file, or reference it. docs/shop-page.md says more.

/** Which list led to an event. `user_id` is the one for whom the list was made. */
export interface Place {
  request_id: string;
  position: number;
  user_id?: string;
}

/** What may be said of an event besides its item. */
export interface More extends Partial<Place> {
  value?: number;
  quantity?: number;
  currency?: string;
  event_id?: string;
}

/** A line of an order: `value` is the price of one piece, `currency` an ISO 4217 code. */
export interface OrderLine extends Partial<Place> {
  item_id: string;
  value?: number;
  quantity?: number;
  currency?: string;
}

export interface Criteria {
  categories?: string[];
  brands?: string[];
  price_min?: number;
  price_max?: number;
  attributes?: Record<string, string[]>;
  without_items?: string[];
  without_categories?: string[];
  without_brands?: string[];
}

export interface SlotOptions {
  k?: number;
  /** What a list is about (`similar`, `bought_together`), or the only items that it may rank. */
  items?: string[];
  /** Item ids in the cart. */
  cart?: string[];
  criteria?: Criteria;
  /** The address of an item's page, with `{id}` for its id, where the catalogue has none. */
  link?: string;
}

export interface Item {
  item_id: string;
  position: number;
  score: number;
  title: string;
  categories: string[];
  brand: string;
  price: number | null;
  url: string;
  image_url: string;
  reason: string | null;
  source: string;
  propensity: number;
}

export interface List {
  request_id: string;
  user_id: string;
  slot: string | null;
  source: string;
  model_version: string;
  degraded: string | null;
  items: Item[];
}

/** A GA4 e-commerce item, and the entries of a data layer that the tag understands. */
export interface Ga4Item {
  item_id: string;
  price?: number | string;
  quantity?: number;
}
export interface Ga4Ecommerce {
  items: Ga4Item[];
  transaction_id?: string;
  currency?: string;
}
export interface Ga4Entry {
  event: "view_item" | "select_item" | "add_to_cart" | "purchase";
  ecommerce: Ga4Ecommerce;
}

/** A Segment e-commerce product, and the properties of the events that the tag understands. */
export interface SegmentProduct {
  product_id: string;
  price?: number;
  quantity?: number;
}
export interface SegmentOrder {
  order_id: string;
  currency?: string;
  products: SegmentProduct[];
}
export type SegmentEvent = "Product Viewed" | "Product Clicked" | "Product Added" | "Order Completed";
export interface SegmentAnalytics {
  on(event: "track", then: (name: string, properties: any) => void): unknown;
}

export type Call = {
  [Name in keyof Omit<Tag, "push">]: [Name, ...Parameters<Tag[Name]>];
}[keyof Omit<Tag, "push">];

export interface Tag {
  view(item_id: string, more?: More): void;
  click(item_id: string, more?: More): void;
  cart(item_id: string, more?: More): void;
  order(order_id: string, lines: OrderLine[]): void;
  /** Fill one element. */
  slot(name: string, element: HTMLElement, options?: SlotOptions): Promise<void>;
  /** Fill all elements with `data-sagestream-slot` again. */
  refresh(): Promise<void>;
  /** Tell when an element that the page has drawn itself was seen. */
  watch(element: Element, place: Required<Place>): void;
  consent(given: boolean): Promise<void>;
  login(user_id: string, token: string): void;
  logout(): void;
  /** The id of who shops; "" without consent. */
  visitor(): string;
  dataLayer(layer?: Ga4Entry[]): void;
  segment(analytics?: SegmentAnalytics): void;
  push(...calls: Call[]): void;
}

declare global {
  interface Window {
    sagestream: Tag | Call[];
  }
  interface ElementEventMap {
    "sagestream:list": CustomEvent<List>;
    "sagestream:cart": CustomEvent<Item>;
  }
}
