// The play page. The server decides, this shows it: it holds the key of a draw before the game moves, repeats that same
// key until it is answered, and shows a draw it finds on coming back exactly once.

import { Api, localStorageOf, newKey, read, sessionStorageOf, write } from "./api.js";
import { Note } from "./note.js";

const UNKNOWN_AFTER = 7000; // ms of waiting until the game comes to rest without a result
const RECENT = 3600_000; // ms: how old a draw may be to be shown to a browser that remembers nothing
const STALE = 30_000; // ms after which a page that comes back to the front asks again

const root = document.getElementById("page");
const stage = document.getElementById("stage");
const go = document.getElementById("go");
const goLabel = document.getElementById("go-label");
const goStub = document.getElementById("go-stub");
const said = document.getElementById("status");
const page = JSON.parse(root.dataset.page);
const words = page.words;
const still = matchMedia("(prefers-reduced-motion: reduce)");
const note = new Note(root, page);
const api = new Api(page.slug, takeToken());
const pendingSlot = `gamekit:${page.slug}:pending`;

let face = page.face; // what the game shows now
let game = null;
let mount = null;
let action = null; // what the big button does
let working = false; // a load or a draw is under way
let chances = null;
let clockOffset = 0;
let loadedAt = 0;

document.getElementById("test").hidden = !page.test;
go.addEventListener("click", () => action?.());
stage.addEventListener("click", () => (root.dataset.screen === "ready" || root.dataset.screen === "playing") && action?.());
document.getElementById("rules").addEventListener("click", () => document.getElementById("sheet").showModal());
addEventListener("pageshow", (event) => event.persisted && load());
document.addEventListener("visibilitychange", () => {
  const idle = ["ready", "no_chances_left", "not_started", "paused"].includes(root.dataset.screen);
  if (document.visibilityState === "visible" && idle && Date.now() - loadedAt > STALE) load();
});
const sound = makeSound();
start();

async function start() {
  try {
    ({ mount } = await import(page.game));
  } catch {
    show("offline", { body: words.not_used });
    button(words.retry, () => location.reload());
    return;
  }
  wear(face);
  load();
}

// The token leaves the address before anything else can read it there.
function takeToken() {
  const address = new URL(location.href);
  const token = address.searchParams.get("t");
  if (token === null) return undefined;
  address.searchParams.delete("t");
  history.replaceState(null, "", address);
  return token;
}

function wear(next) {
  face = next;
  const motion = still.matches ? "reduced" : "full";
  game = mount(stage, { layout: face.layout, options: face.options, text: face.text, motion, sound });
}

async function load() {
  if (working) return;
  working = true;
  if (root.dataset.screen !== "ready") button(words.loading, null);
  const answer = await api.until(() => api.state(page.face.version), trouble);
  working = false;
  loadedAt = Date.now();
  if (answer.kind === "refused") return refused(answer.code);
  const state = answer.data;
  clockOffset = Date.parse(state.now) - Date.now();
  chances = state.chances_left;
  if (state.face) page.face = state.face;
  const pending = read(sessionStorageOf(), pendingSlot);
  const [latest] = state.latest;
  const seen = read(localStorageOf(), seenSlot(state.player));
  page.player = state.player;
  if (latest && latest.id !== seen) {
    const mine = pending !== null && latest.proof.key === pending;
    if (mine || seen !== null || Date.parse(state.now) - Date.parse(latest.created_at) < RECENT) {
      wear(state.latest_face ?? page.face);
      return reveal(latest, mine ? null : words.earlier);
    }
  }
  if (latest && pending !== null && latest.proof.key === pending) write(sessionStorageOf(), pendingSlot, null);
  else if (pending !== null) return play();
  if (face !== page.face) wear(page.face);
  else game.reset();
  standing(state);
}

// What a player who is not in the middle of a draw sees.
function standing(state) {
  const countdown = { until: state.next_chance_at ?? state.starts_at, offset: clockOffset, over: soon(load) };
  switch (state.state) {
    case "ready":
      return ready();
    case "no_chances_left": {
      const when = state.next_chance_at && fill(words.next_chance, { date: note.date(state.next_chance_at) });
      show("no_chances_left", { body: when || words.no_next_chance, countdown: state.next_chance_at && countdown });
      break;
    }
    case "not_started": {
      const when = state.starts_at && fill(words.starts, { date: note.date(state.starts_at) });
      show("not_started", { body: when || words.starts_soon, countdown: state.starts_at && countdown });
      break;
    }
    default:
      show(state.state, { body: words[`${state.state}_body`] });
  }
  note.offerChat(words.chat);
  button(null);
}

function ready() {
  note.hide();
  root.dataset.screen = "ready";
  button(face.text.action, play, chances);
}

