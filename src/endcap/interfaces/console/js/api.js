/** The public HTTP API, and nothing else: calls, their errors, the event stream. */

import { language } from "./i18n.js";

const KEY = "endcap.key";
const LANGUAGE = { "Accept-Language": language };
const RETRY_MS = [500, 1000, 2000, 5000];

/** What the server refused, in its own words. Status 0: it did not answer. */
export class ApiError extends Error {
  constructor(status, code, message, field = null) {
    super(message);
    Object.assign(this, { status, code, field });
  }
}

/** The key of this browser tab; only a server that is not open asks for one. */
export const setKey = (key) => sessionStorage.setItem(KEY, key);

function headers(body) {
  const key = sessionStorage.getItem(KEY);
  return {
    ...LANGUAGE,
    ...(body === undefined ? {} : { "Content-Type": "application/json" }),
    ...(key ? { Authorization: `Bearer ${key}` } : {}),
  };
}

async function refusal(response) {
  const answer = await response.json().catch(() => ({}));
  const { code = "error", message = response.statusText, field = null } = answer.error ?? {};
  return new ApiError(response.status, code, message, field);
}

async function fetched(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "unreachable", error.message);
  }
}

/** The answer's body, and the round trip in milliseconds as this page saw it. Throws ApiError. */
export async function call(method, path, body) {
  const started = performance.now();
  const text = body === undefined ? undefined : JSON.stringify(body);
  const response = await fetched(path, { method, headers: headers(body), body: text });
  if (!response.ok) throw await refusal(response);
  const data = response.status === 204 ? null : await response.json();
  return { data, ms: performance.now() - started };
}

export const recommend = (request) => call("POST", "/v1/recommend", request);
export const sendEvent = (event) => call("POST", "/v1/events", event);
export const get = async (path) => (await call("GET", path)).data;

const TIMES_ASKED = 5;
const AGAIN_MS = 1000;

/** What `ask` gives. A server that has too much to do, as after an erasure, says to ask again in a second: so that is done. */
export async function patient(ask, times = TIMES_ASKED) {
  try {
    return await ask();
  } catch (error) {
    if (error.status !== 503 || times <= 1) throw error;
    await pause(AGAIN_MS);
    return patient(ask, times - 1);
  }
}

/** An address for an `<img>`, which cannot send a key: the file itself where one is needed. Throws ApiError. */
export async function keyed(path) {
  if (sessionStorage.getItem(KEY) === null) return path;
  const response = await fetched(path, { headers: headers() });
  if (!response.ok) throw await refusal(response);
  return URL.createObjectURL(await response.blob());
}

const FRESH_MS = 30_000;
const known = new Map();

const isFresh = (id) => known.has(id) && performance.now() - known.get(id).at < FRESH_MS;

/** Details of the items, by id, in one request for those not asked for lately. An id the shop does not have is absent. */
export async function itemDetails(ids) {
  const missing = [...new Set(ids)].filter((id) => !isFresh(id));
  if (missing.length > 0) {
    const answer = await get(`/v1/items?ids=${missing.map(encodeURIComponent).join(",")}`);
    for (const id of missing) known.delete(id);
    for (const item of answer.items) known.set(item.item_id, { item, at: performance.now() });
  }
  return new Map(ids.filter((id) => known.has(id)).map((id) => [id, known.get(id).item]));
}

/** Server-sent events are blocks of `field: value` lines with an empty line after each; gives a block's data. */
function dataOf(block) {
  const lines = block.split(/\r?\n/).filter((line) => line.startsWith("data:"));
  return lines.map((line) => line.slice(5).trimStart()).join("\n");
}

async function readStream(path, signal, onMessage) {
  const response = await fetched(path, { headers: { ...headers(), Accept: "text/event-stream" }, signal });
  if (!response.ok) throw await refusal(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (text + value).split(/\r?\n\r?\n/);
    text = blocks.pop();
    for (const block of blocks) {
      const data = dataOf(block);
      if (data) onMessage(JSON.parse(data));
    }
  }
}

const pause = (ms) => new Promise((resume) => setTimeout(resume, ms));

/**
 * Listens to a stream until the returned function is called, and connects again when the line breaks.
 * It uses fetch, not EventSource, because EventSource cannot send a key. `onState(open, error)` follows the line.
 */
export function listen(path, onMessage, onState) {
  const control = new AbortController();
  let failures = 0;
  const received = (message) => {
    failures = 0;
    onState(true, null);
    onMessage(message);
  };
  (async () => {
    while (!control.signal.aborted) {
      try {
        await readStream(path, control.signal, received);
        failures = 0;
      } catch (error) {
        if (control.signal.aborted) return;
        onState(false, error);
      }
      await pause(RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)]);
    }
  })();
  return () => control.abort();
}
