// What a person drops or clicks before the modules are here, which read it otherwise: it is kept,
// and done again once they are. No module, and before the page's first paint.
(() => {
  let again = null;
  let isEarly = true;

  function keepFile(event) {
    if (!event.dataTransfer?.types.includes("Files")) return;
    // Else the browser would leave the page for the file, here and in a view that takes none.
    event.preventDefault();
    const [file] = event.type === "drop" ? event.dataTransfer.files : [];
    if (!file || !isEarly) return;
    again = () => {
      const carried = new DataTransfer();
      carried.items.add(file);
      dispatchEvent(new DragEvent("drop", { dataTransfer: carried, cancelable: true }));
    };
  }

  function keepClick(event) {
    const button = event.target.closest?.("main button");
    if (button && isEarly) again = () => button.click();
  }

  for (const kind of ["dragover", "drop"]) addEventListener(kind, keepFile);
  addEventListener("click", keepClick);

  /** Keep nothing any more; returns what does the last thing again, or null. */
  globalThis.endEarly = () => {
    isEarly = false;
    const last = again;
    again = null;
    return last;
  };
})();
