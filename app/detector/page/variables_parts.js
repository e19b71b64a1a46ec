// What the parts of the view of many variables share: messages, moments, shares, and questions.

import { el, fill } from "./dom.js";

/** A moment as people read it: `2026-01-02 03:04`, in UTC. */
export function when(/** @type {string} */ time) {
  return time.replace("T", " ").replace(/(\.0+)?Z$/, "").replace(/(:\d\d):00$/, "$1").replace(/ 00:00$/, "");
}

/** A number with a few digits. */
export function short(value, digits = 4) {
  const size = Math.abs(value);
  // Written out, the largest number has 309 digits.
  const notation = size >= 1e15 || (size > 0 && size < 1e-6) ? "scientific" : "standard";
  return Number(value).toLocaleString(document.documentElement.lang, { maximumSignificantDigits: digits, notation });
}

/** Whole numbers, with their thousands apart. */
export function whole(value) {
  return Number(value).toLocaleString(document.documentElement.lang);
}

/** A place for what went wrong: `show(error)`, `clear()`; `show` takes buttons that offer a way. */
export function alertBox(id) {
  const element = el("div", { class: "alert", role: "alert", id, hidden: true });
  return {
    element,
    show(error, ...ways) {
      element.replaceChildren(el("span", {}, error instanceof Error ? error.message : String(error)), ...ways);
      element.hidden = false;
    },
    clear() {
      element.hidden = true;
      element.replaceChildren();
    },
  };
}

/** A field with its label above. */
export function field(label, input, hint) {
  return el("label", {}, el("span", {}, label), input, hint ? el("small", {}, hint) : null);
}

/** Two fields for the ends of a span in UTC, which may be asked for and set. */
export function spanFields(words, prefix, onChange = () => {}) {
  const input = (id) => el("input", { type: "datetime-local", step: "1", id: `${prefix}-${id}`, onchange: onChange });
  const [from, to] = [input("from"), input("to")];
  const written = (time) => (time ? new Date(time).toISOString().slice(0, 19) : "");
  const read = (box) => (box.value ? `${box.value.length === 16 ? `${box.value}:00` : box.value}Z` : null);
  return {
    elements: [field(words.varFrom, from), field(words.varTo, to)],
    get: () => [read(from), read(to)],
    set(span) {
      [from.value, to.value] = span.map(written);
    },
  };
}

/** Ask whether to do what cannot be undone. */
export function confirm(words, sentence, yes) {
  const answer = (value) => () => dialog.close(value);
  const text = el("p", { id: "confirm-text" }, sentence);
  const no = el("button", { type: "button", onclick: answer("") }, words.cancel);
  const sure = el("button", { type: "button", class: "primary danger", id: "confirm-yes", onclick: answer("yes") }, yes);
  const dialog = el("dialog", { "aria-labelledby": "confirm-text", id: "confirm" }, text, el("p", { class: "actions" }, sure, no));
  document.body.append(dialog);
  dialog.showModal();
  no.focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
  });
}

/** Ask, and then delete a model; returns whether it is deleted. */
export async function deleteModel({ api, words }, model, path) {
  const name = model.modelInfo.displayName || model.modelId;
  if (!(await confirm(words, fill(words.varDeleteAsk, { name }), words.varDelete))) return false;
  await api.send(path, { method: "DELETE" });
  return true;
}

/** A bar of shares that sum to at most 1, the largest first; it says in words what it shows. */
export function shares(contributors, most = 3) {
  const bar = el("span", { class: "shares", "aria-hidden": "true" });
  contributors.slice(0, 8).forEach(({ score }, place) => {
    const part = el("span", { class: `share share-${Math.min(place, 3)}` });
    part.style.width = `${Math.max(0, score * 100)}%`;
    bar.append(part);
  });
  const named = contributors.slice(0, most).map(({ variable, score }) => `${variable} ${percent(score)}`);
  return el("span", { class: "contributors" }, bar, el("span", {}, named.join(", ")));
}

export function percent(share) {
  return `${Math.round(share * 100)} %`;
}

/** Wait, or reject as soon as the signal says that nobody waits any more. */
export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(new DOMException("Nobody waits any more.", "AbortError"));
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
}

/** Whether an error says that the service, or the way to it, is away for a while. */
export function passes(error) {
  return [0, 429, 502, 503, 504].includes(error.status);
}

export function isAbort(error) {
  return error instanceof DOMException && error.name === "AbortError";
}

/** Load the style of these views, once. */
export function addStyle() {
  const href = new URL("./variables.css", import.meta.url).href;
  if (document.querySelector(`link[href="${href}"]`)) return;
  document.head.append(el("link", { rel: "stylesheet", href }));
}
