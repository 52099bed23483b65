// The wheel. It starts turning at the tap and lands where the answer says; it never picks anything itself.
// Angles in `layout` and `reveal` are thousandths of a degree, clockwise from the top of the resting wheel.

const SVG = "http://www.w3.org/2000/svg";
const RADIUS = 180;
const SPEED = 720; // degrees a second while waiting
const UP_TO_SPEED = 700; // ms
const FADE = 200; // ms, reduced motion
const TANGENTIAL = 40; // degrees: a wedge at least this wide carries its name across, a narrower one along

export function mount(stage, { layout, text, motion, sound }) {
  const root = stage.querySelector(".wheel");
  const disc = root.querySelector(".wheel__disc");
  const mark = root.querySelector(".wheel__mark");
  const language = stage.closest("[lang]")?.lang ?? "";
  const wedges = layout.wedges.map((wedge) => ({
    ...wedge,
    from: wedge.start / 1000,
    sweep: wedge.sweep / 1000,
    label: wedge.name[language] ?? Object.values(wedge.name)[0] ?? wedge.key,
  }));
  const svg = draw(wedges);
  disc.replaceChildren(svg);
  wedges.forEach((wedge, index) => fit(svg.children[index], wedge));
  stage.setAttribute("role", "img");
  stage.setAttribute(
    "aria-label",
    (text.picture ?? "{prizes}")
      .replace("{count}", wedges.length)
      .replace("{prizes}", wedges.map((wedge) => (wedge.odds ? `${wedge.label} ${wedge.odds}` : wedge.label)).join(", ")),
  );

  let moving = null; // the animation under way
  let ticking = 0;
  let run = 0; // grows with every call, so that an outdated step stops by itself

  const reduced = () => motion === "reduced";
  const angle = () => {
    const { a, b } = new DOMMatrix(getComputedStyle(disc).transform);
    return ((Math.atan2(b, a) * 180) / Math.PI + 360) % 360;
  };
  const rest = (degrees) => {
    disc.style.transform = `rotate(${degrees % 360}deg)`;
    moving?.cancel();
    moving = null;
    cancelAnimationFrame(ticking);
  };
  const state = (name) => {
    root.dataset.state = name;
    mark.textContent = name === "unknown" || (name === "turning" && reduced()) ? "…" : "";
    for (const path of svg.children) path.classList.remove("is-landed");
  };

  // One turn of the disc from where it is. Resolves when it is over, also in a hidden tab, where animations stand still.
  const turn = (by, duration, easing, iterations = 1) => {
    const from = angle();
    disc.style.transform = `rotate(${from}deg)`;
    moving?.cancel();
    const animation = disc.animate(
      [{ transform: `rotate(${from}deg)` }, { transform: `rotate(${from + by}deg)` }],
      { duration, easing, iterations, fill: "forwards" },
    );
    moving = animation;
    if (iterations === Infinity) return Promise.resolve();
    const end = () => animation.playState === "running" && animation.finish();
    const clock = setTimeout(end, duration + 300);
    return animation.finished.then(
      () => clearTimeout(clock),
      () => clearTimeout(clock), // cancelled by the next step
    );
  };

  const tick = () => {
    const at = (360 - angle()) % 360;
    const under = wedges.findIndex((wedge) => at >= wedge.from && at < wedge.from + wedge.sweep);
    if (tick.under !== under) sound?.tick?.();
    tick.under = under;
    ticking = requestAnimationFrame(tick);
  };

  const fade = () => disc.animate([{ opacity: 0 }, { opacity: 1 }], { duration: FADE }).finished.catch(() => {});

  // The quickest way from here that shows `place` under the pointer after at least `turns` turns, leaving at full speed.
  const land = (place, turns) => {
    const by = turns * 360 + ((((-place - angle()) % 360) + 360) % 360);
    return turn(by, (3000 * by) / SPEED, "cubic-bezier(.333,1,.667,1)"); // exactly 1-(1-t)^3: starts at 3·by/duration
  };

  return {
    async begin() {
      const mine = ++run;
      state("turning");
      if (reduced()) return;
      tick();
      await turn(-8, 160, "ease-out");
      if (mine !== run) return;
      await turn((SPEED * UP_TO_SPEED) / 2000, UP_TO_SPEED, "cubic-bezier(.333,0,.667,.333)"); // exactly t^2
      if (mine !== run) return;
      turn(360, 360_000 / SPEED, "linear", Infinity);
    },

    async settle(reveal) {
      const mine = ++run;
      // Not knowing is shown between two wedges, with the pointer lifted: it must not look like a result.
      const place = reveal ? reveal.angle / 1000 : wedges[0].from;
      if (reduced()) rest(360 - place);
      else await land(place, reveal ? reveal.turns : 1);
      if (mine !== run) return;
      rest(360 - place);
      state(reveal ? "landed" : "unknown");
      if (reveal) svg.children[wedges.findIndex((wedge) => wedge.key === reveal.prize)]?.classList.add("is-landed");
      if (reduced()) await fade();
    },

    async skip() {
      if (root.dataset.state === "turning" && moving?.effect.getTiming().iterations === 1) moving.finish();
    },

    async reset() {
      run += 1;
      const here = angle();
      rest(here);
      state("rest");
    },
  };
}

