// Many points: some or all of them, a few at a time. EVERLINE_FAULT_ALL=1 tries all; with
// EVERLINE_FAULT_PART=K/N each Nth of them, from the Kth on: N runs with the parts 1/N to N/N try all. Where
// a part would be less than what is tried without it, it is all.
import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';

export const everyPoint = process.env.EVERLINE_FAULT_ALL === '1';
const [part, parts] = (process.env.EVERLINE_FAULT_PART ?? '1/1').split('/').map(Number);
assert.ok(part >= 1 && part <= parts, `EVERLINE_FAULT_PART=${process.env.EVERLINE_FAULT_PART} is no part: 1/5 to 5/5 are`);

/** `count` of the list, evenly spread. */
export function spread(list, count) {
  if (list.length <= count) return list;
  return Array.from({ length: count }, (_, i) => list[Math.floor(((i + 0.5) * list.length) / count)]);
}

/** All of the list, or the part of this run, or `count` of it. */
export const sample = (list, count) => (everyPoint
  ? list.filter((_, i) => i % parts === part - 1 || list.length < count * parts) : spread(list, count));

/* Fewer calls than any operation makes: who counted them was not there. */
const POINTS_MIN = 10;

/** Of each list of the map its share of `count`, but one at least: a map with the same keys. */
export function shares(lists, count) {
  for (const list of lists.values()) assert.ok(list.length >= POINTS_MIN, `only ${list.length} points`);
  const total = [...lists.values()].reduce((sum, list) => sum + list.length, 0);
  return new Map([...lists].map(([key, list]) => [key, sample(list, Math.max(1, Math.round((count * list.length) / total)))]));
}

/** Calls `fn` for each, as many at a time as there are processors; gives what they gave, in order. */
export async function each(list, fn) {
  const results = [];
  let next = 0;
  const worker = async () => {
    for (let i = next++; i < list.length; i = next++) results[i] = await fn(list[i]);
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  return results;
}

/** `ingest: kill 12, eio 3`: how many of each kind. */
export function tally(list, kindOf) {
  const counts = new Map();
  for (const one of list) counts.set(kindOf(one), (counts.get(kindOf(one)) ?? 0) + 1);
  return [...counts].map(([kind, count]) => `${kind} ${count}`).join(', ');
}
