// The card over the stage: what happened, the coupon, a countdown, the way back to the chat.

export class Note {
  constructor(root, page) {
    this.root = root;
    this.page = page;
    this.words = page.words;
    this.clockTimer = 0;
    const part = (id) => document.getElementById(id);
    this.card = part("note");
    this.title = part("note-title");
    this.prize = part("note-prize");
    this.body = part("note-body");
    this.small = part("note-small");
    this.code = part("code");
    this.codeText = part("code-text");
    this.expires = part("note-expires");
    this.clock = part("clock");
    this.chat = part("chat");
    this.copy = part("copy");
    this.copy.addEventListener("click", () => this.copyCode());
  }

  hide() {
    clearInterval(this.clockTimer);
    this.card.hidden = true;
    this.root.dataset.dim = this.root.dataset.result = "no";
  }

  say({ heading, body = null, small = null, result = false }) {
    this.hide();
    text(this.title, heading);
    text(this.body, body);
    text(this.small, small);
    for (const part of [this.prize, this.code, this.expires, this.clock, this.chat]) part.hidden = true;
    this.root.dataset.dim = result ? "no" : "yes";
    this.root.dataset.result = result ? "yes" : "no";
    this.card.hidden = false;
  }

  win({ draw, prize, heading }) {
    this.say({ heading, small: this.words.sent, result: true });
    text(this.prize, prize);
    if (!draw.coupon) return;
    this.code.hidden = false;
    this.codeText.textContent = draw.coupon.code;
    this.copy.textContent = this.words.copy;
    const until = draw.coupon.expires_at;
    text(this.expires, until && this.words.expires.replace("{date}", this.day(until)));
  }

  // "Back to chat", where there is an address for it.
  offerChat(label) {
    if (!this.page.chat) return;
    this.chat.href = this.page.chat;
    text(this.chat, label);
  }

  count({ until, offset, over }) {
    const end = Date.parse(until) - offset;
    const tick = () => {
      const left = Math.max(0, Math.ceil((end - Date.now()) / 1000));
      const parts = [
        [Math.floor(left / 86_400), this.words.days],
        [Math.floor(left / 3600) % 24, this.words.hours],
        [Math.floor(left / 60) % 60, this.words.minutes],
        [left % 60, this.words.seconds],
      ];
      this.clock.replaceChildren(...(parts[0][0] ? parts : parts.slice(1)).map(([number, unit]) => box(number, unit)));
      if (left > 0) return;
      clearInterval(this.clockTimer);
      over();
    };
    this.clock.hidden = false;
    this.clockTimer = setInterval(tick, 1000);
    tick();
  }

  focus() {
    this.title.focus();
  }

  // Days and times are the campaign's own: its rules are written in them, wherever the phone is.
  date(moment) {
    return this.format(moment, { month: "long", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  }

  // A coupon is good to the end of a day.
  day(moment) {
    return this.format(moment, { year: "numeric", month: "long", day: "numeric" });
  }

  format(moment, options) {
    const zoned = { ...options, timeZone: this.page.timezone };
    return new Intl.DateTimeFormat(document.documentElement.lang, zoned).format(new Date(moment));
  }

  async copyCode() {
    const done = await navigator.clipboard.writeText(this.codeText.textContent).then(
      () => true,
      () => false,
    );
    if (!done && !this.copySelected()) return;
    this.copy.textContent = this.words.copied;
    document.getElementById("status").textContent = this.words.copied;
  }

  // Webviews without clipboard permission: the older way, and if that fails too the code stays selected.
  copySelected() {
    getSelection().selectAllChildren(this.codeText);
    return document.execCommand("copy");
  }
}

function text(element, value) {
  element.textContent = value ?? "";
  element.hidden = !value;
}

function box(number, unit) {
  const span = document.createElement("span");
  const bold = document.createElement("b");
  bold.textContent = String(number).padStart(2, "0");
  span.append(bold, unit);
  return span;
}
