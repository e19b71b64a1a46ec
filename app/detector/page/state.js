// The state of the page, in the fragment of its address: `#series?sample=elnino&tab=entire`. A
// fragment is never sent to a server, so a series that is shared this way stays with the people
// who share it.

export const VIEWS = ["series", "variables", "models"];
// A stranger's link must not fill the memory of whoever opens it.
const MOST_INFLATED = 4 * 1024 * 1024;

/**
 * @typedef {Object} State
 * @property {() => string} view one of VIEWS
 * @property {(name: string) => string|null} get
 * @property {(changes: Object<string, string|number|boolean|null>, how?: {push?: boolean}) => void} set
 *   null takes a name away; `push` makes a step that "back" undoes
 * @property {(view: string) => void} go
 * @property {(listener: () => void) => void} onChange called at back, forward and typed fragments
 * @property {() => string} link the whole address
 */

/** @returns {State} */
export function createState() {
  const listeners = new Set();
  let { view, values } = read();
  let written = null;
  let pushing = false;
  // What each view had when it was left for another.
  const left = new Map();

  function read() {
    const [name, query = ""] = location.hash.slice(1).split(/\?(.*)/s);
    return { view: VIEWS.includes(name) ? name : VIEWS[0], values: new URLSearchParams(query) };
  }

  const fragment = () => `#${view}${values.size ? `?${values}` : ""}`;

  function write() {
    clearTimeout(written);
    written = null;
    if (fragment() !== location.hash) history[pushing ? "pushState" : "replaceState"](null, "", fragment());
    pushing = false;
  }

  function changed() {
    if (fragment() === location.hash) return;
    // What waits to be written belongs to the address that was left.
    clearTimeout(written);
    written = null;
    ({ view, values } = read());
    for (const listener of listeners) listener();
  }
  addEventListener("popstate", changed);
  addEventListener("hashchange", changed);

  return {
    view: () => view,
    get: (name) => values.get(name),
    set(changes, { push = false } = {}) {
      if (push) write();
      for (const [name, value] of Object.entries(changes)) {
        if (value === null || value === undefined) values.delete(name);
        else values.set(name, String(value));
      }
      pushing ||= push;
      // Browsers refuse many entries a second, and a slider makes many.
      if (push) write();
      else written ??= setTimeout(write, 250);
    },
    go(to) {
      if (to === view) return;
      write();
      left.set(view, values);
      view = to;
      values = left.get(to) ?? new URLSearchParams();
      pushing = true;
      write();
      for (const listener of listeners) listener();
    },
    onChange: (listener) => listeners.add(listener),
    link() {
      write();
      return location.href;
    },
  };
}

/**
 * Compress a value for the address: JSON, deflated, in base64url.
 * @param {any} value
 * @returns {Promise<string>}
 */
export async function pack(value) {
  const stream = new Blob([JSON.stringify(value)]).stream();
  const bytes = new Uint8Array(await new Response(stream.pipeThrough(new CompressionStream("deflate-raw"))).arrayBuffer());
  let text = "";
  for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return btoa(text).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

/**
 * Read what `pack` wrote.
 * @param {string} text
 * @returns {Promise<any>}
 * @throws {Error} where it was cut, changed, or is larger than 4 MiB
 */
export async function unpack(text) {
  const bytes = Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (one) => one.charCodeAt(0));
  const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw")).getReader();
  const parts = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.length;
    if (size > MOST_INFLATED) {
      reader.cancel();
      throw new Error("The series in this link is too large.");
    }
    parts.push(value);
  }
  return JSON.parse(await new Blob(parts).text());
}
