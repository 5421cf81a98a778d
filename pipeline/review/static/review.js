// The judging page and the comparing page. What is said of items is shown at once and sent behind it: it stays in
// this tab until the server has answered for it, under a key by which saying it twice counts once.
"use strict";

const MOST = 50, SOON_MS = 120, LATEST_MS = 5000, PATIENCE_MS = 15000, AHEAD = 8, SWIPE = 70, WINDOW = 40, OTHERS_MS = 15000;
const PATHS = { verdict: "/api/verdicts", undo: "/api/undo", choice: "/api/choices" };
const id = (name) => document.getElementById(name);
const main = id("main"), meta = document.querySelector("meta[name=csrf]");
const told = main.dataset, nothing = { accepted: null, rating: null, tags: [], note: "" };

function made(tag, values = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(values)) {
    if (name in node) node[name] = value;
    else if (value !== null) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function ask(path, body, patience_ms = PATIENCE_MS) {
  const asked = { headers: { Accept: "application/json" }, signal: AbortSignal.timeout(patience_ms), cache: "no-store" };
  if (body !== undefined) {
    asked.method = "POST";
    asked.body = JSON.stringify(body);
    Object.assign(asked.headers, { "Content-Type": "application/json", "X-CSRF-Token": meta.content });
  }
  const answer = await fetch(path, asked);
  const content = await answer.json().catch(() => ({}));
  return { status: answer.status, content, again_s: Number(answer.headers.get("Retry-After")) };
}

// ---- what waits to be sent

class Outbox {
  constructor(changed, refused) {
    this.place = `genloop ${told.me} ${told.batch}`;
    this.waiting = JSON.parse(sessionStorage.getItem(this.place) || "[]");
    this.flying = 0;
    this.trouble = "";
    this.wait_ms = 0;
    this.single = false;
    this.changed = changed;
    this.refused = refused;
    addEventListener("online", () => this.soon(0));
    addEventListener("beforeunload", (event) => this.waiting.length && event.preventDefault());
    if (this.waiting.length) this.soon(0);
  }

  add(kind, act) {
    const entry = { kind, act: { key: newKey(), ...act } };
    this.waiting.push(entry);
    this.keep();
    if (!this.trouble) this.soon(SOON_MS);
    return entry.act.key;
  }

  takeBack(key) {
    const at = this.waiting.findIndex((entry) => entry.act.key === key);
    if (at < this.flying) return false;
    this.waiting.splice(at, 1);
    this.keep();
    return true;
  }

  keep() {
    sessionStorage.setItem(this.place, JSON.stringify(this.waiting));
    this.changed(this.waiting.length, this.trouble);
  }

  soon(after_ms) {
    if (this.timer && after_ms) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.send(), after_ms);
  }

  async send() {
    this.timer = null;
    if (this.flying || !this.waiting.length) return;
    const kind = this.waiting[0].kind, same = this.waiting.findIndex((entry) => entry.kind !== kind);
    const most = this.single ? 1 : MOST;
    this.flying = Math.min(most, same < 0 ? this.waiting.length : same);
    const acts = this.waiting.slice(0, this.flying).map((entry) => entry.act);
    let answer = { status: 0, content: {} };
    try {
      answer = await ask(PATHS[kind], { acts });
    } catch { /* the server is away: tried again */ }
    this.heard(answer, acts);
  }

  async heard({ status, content, again_s }, acts) {
    const sent = this.flying;
    this.flying = 0;
    this.trouble = "";
    if (status === 200) {
      this.waiting.splice(0, sent);
      this.wait_ms = 0;
      this.single = false;
      for (const one of content.refused) this.refused(one.item, one.error);
      id("progress") && tellProgress(content.progress);
    } else if ([400, 404, 409, 413, 422].includes(status)) {
      if (sent > 1) this.single = true;
      else {
        this.waiting.splice(0, 1);
        this.refused(acts[0].item || "", content.error || `answer ${status}`);
      }
    } else {
      this.wait_ms = again_s ? again_s * 1000 : Math.min(LATEST_MS, Math.max(500, this.wait_ms * 2));
      this.trouble = "away";
      if (status === 429) this.trouble = "busy";
      if ((status === 401 || status === 403) && !(await renewed())) this.trouble = "login";
    }
    this.keep();
    if (this.waiting.length) this.soon(this.trouble ? this.wait_ms : 0);
  }
}

