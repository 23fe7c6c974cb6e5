// Shows one run of an agent while it happens. What arrives: numbered changes, or the whole; texts that
// grow ("+name") and finished parts as HTML that the kernel has made harmless. Texts only ever become
// text nodes here. When the run ends the kernel puts the saved form in this view's place.

const CALM = matchMedia("(prefers-reduced-motion: reduce)").matches;
const GLYPHS = { writing: "✎", running: "◌", waiting: "◇" };
const WORDS = { writing: "being written", running: "running", waiting: "waits for approval" };

function el(tag, name, ...inside) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  node.append(...inside);
  return node;
}

function button(text, name, act) {
  const node = el("button", name, text);
  node.type = "button";
  node.addEventListener("click", act);
  return node;
}

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

/** Keeps a scrolling box at its end unless the reader has scrolled up. */
function follow(box) {
  let atEnd = true;
  let top = 0;
  let height = 0;
  const look = () => {
    // A box that shrank moves up by itself; that is nobody's wish.
    if (box.scrollTop < top - 1 && box.scrollHeight >= height) atEnd = false;
    else if (box.scrollHeight - box.scrollTop - box.clientHeight < 4) atEnd = true;
    top = box.scrollTop;
    height = box.scrollHeight;
  };
  box.addEventListener("scroll", look);
  return () => {
    look();
    if (atEnd) box.scrollTop = box.scrollHeight;
    top = box.scrollTop;
  };
}

/** A fold that opens and closes by itself until the reader has touched it. */
function fold(details) {
  details.addEventListener("click", () => (details.dataset.touched = "yes"));
  return details;
}

function foldAway(node) {
  for (const details of node.querySelectorAll("details[open]"))
    if (!details.dataset.touched) details.open = false;
}

// The growing end of an answer. The kernel renders each paragraph properly once it is over; until then
// this gives it about the same look.

const INLINE = /(`+)([^`]+)\1|\*\*([^*\n]+)\*\*|\*([^*\n]+)\*|~~([^~\n]+)~~|\[([^\]\n]+)\]\([^)\s]*\)/g;

function inline(text) {
  const made = [];
  let from = 0;
  for (const m of text.matchAll(INLINE)) {
    made.push(text.slice(from, m.index));
    if (m[2]) made.push(el("code", "", m[2]));
    else if (m[3]) made.push(el("strong", "", m[3]));
    else if (m[4]) made.push(el("em", "", m[4]));
    else if (m[5]) made.push(el("s", "", m[5]));
    else made.push(el("u", "", m[6]));
    from = m.index + m[0].length;
  }
  return [...made, text.slice(from)];
}