async function play() {
  if (working || chances === 0) return;
  working = true;
  const key = read(sessionStorageOf(), pendingSlot) ?? newKey();
  write(sessionStorageOf(), pendingSlot, key);
  note.hide();
  root.dataset.screen = "playing";
  button(face.text.playing, null);
  said.textContent = face.text.playing;
  sound.ready();

  let uncertain = null; // the game coming to rest without a result
  let resting = false; // it has
  let last = { kind: "busy" };
  let moving = game.begin();
  const rest = setTimeout(async () => {
    uncertain = game.settle(null);
    await uncertain;
    resting = working;
    if (resting) trouble(last);
  }, UNKNOWN_AFTER);
  const answer = await api.until(
    () => api.draw(key, face.version),
    (problem) => {
      last = problem;
      if (resting) trouble(problem);
    },
  );
  clearTimeout(rest);
  working = false;
  if (answer.kind === "refused") {
    write(sessionStorageOf(), pendingSlot, null);
    await (uncertain ?? game.settle(null));
    if (["no_chances_left", "campaign_not_started", "campaign_paused", "campaign_ended"].includes(answer.code)) return load();
    return refused(answer.code);
  }
  const [draw] = answer.data.draws;
  chances = answer.data.chances_left;
  if (answer.data.face) {
    page.face = answer.data.face;
    wear(page.face);
  }
  if (uncertain || answer.data.face) moving = game.begin();
  note.hide();
  root.dataset.screen = "playing";
  working = true;
  await moving;
  await reveal(draw, null);
}

// Shows one draw and then remembers that it was seen.
async function reveal(draw, heading) {
  working = true;
  root.dataset.screen = "playing";
  button(words.skip, () => game.skip());
  const landing = game.settle(draw.reveal);
  if (heading) game.skip();
  await landing;
  working = false;
  write(sessionStorageOf(), pendingSlot, null);
  write(localStorageOf(), seenSlot(page.player), draw.id);
  const won = draw.outcome === "win";
  const prize = face.prizes[draw.prize.key]?.name ?? draw.prize.name;
  root.dataset.screen = won ? "win" : "nothing";
  if (won) note.win({ draw, prize, heading: heading ?? words.win });
  else note.say({ heading: heading ?? words.nothing, body: heading ? words.nothing : words.nothing_body, result: true });
  note.offerChat(words.chat);
  said.textContent = won ? fill(words.win_said, { prize }) : words.nothing;
  sound[won ? "win" : "nothing"]();
  if (chances === 0) button(words.when_next, load);
  else button(face.text.again, again, chances);
}

function again() {
  if (face !== page.face) wear(page.face);
  play();
}

// No answer yet. In the middle of a draw its result is safe; before one, nothing was used up.
function trouble({ kind }) {
  const drawing = read(sessionStorageOf(), pendingSlot) !== null;
  const offline = kind === "offline";
  show(offline ? "offline" : "busy", { body: drawing ? words.saved : offline ? words.not_used : words.busy_body });
  button(words.retry, () => api.wake());
}

function refused(code) {
  const name = code === "session_needed" ? "link_invalid" : code;
  if (name.startsWith("link_") && words[name]) {
    const hint = page.keyword ? fill(words.keyword, { keyword: page.keyword }) : words.no_keyword;
    show(name, { body: words[`${name}_body`], small: hint });
    note.offerChat(words.chat_fresh);
    return button(null);
  }
  if (name === "not_eligible") {
    show(name, { body: words.not_eligible_body });
    return button(null);
  }
  show("failed", { body: words.failed_body });
  button(words.retry, load);
}

function show(name, { body, small, countdown }) {
  root.dataset.screen = name;
  note.say({ heading: words[name], body, small });
  said.textContent = `${words[name]} ${body ?? ""}`;
  if (countdown) note.count(countdown);
}

// The big button: what it says and does; without a label it is not there, without an action it waits.
function button(label, does = null, count = null) {
  const focused = document.activeElement === go;
  action = does;
  go.hidden = label === null;
  if (go.hidden) return focused && note.focus();
  goLabel.textContent = label;
  go.setAttribute("aria-disabled", String(does === null));
  goStub.hidden = count === null;
  goStub.textContent = count === null ? "" : fill(words.left, { count });
}

// When a countdown is over the server decides what comes next; its clock may be a moment behind.
function soon(act) {
  return () => setTimeout(act, 1000);
}

function seenSlot(player) {
  return `gamekit:${page.slug}:${player}:seen`;
}

function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

// Off until the player turns it on; the sounds themselves load only then, after a gesture.
function makeSound() {
  const toggle = document.getElementById("sound");
  let on = read(localStorageOf(), "gamekit:sound") === "on";
  let sounds = null;
  const paint = () => {
    toggle.setAttribute("aria-pressed", String(on));
    toggle.setAttribute("aria-label", on ? words.sound_off : words.sound_on);
  };
  const open = async () => {
    if (!on) return;
    sounds ??= await import(page.sound).catch(() => null);
    await sounds?.open();
  };
  toggle.addEventListener("click", () => {
    on = !on;
    write(localStorageOf(), "gamekit:sound", on ? "on" : "off");
    paint();
    open();
  });
  paint();
  const play = (name) => () => on && sounds?.[name]();
  return { ready: open, tick: play("tick"), win: play("win"), nothing: play("nothing") };
}