function draw(wedges) {
  const svg = make("svg", { viewBox: "-200 -200 400 400", "aria-hidden": "true", focusable: "false" });
  wedges.forEach((wedge, index) => {
    const group = make("g", { class: `wedge wedge--${tone(index, wedges.length)}`, "data-prize": wedge.key });
    group.append(make("path", { d: slice(wedge.from, wedge.sweep) }));
    const across = wedge.sweep >= TANGENTIAL;
    const middle = wedge.from + wedge.sweep / 2;
    const name = make("text", { class: "wedge__name" });
    name.textContent = wedge.label;
    const words = make("g", { transform: `rotate(${across ? middle : middle - 90})` });
    if (across) set(name, { y: -136, "text-anchor": "middle" });
    else set(name, { x: 172, y: 5, "text-anchor": "end" });
    words.append(name);
    if (wedge.odds) {
      const odds = make("text", across ? { y: -62, "text-anchor": "middle" } : { x: 40, y: 4 });
      odds.setAttribute("class", "wedge__odds");
      odds.textContent = wedge.odds;
      words.append(odds);
    }
    group.append(words);
    svg.append(group);
  });
  return svg;
}

// Shrinks a name to its wedge, then shortens it; the whole name stays in the picture's label and in the result.
function fit(group, wedge) {
  const name = group.querySelector(".wedge__name");
  const across = wedge.sweep >= TANGENTIAL;
  const chord = 2 * 132 * Math.sin((Math.min(wedge.sweep, 150) * Math.PI) / 360) - 10;
  const room = across ? chord : wedge.odds ? 92 : 130;
  const tallest = across ? 20 : Math.min(17, (wedge.sweep * Math.PI * 130) / 180 - 2);
  const least = Math.min(11, tallest);
  name.setAttribute("font-size", tallest);
  const long = name.getComputedTextLength();
  const size = Math.max(least, Math.min(tallest, (0.96 * tallest * room) / Math.max(long, 1)));
  name.setAttribute("font-size", size.toFixed(1));
  const letters = [...wedge.label];
  while (letters.length > 1 && name.getComputedTextLength() > room) {
    letters.pop();
    name.textContent = `${letters.join("").trimEnd()}…`;
  }
  const odds = group.querySelector(".wedge__odds");
  odds?.setAttribute("font-size", Math.min(14, (wedge.sweep * Math.PI * (across ? 62 : 48)) / 180).toFixed(1));
}

// Four colours around, never the same twice in a row, also where the end meets the start.
function tone(index, count) {
  return index === count - 1 && count % 4 === 1 ? 1 : index % 4;
}

function slice(from, sweep) {
  const [x1, y1] = at(from);
  const [x2, y2] = at(from + sweep);
  return `M0 0L${x1} ${y1}A${RADIUS} ${RADIUS} 0 ${sweep > 180 ? 1 : 0} 1 ${x2} ${y2}z`;
}

function at(degrees) {
  const radians = (degrees * Math.PI) / 180;
  return [(RADIUS * Math.sin(radians)).toFixed(3), (-RADIUS * Math.cos(radians)).toFixed(3)];
}

function make(name, attributes) {
  const element = document.createElementNS(SVG, name);
  set(element, attributes);
  return element;
}

function set(element, attributes) {
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
}