function growing(text) {
  const made = [];
  let paragraph = null;
  let code = null;
  let table = null;
  for (const line of text.split("\n")) {
    let m;
    if (!/^\s*\|/.test(line)) table = null;
    if ((m = /^\s*(```+|~~~+)/.exec(line))) {
      if (code) code = null;
      else made.push(el("pre", "lkw-code", (code = document.createTextNode(""))));
      paragraph = null;
    } else if (code) {
      code.data += (code.data && "\n") + line;
    } else if (!line.trim()) {
      paragraph = null;
    } else if ((m = /^(#{1,6}) +(.*)/.exec(line))) {
      made.push(el("div", "lkw-heading", ...inline(m[2])));
      paragraph = null;
    } else if ((m = /^(\s*)([-*+]|\d+[.)]) +(.*)/.exec(line))) {
      paragraph = el("div", "lkw-item", ...inline(m[3]));
      paragraph.dataset.mark = /\d/.test(m[2]) ? m[2] : "•";
      paragraph.style.marginLeft = 24 + Math.min(m[1].length, 12) * 8 + "px";
      made.push(paragraph);
    } else if (/^\s*\|/.test(line)) {
      const row = line.trim().replace(/^\||\|$/g, "");
      const cells = row.split(/(?<!\\)\|/).map((cell) => el("td", "", ...inline(cell.trim())));
      if (!table) made.push((table = el("table", "lkw-table")));
      if (/[^\s|:-]/.test(row)) table.append(el("tr", "", ...cells));
      paragraph = null;
    } else {
      const quote = /^> ?(.*)/.exec(line);
      const words = inline(quote ? quote[1] : line);
      if (paragraph) paragraph.append("\n", ...words);
      else made.push((paragraph = el("div", quote ? "lkw-quote" : "lkw-paragraph", ...words)));
    }
  }
  for (const node of made) node.dir = "auto";
  return made;
}

// One class for each kind of entry; each takes in changes of its fields.

class Thought {
  constructor() {
    this.text = document.createTextNode("");
    this.box = el("div", "lkw-thought", this.text);
    this.box.dir = "auto";
    this.stay = follow(this.box);
    this.title = el("summary", "", "Thinking");
    this.node = el("div", "lkw-aside", fold(el("details", "", this.title, this.box)));
    this.node.firstChild.open = true;
  }
  update(view) {
    this.text.data = view.text;
    this.stay();
  }
  /** Something else has begun. */
  past() {
    const words = this.text.data.trim().replace(/\s+/g, " ");
    const start = words.length > 90 ? words.slice(0, 89) + "…" : words;
    this.title.replaceChildren(el("i", "", "Thought"), " · " + start);
  }
}

class Call {
  constructor() {
    this.glyph = el("span", "lkw-glyph");
    this.name = el("b", "lkw-mono");
    this.args = el("span", "lkw-mono lkw-args");
    this.said = el("span", "lkw-quiet");
    this.output = el("pre", "lkw-output");
    this.output.hidden = true;
    this.stay = follow(this.output);
    this.since = performance.now();
    this.node = el("div", "lkw-aside lkw-call");
    const calling = el("div", "lkw-calling", this.name, this.args);
    this.node.append(el("div", "lkw-line", this.glyph, calling, this.said), this.output);
  }
  update(view) {
    if (view.state !== this.state) this.since = performance.now();
    this.view = view;
    this.state = view.state;
    this.glyph.textContent = GLYPHS[view.state] || "·";
    this.glyph.classList.toggle("lkw-busy", view.state === "running");
    this.name.textContent = view.name;
    this.args.textContent = "(" + view.args.slice(0, 2000) + (view.state === "writing" ? "…" : ")");
    this.output.textContent = view.output;
    this.output.hidden = !view.output;
    this.stay();
    this.tick();
  }
  tick() {
    const seconds = (performance.now() - this.since) / 1000;
    let said = WORDS[this.state] || "";
    if (this.view.progress) said = this.view.progress;
    if (this.state === "running" && seconds >= 0.5)
      said += " · " + (seconds < 60 ? seconds.toFixed(1) + " s" : Math.floor(seconds / 60) + " min");
    this.said.textContent = said;
  }
}

class Part {
  constructor(unpack) {
    this.unpack = unpack;
    this.node = el("div", "lkw-aside");
  }
  update(view) {
    this.node.innerHTML = this.unpack(view.html);
    for (const details of this.node.querySelectorAll(":scope > details")) fold(details).open = true;
  }
}

class Answer {
  constructor(unpack) {
    this.unpack = unpack;
    this.done = el("div");
    this.tail = el("div", "lkw-tail");
    this.tail.setAttribute("aria-hidden", "true"); // read aloud once the paragraph is over
    this.node = el("div", "lkw-answer", this.done, this.tail);
    this.node.dir = "auto";
    this.html = "";
    this.text = "";
    this.shown = 0;
  }
  update(view, ms) {
    this.until = performance.now() + ms;
    const settled = view.html !== this.html;
    if (settled) {
      if (this.html && view.html.startsWith(this.html))
        this.done.insertAdjacentHTML("beforeend", this.unpack(view.html.slice(this.html.length)));
      else this.done.innerHTML = this.unpack(view.html);
      this.html = view.html;
    }
    if (!view.tail.startsWith(this.text)) this.shown = settled ? view.tail.length : 0;
    this.text = view.tail;
    this.draw();
  }
  /** Letters that came in one batch are laid out over the time until the next one. */
  draw() {
    const left = this.text.length - this.shown;
    const frames = (this.until - performance.now()) / 17;
    const all = CALM || document.hidden || this.text.length > 4000 || frames < 1;
    this.shown = all ? this.text.length : this.shown + Math.ceil(left / frames);
    this.tail.replaceChildren(...growing(this.text.slice(0, this.shown)));
    if (this.shown < this.text.length && !this.frame)
      this.frame = requestAnimationFrame(() => {
        this.frame = 0;
        this.draw();
        this.moved();
      });
  }
}

const KINDS = { thought: Thought, call: Call, html: Part, answer: Answer };

/** What the person is asked: calls to approve, or a question. Keys stay here, away from the notebook. */
class Ask {
  constructor(ask, send) {
    this.id = ask.id;
    this.node = el("div", "lkw-ask");
    this.node.setAttribute("role", "group");
    this.node.dataset.lmSuppressShortcuts = "true";
    const answer = (content) => {
      for (const node of this.node.querySelectorAll("button, textarea")) node.disabled = true;
      send({ kind: "answer", ask: ask.id, ...content });
    };
    if (ask.kind === "question") this.question(ask, answer);
    else this.approval(ask, answer);
  }
  question(ask, answer) {
    const field = el("textarea", "lkw-field");
    field.rows = 2;
    field.dir = "auto";
    field.setAttribute("aria-label", "Your answer");
    const go = () => answer({ text: field.value });
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        go();
      }
    });
    const title = el("div", "lkw-title", ask.text);
    title.dir = "auto";
    this.node.setAttribute("aria-label", "Question");
    this.node.append(title, field, el("div", "lkw-buttons", button("Answer", "lkw-good", go)));
  }
  approval(ask, answer) {
    this.node.setAttribute("aria-label", "Approval");
    const decisions = new Map();
    const decide = (id, decision) => {
      decisions.set(id, { id, ...decision });
      if (decisions.size === ask.calls.length) answer({ decisions: [...decisions.values()] });
    };
    const cards = ask.calls.map((call) => this.card(call, decide));
    this.node.append(...cards.map((card) => card.node));
    if (cards.length > 1) {
      const rest = (approve) => () => {
        for (const card of cards) if (!decisions.has(card.id)) card.decide(approve);
      };
      const all = [button("Approve all", "lkw-good", rest(true)), button("Deny all", "lkw-bad", rest(false))];
      this.node.append(el("div", "lkw-buttons", ...all));
    }
  }
  card(call, decide) {
    const args = el("pre", "lkw-given", call.arguments);
    args.dir = "auto";
    const field = el("textarea", "lkw-field lkw-mono");
    field.value = call.arguments;
    field.rows = Math.min(call.arguments.split("\n").length + 1, 14);
    field.spellcheck = false;
    field.hidden = true;
    field.setAttribute("aria-label", `Arguments of ${call.name}, as JSON`);
    const reason = el("textarea", "lkw-field");
    reason.rows = 1;
    reason.dir = "auto";
    reason.hidden = true;
    reason.placeholder = "Why not? (the agent is told; may stay empty)";
    reason.setAttribute("aria-label", "Why not");
    const wrong = el("div", "lkw-wrong");
    wrong.setAttribute("role", "alert");
    const name = el("b", "lkw-mono", call.name);
    const title = el("div", "lkw-title", "Allow ", name, "?");
    const settle = (said, decision) => {
      for (const node of [buttons, field, reason, wrong]) node.remove();
      title.append(el("span", "lkw-quiet", " " + said));
      decide(call.id, decision);
    };
    const approve = () => {
      if (field.hidden) return settle("approved", { approve: true });
      let value;
      try {
        value = JSON.parse(field.value);
      } catch (error) {
        wrong.textContent = error.message;
        return;
      }
      if (typeof value !== "object" || value === null || Array.isArray(value))
        wrong.textContent = "The arguments have to be a JSON object, {…}.";
      else {
        args.textContent = field.value;
        args.hidden = false;
        settle("approved as edited", { approve: true, arguments: value });
      }
    };
    const deny = () => {
      if (!reason.hidden) return settle("denied", { approve: false, reason: reason.value.trim() });
      reason.hidden = false;
      reason.focus();
    };
    reason.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.isComposing) {
        event.preventDefault();
        deny();
      }
    });
    const edit = () => {
      field.hidden = !field.hidden;
      args.hidden = !field.hidden;
      wrong.textContent = "";
      if (!field.hidden) field.focus();
    };
    const buttons = el(
      "div",
      "lkw-buttons",
      button("Approve", "lkw-good", approve),
      button("Deny", "lkw-bad", deny),
      button("Edit", "", edit),
    );
    const node = el("div", "lkw-card", title, args, field, reason, wrong, buttons);
    return {
      node,
      id: call.id,
      decide: (yes) => (yes ? approve() : settle("denied", { approve: false })),
    };
  }
}

class View {
  constructor(model, root) {
    this.model = model;
    this.n = -1;
    this.entries = new Map();
    this.looks = [];
    this.unpack = (html) => html.replace(/ style="@(\d+)"/g, (_, look) => ` style="${this.looks[look]}"`);
    this.head = el("div", "lkw-head");
    this.stop = button("Stop", "lkw-stop", () => this.send({ kind: "stop" }));
    this.stop.title = "Stop this run; what was said so far is kept";
    this.stop.setAttribute("aria-label", "Stop");
    this.stop.dataset.lmSuppressShortcuts = "true";
    this.list = el("div", "lkw-list");
    this.list.setAttribute("role", "log");
    this.list.tabIndex = 0;
    this.list.setAttribute("aria-label", "The run so far");
    this.follow = follow(this.list);
    this.asked = el("div");
    this.foot = el("div", "lkw-foot");
    this.said = el("div", "lkw-said");
    this.said.setAttribute("role", "status");
    root.classList.add("lkw");
    keepNewLines(root);
    root.setAttribute("role", "group");
    root.setAttribute("aria-label", "Run of an agent");
    root.append(el("div", "lkw-top", this.head, this.stop), this.list, this.asked, this.foot, this.said);
    this.timer = setInterval(() => this.tick(), 200);
  }
  send(content) {
    this.model.send(content);
  }
  tick() {
    for (const { part } of this.entries.values()) part.tick?.();
  }
  receive(message) {
    if (message.whole) {
      if (message.n === this.n) return; // somebody else asked for it
      for (const { part } of this.entries.values()) part.node.remove();
      this.entries.clear();
    } else if (message.n !== this.n + 1) {
      if (this.n >= 0) this.send({ kind: "ready" });
      this.n = -1;
      return;
    }
    this.n = message.n;
    if (message.looks) this.looks = message.whole ? message.looks : [...this.looks, ...message.looks];
    for (const item of message.items ?? []) this.item(item, message.ms ?? 0);
    if (message.order) this.order(message.order);
    if ("head" in message) this.head.innerHTML = this.unpack(message.head);
    if ("foot" in message) this.foot.innerHTML = this.unpack(message.foot);
    if ("said" in message) this.said.textContent = message.said;
    if ("state" in message) this.stop.hidden = message.state !== "running" && message.state !== "waiting";
    if ("ask" in message) this.ask(message.ask);
    this.follow();
  }
  item(change, ms) {
    let entry = this.entries.get(change.k);
    const view = entry && (!change.t || change.t === entry.view.t) ? entry.view : {};
    for (const [name, value] of Object.entries(change))
      if (name[0] === "+") view[name.slice(1)] = (view[name.slice(1)] ?? "") + value;
      else view[name] = value;
    if (!entry || view !== entry.view) {
      const part = new KINDS[view.t](this.unpack);
      part.moved = this.follow;
      if (entry) entry.part.node.replaceWith(part.node);
      else {
        foldAway(this.list);
        for (const { part } of this.entries.values()) part.past?.();
        this.list.append(part.node);
      }
      entry = { view, part };
      this.entries.set(change.k, entry);
    }
    entry.part.update(view, ms);
  }
  order(keys) {
    for (const [key, { part }] of this.entries)
      if (!keys.includes(key)) {
        part.node.remove();
        this.entries.delete(key);
      }
    const sorted = new Map(keys.filter((k) => this.entries.has(k)).map((k) => [k, this.entries.get(k)]));
    let before = null;
    for (const { part } of [...sorted.values()].reverse()) {
      if (part.node.nextSibling !== before) this.list.insertBefore(part.node, before);
      before = part.node;
    }
    this.entries = sorted;
  }
  ask(ask) {
    if (ask?.id === this.asking) return;
    this.asking = ask?.id;
    this.asked.replaceChildren(...(ask ? [new Ask(ask, (content) => this.send(content)).node] : []));
    this.asked.scrollIntoView?.({ block: "nearest" });
    // The kernel asks in another way if it does not hear this: then clicks would not arrive either.
    if (ask) this.send({ kind: "shown", ask: ask.id });
  }
  close() {
    clearInterval(this.timer);
  }
}

export default {
  render({ model, el: root }) {
    const view = new View(model, root);
    const receive = (message) => view.receive(message);
    model.on("msg:custom", receive);
    // Said again until it is heard: what is sent before the page has a subshell waits behind the cell.
    let times = 0;
    const ready = () => {
      if (view.n < 0 && times++ < 40) {
        view.send({ kind: "ready" });
        waiting = setTimeout(ready, times < 8 ? 80 : 1000);
      }
    };
    let waiting = setTimeout(ready, 40);
    return () => {
      clearTimeout(waiting);
      model.off("msg:custom", receive);
      view.close();
    };
  },
};
