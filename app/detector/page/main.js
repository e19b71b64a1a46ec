// Starts the page: its language, the key, and the view that the address names.

import { createApi, key } from "./api.js";
import { byId, translate } from "./dom.js";
import { createState, VIEWS } from "./state.js";
import { words as english } from "./words/en.js";

const LANGUAGE = "detector-language";
const VIEW_MODULES = { series: "./series.js", variables: "./variables.js", models: "./models.js" };

// Where a link of the page leads is decided before anything waits: a person may click at once.
const language = sessionStorage.getItem(LANGUAGE) ?? (navigator.language.toLowerCase().startsWith("ja") ? "ja" : "en");
const words = language === "ja" ? (await import("./words/ja.js")).words : english;
document.documentElement.lang = language;
document.title = words.title;
translate(document, words);

const state = createState();
const api = createApi(words, askForKey);
const mounted = new Set();

byId("language").textContent = language === "ja" ? "English" : "日本語";
byId("language").lang = language === "ja" ? "en" : "ja";
byId("language").addEventListener("click", () => {
  sessionStorage.setItem(LANGUAGE, language === "ja" ? "en" : "ja");
  // The address holds all that is shown, so that loading again is the whole change.
  state.link();
  location.reload();
});
byId("forget-key").addEventListener("click", () => {
  key.forget();
  showKey();
});
for (const link of document.querySelectorAll("[data-view]")) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    state.go(link.dataset.view);
  });
}
byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("main").focus();
});
state.onChange(showView);
showKey();
await showView();

function showKey() {
  byId("forget-key").hidden = key.get() === null;
}

async function showView() {
  const view = state.view();
  for (const name of VIEWS) byId(`view-${name}`).hidden = name !== view;
  for (const link of document.querySelectorAll("nav [data-view]")) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (mounted.has(view)) return;
  mounted.add(view);
  const root = byId(`view-${view}`);
  try {
    const module = await import(VIEW_MODULES[view]);
    const mounting = module.mount(root, { api, words, state });
    // From here on the view listens itself.
    const again = globalThis.endEarly();
    await mounting;
    again?.();
  } catch (error) {
    mounted.delete(view);
    console.error(error);
    const message = document.createElement("p");
    message.className = "alert";
    message.setAttribute("role", "alert");
    message.textContent = words.viewFailed;
    root.prepend(message);
  }
}

/** Ask for the key; resolves to whether there is a new one. */
function askForKey(wrong) {
  const dialog = byId("key-dialog");
  const input = byId("key-input");
  const message = byId("key-message");
  message.textContent = wrong ? words.keyWrong : words.keyLead;
  message.classList.toggle("wrong", wrong);
  input.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  input.focus();
  return new Promise((resolve) => {
    const close = () => {
      const given = dialog.returnValue === "send" ? input.value.trim() : "";
      input.value = "";
      if (given) key.set(given);
      showKey();
      resolve(given !== "");
    };
    dialog.addEventListener("close", close, { once: true });
    byId("key-form").onsubmit = (event) => {
      event.preventDefault();
      dialog.close("send");
    };
    byId("key-cancel").onclick = () => dialog.close("");
  });
}