async function renewed() {
  try {
    const { status, content } = await ask("/api/me");
    if (status !== 200 || content.name !== told.me || content.csrf === meta.content) return false;
    meta.content = content.csrf;
    return true;
  } catch {
    return false;
  }
}

function tellWaiting(count, trouble) {
  const things = count === 1 ? "1 answer is" : `${count} answers are`;
  id("saved").textContent = count ? `${count} to send` : "All kept";
  const away = id("away");
  away.hidden = !trouble || !count;
  const texts = {
    away: `The server does not answer. ${things} kept here and sent when it is back. Go on; do not close this tab.`,
    busy: `The server asks us to wait. ${things} kept here and sent soon.`,
    login: `You are logged out. ${things} kept here. `,
  };
  if (trouble && away.dataset.told !== trouble + count) {
    away.dataset.told = trouble + count;
    away.replaceChildren(texts[trouble]);
    if (trouble === "login") away.append(made("a", { href: "/login?next=/welcome", target: "_blank", textContent: "Log in in another tab" }));
  }
}

function tellProgress(progress) {
  if (!progress) return;
  id("bar").max = progress.wanted;
  id("bar").value = Math.min(progress.judged, progress.wanted);
  id("progress").textContent = `${progress.judged} of ${progress.wanted} judged`;
}

async function followOthers() {
  if (document.hidden) return;
  const { status, content } = await ask(`/api/batches/${told.batch}/progress`).catch(() => ({ status: 0 }));
  if (status === 200) tellProgress(content);
}

function say(text) {
  id("told").textContent = text;
}

// ---- one item after the other

class Judge {
  constructor() {
    this.items = [];
    this.known = new Set();
    this.at = 0;
    this.past = [];
    this.ended = false;
    this.tiles = new Map();
    this.ahead = [];
    this.outbox = new Outbox(tellWaiting, (item, why) => this.wasRefused(item, why));
    tellWaiting(this.outbox.waiting.length, "");
    this.listen();
    this.more();
  }

  get item() {
    return this.items[this.at];
  }

  async more() {
    if (this.ended || this.loading) return;
    this.loading = true;
    const asked = new URLSearchParams(location.search);
    asked.set("have", this.items.filter((item) => !item.mine || location.search).length);
    try {
      const { status, content } = await ask(`/api/batches/${told.batch}/queue?${asked}`);
      if (status !== 200) throw new Error(content.error || `answer ${status}`);
      this.take(content);
    } catch (error) {
      say(`The queue could not be loaded: ${error.message}`);
      setTimeout(() => this.more(), LATEST_MS);
    }
    this.loading = false;
    this.show();
  }

  take({ items, more, progress }) {
    const unsent = new Map(this.outbox.waiting.filter((e) => e.kind === "verdict").map((e) => [e.act.item, e.act]));
    for (const item of items) {
      if (this.known.has(item.item)) continue;
      this.known.add(item.item);
      const act = unsent.get(item.item);
      if (act) item.mine = { accepted: act.accepted, rating: act.rating, tags: act.tags, note: act.note };
      this.items.push(item);
    }
    this.ended = !more;
    tellProgress(progress);
  }

  go(at) {
    this.at = Math.max(0, Math.min(at, this.items.length));
    if (this.items.length - this.at < 3 * AHEAD) this.more();
    this.show();
  }

  give(change, moves) {
    const item = this.item;
    if (!item) return;
    const before = item.mine;
    item.mine = { ...nothing, ...before, ...change };
    const isNothing = JSON.stringify(item.mine) === JSON.stringify(nothing);
    if (isNothing) item.mine = null;
    const key = isNothing
      ? this.outbox.add("undo", { item: item.item, all: true })
      : this.outbox.add("verdict", { item: item.item, ...item.mine });
    this.past.push({ item, before, key, isNothing });
    say(`${this.told(item)}. ${moves ? "Next item." : ""}`);
    if (moves) this.go(this.at + 1);
    else this.show();
  }

