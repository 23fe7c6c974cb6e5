// Shows an agent's memory blocks and edits them in place. What arrives: the whole, or numbered changes
// (blocks that differ, and the order of all), and replies to what was asked. Texts only ever become text
// nodes or field values; diffs come as HTML that the kernel has made harmless.

const SOON = 80; // ms
const HERE = 10000;
let views = 0;

function el(tag, name, ...inside) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  node.append(...inside);
  return node;
}

function button(text, name, act, title) {
  const node = el("button", name, text);
  node.type = "button";
  if (title) node.title = title;
  node.addEventListener("click", act);
  return node;
}

const count = (n, word) => `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;

// As Python counts: an emoji is one character, not two.
const length = (text) => [...text].length;

/** JupyterLab takes new lines out of every field in a cell, since Shift+Enter runs it; not out of these. */
function keepNewLines(root) {
  root.addEventListener(
    "beforeinput",
    (event) => {
      if (event.inputType === "insertLineBreak") event.stopPropagation();
    },
    true,
  );
}

/** A field as high as its text, up to a limit. */
function field(label, value) {
  const node = el("textarea", "lkm-field");
  node.value = value;
  node.dir = "auto";
  node.setAttribute("aria-label", label);
  const grow = () => {
    node.style.height = "auto";
    node.style.height = Math.min(Math.max(node.scrollHeight + 2, 56), 420) + "px";
  };
  node.addEventListener("input", grow);
  requestAnimationFrame(grow);
  return node;
}

/** One block: read, edited in place, compared with what somebody else wrote meanwhile, looked back at. */
class BlockView {
  constructor(view, block) {
    this.view = view;
    this.label = el("b", "lkm-label");
    this.label.dir = "auto";
    this.figures = el("span", "lkm-quiet");
    this.about = el("div", "lkm-quiet lkm-about");
    this.about.dir = "auto";
    this.fill = el("div", "lkm-fill");
    this.bar = el("div", "lkm-bar", this.fill);
    this.bar.setAttribute("role", "meter");
    this.value = el("div", "lkm-value");
    this.value.dir = "auto";
    this.value.addEventListener("dblclick", () => this.edit());
    this.wrong = el("div", "lkm-wrong");
    this.wrong.setAttribute("role", "alert");
    this.undo = button("Undo", "lkm-small", () => this.step("block.undo", "undone"), "Back to the text before");
    this.redo = button("Redo", "lkm-small", () => this.step("block.redo", "redone"), "Take back an undo");
    this.past = button("History", "lkm-small", () => this.toggle(), "All versions, and what changed between them");
    this.past.setAttribute("aria-expanded", "false");
    this.change = button("Edit", "lkm-small", () => this.edit(), "Edit (or double-click the text)");
    this.tools = el("div", "lkm-tools", this.undo, this.redo, this.past, this.change);
    this.below = el("div");
    this.history = el("div", "lkm-history");
    this.history.hidden = true;
    const top = el("div", "lkm-top", el("div", "lkm-head", this.label, this.figures), this.tools);
    const parts = [top, this.about, this.bar, this.value, this.below, this.wrong, this.history];
    this.node = el("div", "lkm-block", ...parts);
    this.node.setAttribute("role", "group");
    this.update(block);
  }

  update(block) {
    const before = this.block;
    this.block = block;
    this.label.textContent = block.label;
    this.node.setAttribute("aria-label", `Memory block ${block.label}`);
    for (const [node, word] of [[this.undo, "Undo"], [this.redo, "Redo"], [this.past, "History"], [this.change, "Edit"]])
      node.setAttribute("aria-label", `${word} ${block.label}`);
    this.about.textContent = block.description;
    this.about.hidden = !block.description;
    this.value.textContent = block.value || "empty";
    this.value.classList.toggle("lkm-empty", !block.value);
    if (!this.editor) this.measure(length(block.value), block.tokens);
    if (!before || before.version === block.version) return;
    this.value.classList.remove("lkm-new");
    void this.value.offsetWidth; // so that the mark begins anew
    this.value.classList.add("lkm-new");
    if (!this.history.hidden) this.look();
    if (this.editor && !this.saving && block.version !== this.editor.version) this.meanwhile();
  }

  /** How full it is, or would be with the text in the field. */
  measure(size, tokens) {
    const { limit, version, read_only, shared_with } = this.block;
    const share = size / Math.max(limit, 1);
    const parts = [`${size.toLocaleString("en")} of ${count(limit, "character")}`];
    if (tokens !== undefined) parts.push(count(tokens, "token"));
    parts.push(`v${version}`);
    if (read_only) parts.push("read only for the agent");
    if (shared_with.length) parts.push(`shared with ${shared_with.join(", ")}`);
    this.figures.textContent = parts.join(" · ");
    this.fill.style.width = `${Math.min(100 * share, 100)}%`;
    this.fill.dataset.level = share > 0.95 ? "full" : share > 0.8 ? "high" : "fine";
    this.bar.setAttribute("aria-label", `How full ${this.block.label} is`);
    for (const [name, value] of [["min", 0], ["max", limit], ["now", size], ["text", parts.slice(0, -1).join(", ")]])
      this.bar.setAttribute(`aria-value${name}`, value);
    return size <= limit;
  }

  async step(method, said) {
    const button = method === "block.undo" ? this.undo : this.redo;
    this.wrong.textContent = "";
    const { error } = await this.view.ask(method, { label: this.block.label });
    if (error) this.wrong.textContent = error.message;
    else this.view.say(`${this.block.label}: ${said}.`);
    button.focus();
  }

  edit() {
    if (this.editor) return this.editor.text.focus();
    const text = field(`Text of ${this.block.label}`, this.block.value);
    const save = button("Save", "lkm-good", () => this.save(text.value, this.editor.version));
    const hint = el("span", "lkm-quiet", "Ctrl+Enter saves, Escape leaves it as it was");
    const row = el("div", "lkm-buttons", save, button("Cancel", "", () => this.leave()), hint);
    this.editor = { text, save, version: this.block.version, base: this.block.value };
    text.addEventListener("input", () => {
      save.disabled = !this.measure(length(text.value));
    });
    text.addEventListener("keydown", (event) => this.key(event, save));
    this.value.hidden = true;
    this.tools.hidden = true;
    this.below.replaceChildren(text, row);
    text.focus();
    text.setSelectionRange(text.value.length, text.value.length);
  }

  key(event, save) {
    if (event.isComposing) return;
    if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      if (this.editor.text.value === this.editor.base || this.leaving) this.leave();
      else {
        this.leaving = true;
        this.wrong.textContent = "Escape again throws your text away.";
      }
    } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      event.stopPropagation();
      if (!save.disabled) save.click();
    } else this.leaving = false;
  }

  leave() {
    this.editor = null;
    this.leaving = this.saving = this.compared = false;
    if (this.gone) this.node.remove();
    this.wrong.textContent = "";
    this.below.replaceChildren();
    this.value.hidden = this.tools.hidden = false;
    this.measure(length(this.block.value), this.block.tokens);
    this.change.focus();
  }

  async save(value, version) {
    this.saving = true;
    this.wrong.textContent = "";
    const params = { label: this.block.label, value, expected_version: version, reason: "memory panel" };
    const { error } = await this.view.ask("block.write", params);
    this.saving = false;
    if (!this.editor) return;
    if (!error) {
      this.view.say(`${this.block.label} is saved.`);
      this.leave();
    } else if (error.kind === "ConflictError" && this.block.version !== version) this.conflict(value);
    else this.wrong.textContent = error.message;
  }

  /** The block moved on under the person's hands: said at once, decided when they save. */
  meanwhile() {
    if (this.editor.text.value === this.editor.base) {
      // Nothing typed yet: go on from the new text.
      this.editor.text.value = this.editor.base = this.block.value;
      this.editor.version = this.block.version;
    } else if (this.compared) this.conflict(this.editor.text.value);
    else this.wrong.textContent = "This block was changed while you edit it; saving will show you both texts.";
  }

  async conflict(mine) {
    const block = this.block;
    const text = field(`Your text of ${block.label}`, mine);
    const theirs = el("div", "lkm-value", block.value || "empty");
    theirs.dir = "auto";
    const keep = button("Save yours", "lkm-good", () => this.save(text.value, block.version));
    const take = button("Keep theirs", "", () => {
      this.view.say(`${block.label}: your text was not saved.`);
      this.leave();
    });
    const changed = el("div", "lkm-diff");
    this.editor = { text, save: keep, version: block.version, base: null };
    this.compared = true;
    text.addEventListener("input", () => {
      keep.disabled = !this.measure(length(text.value));
    });
    keep.disabled = !this.measure(length(mine));
    text.addEventListener("keydown", (event) => this.key(event, keep));
    const left = el("div", "lkm-side", el("div", "lkm-title", `Now in memory (v${block.version})`), theirs);
    const right = el("div", "lkm-side", el("div", "lkm-title", "Yours (put together here what should stay)"), text);
    const node = el(
      "div",
      "lkm-conflict",
      el("div", "lkm-title", `${block.label} was changed while you edited it.`),
      el("div", "lkm-sides", left, right),
      el("details", "", el("summary", "lkm-quiet", "What differs, theirs to yours"), changed),
      el("div", "lkm-buttons", keep, take),
    );
    node.setAttribute("role", "group");
    node.setAttribute("aria-label", `Conflict in ${block.label}`);
    this.below.replaceChildren(node);
    this.wrong.textContent = "";
    this.view.say(`${block.label} was changed while you edited it: choose which text stays.`);
    text.focus();
    const { result } = await this.view.ask("diff", { before: block.value, after: mine });
    changed.innerHTML = result ?? "";
  }

  /** The agent no longer has this block; what a person has typed stays until they leave it. */
  taken() {
    this.gone = true;
    if (!this.editor) this.node.remove();
    else this.wrong.textContent = "The agent no longer has this block; your text cannot be saved to it.";
  }

  toggle() {
    this.history.hidden = !this.history.hidden;
    this.past.setAttribute("aria-expanded", String(!this.history.hidden));
    if (!this.history.hidden) this.look();
  }

  /** The versions, newest first, and what changed between any two of them. */
  async look() {
    const { result, error } = await this.view.ask("versions", { label: this.block.label });
    if (error) {
      this.history.replaceChildren(el("div", "lkm-wrong", error.message));
      return;
    }
    const choices = (label, empty) => {
      const node = el("select", "lkm-select");
      node.setAttribute("aria-label", label);
      for (const one of result) node.append(new Option(`v${one.version} · ${one.when} · ${one.by}`, one.version));
      if (empty) node.append(new Option("nothing", 0));
      return node;
    };
    const from = choices("From version", true);
    const to = choices("To version");
    const changed = el("div", "lkm-diff");
    changed.setAttribute("role", "region");
    changed.setAttribute("aria-label", "What changed");
    changed.tabIndex = 0;
    let asked = 0;
    const compare = async () => {
      const mine = ++asked;
      const params = { label: this.block.label, from: Number(from.value), to: Number(to.value) };
      const { result: html } = await this.view.ask("diff", params);
      if (mine !== asked) return;
      changed.innerHTML = html ?? "";
      if (!html) changed.replaceChildren(el("span", "lkm-quiet", "The two are the same."));
    };
    from.addEventListener("change", compare);
    to.addEventListener("change", compare);
    const pick = (place) => {
      to.selectedIndex = place;
      from.selectedIndex = place + 1;
      compare();
    };
    const rows = result.map((one, place) => {
      const said = [one.when, one.by, one.reason, count(one.size, "character")].filter(Boolean).join(" · ");
      const row = button("", "lkm-version", () => pick(place));
      row.append(el("b", "", `v${one.version}`), el("span", "lkm-quiet", ` ${said}`));
      return row;
    });
    const list = el("div", "lkm-versions", ...rows);
    const between = el("div", "lkm-between", el("span", "lkm-quiet", "From "), from, el("span", "lkm-quiet", " to "), to);
    this.history.replaceChildren(list, between, changed);
    pick(0);
  }
}

/** The form for a block there is not yet. */
class NewBlock {
  constructor(view, done) {
    const input = (label, type, value) => {
      const node = el("input", "lkm-input");
      node.type = type;
      node.value = value;
      const name = el("label", "lkm-name", el("span", "lkm-quiet", label), node);
      return [name, node];
    };
    const [labelled, label] = input("Label", "text", "");
    const [limited, limit] = input("Limit in characters", "number", "20000");
    limit.min = 1;
    const [described, about] = input("What the agent is told it is for", "text", "");
    about.dir = "auto";
    const text = field("Text", "");
    const wrong = el("div", "lkm-wrong");
    wrong.setAttribute("role", "alert");
    const make = async () => {
      wrong.textContent = "";
      const given = { label: label.value.trim(), value: text.value, limit: Number(limit.value), description: about.value };
      const { error } = await view.ask("block.create", given);
      if (error) wrong.textContent = error.message;
      else {
        view.say(`${given.label} is made.`);
        done();
      }
    };
    const row = el("div", "lkm-buttons", button("Make it", "lkm-good", make), button("Cancel", "", done));
    this.node = el("div", "lkm-block lkm-form", el("div", "lkm-names", labelled, limited, described), text, row, wrong);
    this.node.setAttribute("role", "group");
    this.node.setAttribute("aria-label", "New memory block");
    this.node.addEventListener("keydown", (event) => {
      if (event.key === "Escape") done();
      else if (event.key === "Enter" && (event.target !== text || event.ctrlKey || event.metaKey)) {
        if (event.target.tagName === "BUTTON") return;
        event.preventDefault();
        make();
      }
    });
    this.first = label;
  }
}

class View {
  constructor(model, root) {
    this.model = model;
    this.n = -1;
    this.blocks = new Map();
    this.asked = new Map();
    this.name = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 8)}-${views++}`;
    this.title = el("b", "");
    this.title.dir = "auto";
    this.sum = el("span", "lkm-quiet");
    this.add = button("New block", "lkm-small", () => this.form());
    this.made = el("div");
    this.list = el("div");
    this.said = el("div", "lkm-said");
    this.said.setAttribute("role", "status");
    this.root = root;
    root.classList.add("lkm");
    root.dataset.lmSuppressShortcuts = "true";
    keepNewLines(root);
    root.setAttribute("role", "group");
    this.top = el("div", "lkm-top", el("div", "lkm-head", this.title, this.sum), el("div", "lkm-tools", this.add));
  }

  say(text) {
    this.said.textContent = text;
  }

  /** Ask the kernel something; resolves with its result or its error, in time. */
  ask(method, params) {
    const id = `${this.name}-${this.asked.size}-${Math.random().toString(36).slice(2, 6)}`;
    return new Promise((resolve) => {
      const late = () => {
        this.asked.delete(id);
        resolve({ error: { kind: "Late", message: "The kernel does not answer; nothing is known to be saved." } });
      };
      const timer = setTimeout(late, 30000);
      this.asked.set(id, (reply) => {
        clearTimeout(timer);
        resolve(reply);
      });
      this.model.send({ kind: "ask", id, method, params });
    });
  }

  receive(message) {
    if ("reply" in message) {
      const take = this.asked.get(message.reply);
      this.asked.delete(message.reply);
      take?.(message);
      return;
    }
    if (!message.whole && message.n !== this.n + 1) {
      if (this.n >= 0) this.ready();
      return;
    }
    const first = this.n < 0;
    this.n = message.n;
    // Empty until there is something to show: the saved form stands so long.
    if (first) this.root.append(this.top, this.made, this.list, this.said);
    if (message.whole) {
      this.title.textContent = `Memory of ${message.agent}`;
      this.root.setAttribute("aria-label", `Memory of ${message.agent}`);
    }
    const changed = [];
    for (const block of message.blocks) {
      const known = this.blocks.get(block.id);
      if (!known) this.blocks.set(block.id, new BlockView(this, block));
      else {
        if (known.block.version !== block.version) changed.push(block.label);
        known.update(block);
      }
    }
    for (const [id, one] of this.blocks)
      if (!message.order.includes(id)) {
        this.blocks.delete(id);
        one.taken();
      }
    message.order.forEach((id, place) => {
      const node = this.blocks.get(id)?.node;
      if (node && this.list.children[place] !== node) this.list.insertBefore(node, this.list.children[place] ?? null);
    });
    const shown = [...this.blocks.values()].map((one) => one.block);
    const tokens = shown.reduce((sum, block) => sum + block.tokens, 0);
    this.sum.textContent = `${count(shown.length, "block")} · ${count(tokens, "token")}`;
    if (changed.length && !first) this.say(`${changed.join(", ")}: changed.`);
  }

  form() {
    const done = () => {
      this.made.replaceChildren();
      this.add.hidden = false;
      this.add.focus();
    };
    const form = new NewBlock(this, done);
    this.add.hidden = true;
    this.made.replaceChildren(form.node);
    form.first.focus();
  }

  /** Say that the panel is on a page, and whether that page shows the saved form once the kernel is gone. */
  ready() {
    const hosted = this.root.isConnected ? this.root.closest(".lk-SavedPanel") !== null : null;
    this.model.send({ kind: "ready", hosted });
    return hosted !== null;
  }

  here() {
    if (this.root.isConnected && !document.hidden && this.root.checkVisibility?.() !== false)
      this.model.send({ kind: "here" });
  }
}

export default {
  render({ model, el: root }) {
    const view = new View(model, root);
    const receive = (message) => view.receive(message);
    model.on("msg:custom", receive);
    // Said again until it is heard and the panel is on the page.
    let times = 0;
    let placed = false;
    const ready = () => {
      if ((view.n < 0 || !placed) && times++ < 600) {
        if (view.n < 0 || root.isConnected) placed = view.ready();
        waiting = setTimeout(ready, times < 10 ? SOON : 1000);
      }
    };
    let waiting = setTimeout(ready, SOON / 2);
    const beat = setInterval(() => view.here(), HERE);
    const seen = () => view.here();
    document.addEventListener("visibilitychange", seen);
    return () => {
      clearTimeout(waiting);
      clearInterval(beat);
      document.removeEventListener("visibilitychange", seen);
      model.off("msg:custom", receive);
    };
  },
};
