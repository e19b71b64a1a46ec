// One series: what comes in, the chart, and what was found in it.

/**
 * @param {HTMLElement} root
 * @param {{api: any, words: Object<string, string>, state: import("./state.js").State}} page
 */
export async function mount(root, { api, words, state }) {
  root.dataset.mounted = "true";
}