  undo() {
    const last = this.past.pop() || (this.item && this.item.mine && { item: this.item, before: null });
    if (!last) {
      say("Nothing to undo");
      return;
    }
    last.item.mine = last.before;
    const item = last.item.item;
    if (!last.key) this.outbox.add("undo", { item, all: true });
    else if (!this.outbox.takeBack(last.key)) {
      if (last.isNothing) this.outbox.add("verdict", { item, ...last.before });
      else this.outbox.add("undo", { item });
    }
    const at = this.items.indexOf(last.item);
    say("Undone");
    this.go(at < 0 ? this.at : at);
  }

  wasRefused(name, why) {
    const at = this.items.findIndex((item) => item.item === name);
    if (at >= 0) this.items[at].mine = null;
    this.past = this.past.filter((one) => one.item.item !== name);
    id("refused").hidden = false;
    id("refused").firstElementChild.textContent = `Not kept: ${why} (${name})`;
    this.show();
  }

  drop(name) {
    const at = this.items.findIndex((item) => item.item === name);
    if (at < 0) return;
    this.items.splice(at, 1);
    this.past = this.past.filter((one) => one.item.item !== name);
    if (at < this.at) this.at -= 1;
    this.show();
  }

  told(item) {
    const mine = item.mine;
    if (!mine) return "not judged";
    const parts = [mine.accepted === true && "accepted", mine.accepted === false && "rejected"];
    parts.push(mine.rating && `rated ${mine.rating} of 5`, ...mine.tags.map((tag) => `tagged ${tag}`), mine.note && "with a note");
    return parts.filter(Boolean).join(", ");
  }

  mark(mine) {
    if (!mine) return ["", ""];
    if (mine.accepted !== null) return mine.accepted ? ["✓", "yes"] : ["✗", "no"];
    return mine.rating ? [String(mine.rating), "star"] : ["…", ""];
  }

  show() {
    const item = this.item, stage = id("stage");
    id("over").hidden = Boolean(item) || !this.ended;
    stage.querySelector("figure").hidden = !item;
    id("caption").hidden = !item;
    this.strip();
    for (const button of document.querySelectorAll("[data-act]")) {
      if (!["undo", "help", "filters", "more"].includes(button.dataset.act)) button.disabled = !item;
    }
    if (!item) {
      id("stamp").hidden = true;
      this.side(null);
      return;
    }
    this.picture(item);
    const [sign, kind] = this.mark(item.mine);
    id("stamp").hidden = !item.mine;
    id("stamp").className = `stamp ${kind}`;
    id("stamp").textContent = `${sign} ${this.told(item)}`;
    const place = `${this.at + 1} of ${this.items.length}${this.ended ? "" : "+"}`;
    id("caption").replaceChildren(made("b", { textContent: item.label ?? "–" }), ` · ${place}${item.quarrel ? " · " : ""}`);
    if (item.quarrel) id("caption").append(made("span", { className: "chip quarrel", textContent: "two disagree: your opinion decides" }));
    this.pressed(item.mine || nothing);
    this.side(item);
    this.ahead = this.items.slice(this.at + 1, this.at + 1 + AHEAD).map((next) => {
      const image = new Image();
      image.src = next.image;
      return image;
    });
  }

  picture(item) {
    const image = id("shown");
    if (image.dataset.item === item.item) return;
    image.dataset.item = item.item;
    image.style.transform = "";
    image.style.opacity = "";
    image.classList.remove("leaving");
    image.src = item.image;
    image.alt = `Generated image${item.label === null ? "" : `, class ${item.label}`}`;
  }

  pressed(mine) {
    for (const button of document.querySelectorAll("[data-act][aria-pressed]")) {
      const act = button.dataset.act;
      const is = act === "accept" ? mine.accepted === true : act === "reject" ? mine.accepted === false : mine.rating === Number(act);
      button.setAttribute("aria-pressed", is);
    }
  }

  side(item) {
    id("facts").hidden = !item;
    if (!item) return;
    id("fact-class").textContent = item.label ?? "–";
    id("fact-segment").textContent = item.segment || "–";
    id("fact-chance").textContent = item.chance === null ? "–" : `${Math.round(item.chance * 100)}% to be accepted`;
    id("fact-others").textContent = item.opinions === 1 ? "1 opinion" : `${item.opinions} opinions`;
    id("fact-item").textContent = item.item;
    const mine = item.mine || nothing;
    if (document.activeElement !== id("note")) id("note").value = mine.note;
    const tags = [...new Set([...mine.tags, ...JSON.parse(told.tags), ...(this.tags || [])])].slice(0, 20);
    id("tags").replaceChildren(...tags.map((tag) => made("li", {}, made("button", {
      type: "button", textContent: tag, "aria-pressed": mine.tags.includes(tag), onclick: () => this.toggle(tag),
    }))));
    if (id("said").dataset.item !== item.item) {
      id("said").dataset.item = item.item;
      this.silence();
      if (this.reads) this.history();
    }
  }

