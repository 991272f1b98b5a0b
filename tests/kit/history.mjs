// A history is what clients saw: for each request when it began and ended, which persons it asked for,
// and what came back. The checker says everything that is wrong with it.
import { isDeepStrictEqual } from 'node:util';

/** `history`: [{start, end, status, version, asked: [index], results: [record]}]; `truths`: {version:
 *  [record]}; `moves`: the versions that became current, in order, beginning with the first. */
export function faults(history, truths, moves) {
  const found = [];
  for (const [i, one] of history.entries()) {
    if (one.status !== 200) {
      found.push(`request ${i} failed: ${one.status}`);
      continue;
    }
    if (!moves.includes(one.version)) {
      found.push(`request ${i} was answered from version ${one.version}`);
      continue;
    }
    if (one.results.length !== one.asked.length) found.push(`request ${i} has ${one.results.length} results`);
    const wrong = one.asked.filter((person, n) => !isDeepStrictEqual(one.results[n], truths[one.version][person]));
    if (wrong.length) found.push(`request ${i} says version ${one.version}, which has other records for ${wrong.length} of ${one.asked.length}`);
  }
  return found.concat(orderFaults(history.filter((one) => one.status === 200), moves));
}

/** Nobody who asks after an answer was seen is told an older state. Walks the requests in the order in
 *  which they began, with the furthest move that any answer had shown by then. */
function orderFaults(history, moves) {
  const found = [];
  const ends = [...history].sort((a, b) => a.end - b.end);
  const reached = new Map(); /* request -> the move it is from, the earliest that is possible */
  let next = 0, floor = 0;
  for (const one of [...history].sort((a, b) => a.start - b.start)) {
    for (; next < ends.length && ends[next].end < one.start; next++)
      floor = Math.max(floor, reached.get(ends[next]) ?? 0);
    const at = moves.indexOf(one.version, floor);
    if (at < 0) found.push(`version ${one.version} was served after a later state had been seen`);
    else reached.set(one, at);
  }
  return found;
}
