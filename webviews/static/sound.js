// Three small sounds, made on the spot; loaded only after the player asked for sound.

let context = null;

export function open() {
  context ??= new AudioContext();
  return context.resume();
}

const note = (frequency, at, length, type = "sine", peak = 0.2) => {
  if (context?.state !== "running") return;
  const start = context.currentTime + at;
  const wave = new OscillatorNode(context, { type, frequency });
  const gain = new GainNode(context, { gain: 0 });
  gain.gain.setValueAtTime(0, start);
  gain.gain.linearRampToValueAtTime(peak, start + 0.004);
  gain.gain.exponentialRampToValueAtTime(0.0001, start + length);
  wave.connect(gain).connect(context.destination);
  wave.start(start);
  wave.stop(start + length);
};

export const tick = () => note(1300, 0, 0.03, "triangle", 0.08);
export const win = () => [523, 659, 784].forEach((frequency, index) => note(frequency, index * 0.14, 0.5));
export const nothing = () => note(330, 0, 0.35, "sine", 0.12);