  toggle(tag) {
    const mine = (this.item && this.item.mine) || nothing;
    const tags = mine.tags.includes(tag) ? mine.tags.filter((one) => one !== tag) : [...mine.tags, tag];
    this.tags = [...new Set([...(this.tags || []), tag])];
    this.give({ tags }, false);
  }

  silence() {
    id("said").replaceChildren();
    id("ask-said").setAttribute("aria-expanded", "false");
    id("ask-word").textContent = "Show";
  }

  async history() {
    const name = this.item.item, list = id("said");
    id("ask-said").setAttribute("aria-expanded", "true");
    id("ask-word").textContent = "Hide";
    const { status, content } = await ask(`/api/items/${name}/history`).catch(() => ({ status: 0, content: {} }));
    if (list.dataset.item !== name) return;
    if (status !== 200) list.replaceChildren(made("li", { textContent: content.error || "the server does not answer" }));
    else if (!content.said.length) list.replaceChildren(made("li", { className: "faint", textContent: "Nobody has said anything yet." }));
    else list.replaceChildren(...content.said.map((one) => made("li", {},
      made("b", { textContent: one.reviewer }), " ",
      made("span", { className: one.counts ? "" : "old", textContent: this.told({ mine: one }) + (one.concern ? `, ${one.concern}` : "") }),
      made("div", { className: "faint", textContent: new Date(one.at).toLocaleString() + (one.note ? ` · ${one.note}` : "") }))));
  }

  strip() {
    const from = Math.max(0, this.at - WINDOW), shown = this.items.slice(from, this.at + WINDOW);
    const wanted = new Set(shown.map((item) => item.item)), list = id("strip");
    for (const [name, tile] of this.tiles) {
      if (!wanted.has(name)) {
        tile.remove();
        this.tiles.delete(name);
      }
    }
    shown.forEach((item, i) => {
      let tile = this.tiles.get(item.item);
      if (!tile) {
        tile = this.tile(item);
        this.tiles.set(item.item, tile);
      }
      if (list.children[i] !== tile) list.insertBefore(tile, list.children[i] || null);
      const [sign, kind] = this.mark(item.mine), [button] = tile.children;
      button.lastElementChild.textContent = sign;
      button.lastElementChild.className = `mark ${kind}`;
      button.lastElementChild.hidden = !sign;
      button.setAttribute("aria-label", `Item ${from + i + 1}, class ${item.label ?? "none"}, ${this.told(item)}`);
      if (from + i === this.at) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    });
    const current = this.tiles.get(this.item && this.item.item);
    if (current) list.parentElement.scrollLeft = current.offsetLeft - (list.parentElement.clientWidth - current.clientWidth) / 2;
  }

  tile(item) {
    const image = made("img", { loading: "lazy", alt: "", width: 52, height: 52, src: item.small });
    const button = made("button", { type: "button", onclick: () => this.go(this.items.indexOf(item)) }, image, made("span", { className: "mark" }));
    return made("li", {}, button);
  }

  swipe() {
    const stage = id("stage"), image = id("shown");
    let from = null;
    stage.addEventListener("pointerdown", (event) => {
      if (event.pointerType !== "mouse" && event.isPrimary && this.item) from = event.clientX;
    });
    stage.addEventListener("pointermove", (event) => {
      if (from === null || !event.isPrimary) return;
      const moved = event.clientX - from;
      image.style.transform = `translateX(${moved}px) rotate(${moved / 40}deg)`;
      image.style.opacity = String(Math.max(0.4, 1 - Math.abs(moved) / 400));
    });
    const end = (event) => {
      if (from === null || !event.isPrimary) return;
      const moved = event.type === "pointerup" ? event.clientX - from : 0;
      from = null;
      image.classList.add("leaving");
      image.style.transform = "";
      image.style.opacity = "";
      if (Math.abs(moved) >= SWIPE) this.give({ accepted: moved > 0 }, true);
    };
    stage.addEventListener("pointerup", end);
    stage.addEventListener("pointercancel", end);
  }

