// Which model version answered, how long it took, and where it lies in MLflow.

import { byId, el, fill } from "./dom.js";

// How long a list of versions is used: an alias moves seldom, a slider often.
const KEPT_SECONDS = 10;

/**
 * @param {{api: any, words: Object<string, string>}} page
 */
export function createModelLine({ api, words }) {
  let models = null;
  let asked = -Infinity;

  /** The address of a version's page in MLflow, or null where it has none. */
  async function linkOf(name, version) {
    if (performance.now() - asked > KEPT_SECONDS * 1000) {
      asked = performance.now();
      // The answer is there without the list, which MLflow may be too slow for.
      models = api.get("models").then(({ body }) => body.models, () => null);
    }
    const model = (await models)?.find((each) => each.name === name);
    const link = model?.versions.find((each) => String(each.version) === version)?.link ?? null;
    return link && /^https?:/.test(link) ? link : null;
  }

  let last = null;
  return {
    /** @param {import("./api.js").Answer} answer */
    async show(answer) {
      last = answer;
      const model = answer.headers.get("x-model-name");
      const version = answer.headers.get("x-model-version");
      const took = { n: Math.max(1, Math.round(answer.milliseconds)) };
      const line = byId("answered");
      if (!model) {
        line.textContent = fill(words.answeredIn, took);
        return;
      }
      const name = fill(words.answeredVersion, { name: model, n: version });
      const [before, after] = fill(words.answeredBy, took).split("{name}");
      const put = (shown) => line.replaceChildren(before, shown, after);
      const link = line.querySelector("a");
      // The link stays while a slider moves: only the time changes.
      put(link?.textContent === name ? link : name);
      const address = await linkOf(model, version);
      // A later answer may have come meanwhile.
      if (!address || last !== answer || line.querySelector("a")?.href === address) return;
      put(el("a", { href: address, target: "_blank", rel: "noopener", title: fill(words.openInMlflow, { name }) }, name));
    },
  };
}
