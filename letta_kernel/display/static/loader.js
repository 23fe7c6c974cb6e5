// Loads what a widget shows: once for a page, from the kernel of the first widget that needs it.

const LOADED = Symbol.for("letta-kernel.ui");
const SOON = 80; // ms
const LATER = 1000;
const QUICKLY = 8; // times
const MOST = 600;

/** Ask the kernel for the module until it comes: what is said before the page has a subshell waits. */
function load(model) {
  return new Promise((resolve) => {
    let timer;
    const take = async ({ type, code }) => {
      if (type !== "module") return;
      clearTimeout(timer);
      model.off("msg:custom", take);
      const address = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
      const module = await import(/* webpackIgnore: true */ address);
      URL.revokeObjectURL(address);
      resolve(module);
    };
    let times = 0;
    const ask = () => {
      model.send({ type: "module" });
      if (++times < MOST) timer = setTimeout(ask, times < QUICKLY ? SOON : LATER);
    };
    model.on("msg:custom", take);
    ask();
  });
}

export default {
  async render({ model, el }) {
    const loaded = (globalThis[LOADED] ??= new Map());
    const version = model.get("version");
    if (!loaded.has(version)) loaded.set(version, await load(model));
    return loaded.get(version).render({ model, el });
  },
};