  listen() {
    const acts = {
      accept: () => this.give({ accepted: true }, true),
      reject: () => this.give({ accepted: false }, true),
      undo: () => this.undo(),
      left: () => this.go(this.at - 1),
      right: () => this.go(this.at + 1),
      first: () => this.go(0),
      last: () => this.go(this.items.length - 1),
      tag: () => this.write("tag"),
      note: () => this.write("note"),
      compare: () => id("compare").click(),
      filters: () => id("filters").showModal(),
      said: () => {
        this.reads = !this.reads;
        if (this.reads) this.history();
        else this.silence();
      },
      concern: () => id("concern") && this.item && id("concern").showModal(),
      more: () => id("side").classList.toggle("open"),
      help: () => id("help").showModal(),
    };
    for (const stars of [1, 2, 3, 4, 5]) acts[stars] = () => this.give({ rating: stars }, true);
    const keys = { a: "accept", r: "reject", u: "undo", t: "tag", n: "note", c: "compare", f: "filters", h: "said", x: "concern", "?": "help",
      ArrowLeft: "left", ArrowRight: "right", Home: "first", End: "last", 1: 1, 2: 2, 3: 3, 4: 4, 5: 5 };
    shortcuts(keys, acts);
    this.swipe();
    id("shown").addEventListener("load", () => id("shown").classList.toggle("tiny", id("shown").naturalWidth <= 256));
    id("shown").addEventListener("error", () => this.mend());
    id("tag-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const tag = id("tag").value.trim();
      if (tag && !((this.item.mine || nothing).tags.includes(tag))) this.toggle(tag);
      id("tag").value = "";
    });
    id("note").addEventListener("change", () => this.noted());
    id("note").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) id("note").blur();
    });
    id("refused").lastElementChild.addEventListener("click", () => { id("refused").hidden = true; });
    if (id("concern")) id("concern").querySelector("form").addEventListener("submit", (event) => this.withdraw(event));
  }

  write(name) {
    if (!this.item) return;
    id("side").classList.add("open");
    id(name).focus();
  }

  noted() {
    const note = id("note").value.trim().slice(0, 2000);
    if (this.item && note !== (this.item.mine || nothing).note) this.give({ note }, false);
  }

  async mend() {
    const item = this.item;
    if (!item || item.mended) return;
    item.mended = true;
    const { status, content } = await ask(`/api/items/${item.item}`).catch(() => ({ status: 0, content: {} }));
    if (status === 404) {
      say("This item was withdrawn");
      this.drop(item.item);
    } else if (status === 200) {
      item.image = content.image;
      if (this.item === item) id("shown").src = content.image;
      setTimeout(() => { item.mended = false; }, LATEST_MS);
    }
  }

  async withdraw(event) {
    event.preventDefault();
    const form = event.target, item = this.item, button = form.querySelector("button.danger");
    const asked = { key: form.dataset.key || (form.dataset.key = newKey()), item: item.item, concern: form.elements.concern.value, note: form.elements.why.value.trim() };
    button.disabled = true;
    const { status, content } = await ask("/api/concerns", asked, 8 * PATIENCE_MS).catch(() => ({ status: 0, content: {} }));
    button.disabled = false;
    if (status !== 200) {
      id("concern-fault").hidden = false;
      id("concern-fault").textContent = `Not done: ${content.error || "the server does not answer"}. Press again.`;
      return;
    }
    form.dataset.key = "";
    form.reset();
    id("concern-fault").hidden = true;
    id("concern").close();
    say(content.withdrawn ? "Withdrawn" : "Hidden here; the withdrawal goes on");
    this.drop(item.item);
  }
}

// ---- two side by side

