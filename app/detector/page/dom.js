// Small helpers for elements. Text always goes in as text: nothing here, and nothing that uses
// it, parses HTML.

/**
 * Make an element.
 * @param {string} tag
 * @param {Object<string, any>} [attributes] `class`, `on...` functions, or attributes; null, undefined
 *   and false leave one out, true sets it empty
 * @param {...(Node|string|number|null|undefined)} children
 * @returns {HTMLElement}
 */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) {
    if (child !== null && child !== undefined) made.append(child);
  }
  return made;
}

/**
 * Put values into a sentence: `fill("{n} points", {n: 3})`.
 * @param {string} sentence
 * @param {Object<string, string|number>} values
 * @returns {string}
 */
export function fill(sentence, values) {
  return sentence.replace(/\{(\w+)\}/g, (all, name) => (name in values ? String(values[name]) : all));
}

/**
 * Find an element that must be there.
 * @param {string} id
 * @returns {any}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`The page has no element '${id}'.`);
  return found;
}

/**
 * Put words where the static page asks for them: `data-word` (text), `data-word-label`
 * (aria-label), `data-word-title`, `data-word-placeholder`.
 * @param {ParentNode} root
 * @param {Object<string, string>} words
 */
export function translate(root, words) {
  for (const place of root.querySelectorAll("[data-word]")) {
    const text = words[place.dataset.word];
    // The English text stands there already: rewriting it would paint a second time.
    if (text !== undefined && place.textContent !== text) place.textContent = text;
  }
  const attributes = { wordLabel: "aria-label", wordTitle: "title", wordPlaceholder: "placeholder" };
  for (const [key, attribute] of Object.entries(attributes)) {
    const name = `data-${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    for (const place of root.querySelectorAll(`[${name}]`)) {
      const text = words[place.dataset[key]];
      if (text !== undefined) place.setAttribute(attribute, text);
    }
  }
}

/**
 * Give a file to the person.
 * @param {string} name
 * @param {Blob} blob
 */
export function download(name, blob) {
  const address = URL.createObjectURL(blob);
  const link = el("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

/**
 * Put text on the clipboard; tells by the button whether it is there.
 * @param {HTMLElement} button
 * @param {string} text
 * @param {Object<string, string>} words
 */
export async function copy(button, text, words) {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without https or a permission there is no clipboard; a selection still copies.
    const area = el("textarea", { class: "visually-hidden", readonly: true });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  button.textContent = words.copied;
  button.dataset.copied = "true";
  setTimeout(() => {
    button.textContent = before;
    delete button.dataset.copied;
  }, 1600);
}
