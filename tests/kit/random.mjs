// Numbers that a seed gives again.

/** A function that gives the next number of [0, 1); each name has a sequence of its own (mulberry32). */
export function random(seed, name = '') {
  let state = [...`${seed}/${name}`].reduce((hash, letter) => Math.imul(hash ^ letter.codePointAt(0), 16777619), 2166136261);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

export const pick = (next, list) => list[Math.floor(next() * list.length)];

/** One of the names, each as often as its weight says. */
export function weighed(next, weights) {
  let left = next() * Object.values(weights).reduce((a, b) => a + b, 0);
  return Object.keys(weights).find((name) => (left -= weights[name]) < 0);
}
