/** Who is looking: an id for this browser, perhaps a known customer's, their cart and what they last opened. */

const read = (key, otherwise) => JSON.parse(localStorage.getItem(key) ?? "null") ?? otherwise;
const write = (key, value) => localStorage.setItem(key, JSON.stringify(value));
const random = () => `shop-${Array.from(crypto.getRandomValues(new Uint8Array(6)), (byte) => byte.toString(36)).join("")}`;

const VISITOR = "endcap.visitor";
const USER = "endcap.user";
const MAX_VIEWED = 20;

/** Fires `cart` when the cart changed and `who` when another visitor sits here. */
export const changes = new EventTarget();

export function visitorId() {
  const known = read(VISITOR, null);
  if (known) return known;
  write(VISITOR, random());
  return read(VISITOR, null);
}

export const userId = () => read(USER, null);

/** The fields that name this visitor in a request or an event. */
export const identity = () => ({ visitor_id: visitorId(), ...(userId() ? { user_id: userId() } : {}) });

/** The same as a query string. */
export const identityQuery = () => new URLSearchParams(identity()).toString();

/** A fresh visitor sits down; with `user`, that customer. Carts and views stay with whom they belong to. */
export function becomeSomeoneElse(user = null) {
  write(VISITOR, random());
  write(USER, user);
  changes.dispatchEvent(new Event("who"));
}

const own = (what) => `endcap.${what}.${userId() ?? visitorId()}`;

export const viewed = () => read(own("viewed"), []);

export function remember(itemId) {
  write(own("viewed"), [itemId, ...viewed().filter((id) => id !== itemId)].slice(0, MAX_VIEWED));
}

/** Item id -> quantity, in the order of adding. */
export const cart = () => new Map(read(own("cart"), []));

export function setQuantity(itemId, quantity) {
  const lines = cart();
  if (quantity > 0) lines.set(itemId, quantity);
  else lines.delete(itemId);
  write(own("cart"), [...lines]);
  changes.dispatchEvent(new Event("cart"));
}

export function emptyCart() {
  write(own("cart"), []);
  changes.dispatchEvent(new Event("cart"));
}