class Compare {
  constructor() {
    this.pairs = [];
    this.known = new Set();
    this.at = 0;
    this.past = [];
    this.outbox = new Outbox(tellWaiting, (item, why) => say(`Not kept: ${why}`));
    tellWaiting(this.outbox.waiting.length, "");
    const acts = {
      left: () => this.choose("left"), right: () => this.choose("right"), equal: () => this.choose("equal"),
      undo: () => this.undo(), judge: () => id("judge").click(), help: () => id("help").showModal(),
    };
    shortcuts({ ArrowLeft: "left", ArrowRight: "right", ArrowDown: "equal", "=": "equal", e: "equal", u: "undo", c: "judge", "?": "help" }, acts);
    for (const image of document.querySelectorAll(".shown")) {
      image.addEventListener("load", () => image.classList.toggle("tiny", image.naturalWidth <= 256));
    }
    this.more();
  }

  async more() {
    if (this.ended || this.loading) return;
    this.loading = true;
    const asked = new URLSearchParams(location.search);
    asked.set("have", this.pairs.length - this.at);
    try {
      const { status, content } = await ask(`/api/batches/${told.batch}/pairs?${asked}`);
      if (status !== 200) throw new Error(content.error || `answer ${status}`);
      const fresh = content.pairs.filter((pair) => !this.known.has(pair.left.item + pair.right.item));
      for (const pair of fresh) this.known.add(pair.left.item + pair.right.item);
      this.pairs.push(...fresh);
      this.ended = !fresh.length && !this.outbox.waiting.length;
    } catch (error) {
      say(`No pairs could be loaded: ${error.message}`);
      setTimeout(() => this.more(), LATEST_MS);
    }
    this.loading = false;
    this.show();
  }

  choose(side) {
    const pair = this.pairs[this.at];
    if (!pair) return;
    const key = this.outbox.add("choice", { left: pair.left.item, right: pair.right.item, better: side });
    this.past.push(key);
    this.at += 1;
    say(side === "equal" ? "Both alike. Next two." : `The ${side} one. Next two.`);
    if (this.pairs.length - this.at < 6) this.more();
    this.show();
  }

  undo() {
    if (!this.past.length) {
      say("Nothing to undo");
      return;
    }
    const key = this.past.pop();
    if (!this.outbox.takeBack(key)) this.outbox.add("undo", { of: key });
    this.at -= 1;
    say("Undone");
    this.show();
  }

  show() {
    const pair = this.pairs[this.at];
    id("pair").hidden = !pair;
    id("over").hidden = Boolean(pair) || !this.ended;
    for (const button of document.querySelectorAll("[data-act]")) {
      if (["left", "right", "equal"].includes(button.dataset.act)) button.disabled = !pair;
    }
    if (!pair) return;
    for (const side of ["left", "right"]) {
      const image = id(`${side}-shown`);
      image.src = pair[side].image;
      image.alt = `Generated image on the ${side}${pair[side].label === null ? "" : `, class ${pair[side].label}`}`;
    }
    this.ahead = this.pairs.slice(this.at + 1, this.at + 4).flatMap((next) => [next.left, next.right]).map((item) => {
      const image = new Image();
      image.src = item.image;
      return image;
    });
  }
}

// ---- keys and buttons

function shortcuts(keys, acts) {
  const off = "genloop keys off", switched = id("keys-on");
  switched.checked = localStorage.getItem(off) !== "yes";
  switched.addEventListener("change", () => localStorage.setItem(off, switched.checked ? "no" : "yes"));
  document.addEventListener("keydown", (event) => {
    const inDialog = document.querySelector("dialog[open]"), target = event.target instanceof Element ? event.target : main;
    if (event.key === "Escape") {
      if (target.matches("input, textarea")) target.blur();
      if (id("side")) id("side").classList.remove("open");
    }
    if (inDialog || target.matches("input, textarea, select")) return;
    const isUndo = (event.ctrlKey || event.metaKey) && event.key === "z";
    if (!isUndo && (event.ctrlKey || event.metaKey || event.altKey || !switched.checked)) return;
    const act = isUndo ? "undo" : keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (act === undefined || (event.repeat && !["left", "right"].includes(act)) || (event.repeat && !id("stage"))) return;
    event.preventDefault();
    acts[act]();
  });
  for (const button of document.querySelectorAll("[data-act]")) {
    button.addEventListener("click", () => acts[button.dataset.act]());
  }
  for (const button of document.querySelectorAll("dialog [data-close]")) {
    button.addEventListener("click", () => button.closest("dialog").close());
  }
}

setInterval(followOthers, OTHERS_MS);
if (told.mode === "judge") new Judge();
if (told.mode === "compare") new Compare();
