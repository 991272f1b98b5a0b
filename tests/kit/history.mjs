// A history is what clients saw: for each request when it began and ended, on which server, what was asked,
// and what came back. The checker holds it against the event log and the contents of every version, and
// says everything that is wrong.
//
// An entry: {server, dataset, what, start, end, status, version, state, answer}. Times are milliseconds
// since 1970: `start` no later than the sending, `end` no earlier than the answer. `status` is a text when
// there was no answer. `what` is one of the reads that `world.expected` knows, or
//   page    one page of a sequence; its answer is null, its content is judged with the sequence's
//   pages   such a sequence, without a status: {versions: [of each page], answer: all items, complete}
//   diff    of the versions {from, to}
//   head    the dataset itself: {sequence, current}
//   move    a change that this server was asked for: {status, sequence} of the head it answered with
// A read is of the current version, or of what `pinned` (a number) or `asOf` (a time) names. `tag` is the
// version that its If-None-Match came from.
//
// `world`: logs {dataset: EventLog}; servers {name: {pauses: [[from, to]], killed: time}} of those that had
// either; acks, the changes and their outcomes; expected(dataset, version, entry): the right answer,
// undefined for "there is no such record".
//
// Servers learn of a change from the catalog: graceMs of running time is what they have for it, so that
// each read is judged by a window of moments. Within it they must not go back.
import { isDeepStrictEqual } from 'node:util';

const GRACE_MS = 10_000; /* where twenty processes worked on two cores, one needed three seconds */
const KEPT = ['SUCCEEDED', 'HELD', 'QUARANTINED'];

/** Until when this server may answer as things were before `at`. */
function graceEnd(server, at) {
  let end = at + server.graceMs;
  for (const [from, to] of server.pauses ?? [])
    if (to > at && from < end) end += to - Math.max(from, at);
  return end;
}

/** Since when what was true may still be answered at `start`. */
function graceStart(server, start) {
  let begin = start - server.graceMs;
  for (const [from, to] of [...(server.pauses ?? [])].reverse())
    if (to > begin && from < start) begin -= Math.min(to, start) - from;
  return begin;
}

/** What a read may have met: [{version, states, turn}]. */
function sights(entry, log, server, floor) {
  const since = graceStart(server, entry.start);
  const states = (version) => log.statesWithin(version, since, entry.end);
  if (entry.pinned !== undefined) return [{ version: entry.pinned, states: states(entry.pinned) }];
  if (entry.asOf === undefined)
    return log.turns.map(({ version }, turn) => ({ version, states: ['SUCCEEDED'], turn }))
      .filter(({ turn }) => turn >= floor && log.turns[turn].at <= entry.end
        && graceEnd(server, log.turns[turn].until) >= entry.start);
  return log.turns.filter((turn) => turn.at <= entry.asOf && turn.until > Math.min(entry.asOf, since))
    .map(({ version }) => ({ version, states: states(version) }));
}

/** Is this what somebody who met that version in that state is told? */
function isTold(entry, version, state, world) {
  if (!KEPT.includes(state)) return entry.status === (state === 'RETIRED' ? 410 : 404) && entry.version === undefined;
  const right = world.expected(entry.dataset, version, entry);
  if (right === undefined) return entry.status === 404 && entry.version === undefined;
  if (entry.version !== version || (entry.state ?? 'SUCCEEDED') !== state) return false;
  if (entry.tag === version) return entry.status === 304;
  return entry.status === 200 && isDeepStrictEqual(entry.answer, right);
}

/** Why no sight fits: the first reason that explains it. */
function reason(entry, log, server, floor) {
  const said = `says version ${entry.version}${entry.state ? ` (${entry.state})` : ''}`;
  if (entry.status !== 200 && entry.status !== 304) return `answered ${entry.status}`;
  if (entry.pinned !== undefined || entry.asOf !== undefined) return `${said}: another version, state or answer than the log gives`;
  const turns = log.turns.map((turn, index) => ({ ...turn, index })).filter((turn) => turn.version === entry.version);
  if (!turns.length) return `${said}, which was never current`;
  const begun = turns.filter((turn) => turn.at <= entry.end);
  if (!begun.length) return `${said} ${turns[0].at - entry.end} ms before its flip`;
  const live = begun.filter((turn) => graceEnd(server, turn.until) >= entry.start);
  if (!live.length) return `${said} ${entry.start - begun.at(-1).until} ms after it was replaced`;
  if (live.every((turn) => turn.index < floor)) return `${said} after a later state had been seen on that server`;
  return `${said}, whose answer is another one`;
}

/** A request without an answer, or with one that nobody should get. A killed server owes nothing. */
function isFailed(entry, server) {
  if (typeof entry.status === 'string') return !(server?.killed <= entry.end);
  return entry.status >= 500 || entry.status === 429;
}

/** What a diff is told depends on two versions. */
function diffFault(entry, log, server, world) {
  const states = [entry.from, entry.to].map((version) => log.statesWithin(version, graceStart(server, entry.start), entry.end));
  if (entry.status === 200)
    return states.every((ones) => ones.some((one) => KEPT.includes(one)))
      && isDeepStrictEqual(entry.answer, world.expected(entry.dataset, entry.to, entry)) ? null : 'has other counts';
  return [404, 410].includes(entry.status) && states.some((ones) => ones.some((one) => !KEPT.includes(one)))
    ? null : `answered ${entry.status} for kept versions`;
}

function pagesFault(entry, world) {
  const [version] = entry.versions;
  if (entry.versions.some((one) => one !== version)) return `pages of versions ${entry.versions.join(', ')}`;
  const right = world.expected(entry.dataset, version, entry);
  return entry.complete && isDeepStrictEqual(entry.answer, right) ? null : `pages of version ${version} that are not all its items`;
}

/** Walks the entries of one server and dataset in the order in which they began, with the furthest state
 *  that any answer had shown by then: nobody who asks later is told an older one. */
function* inOrder(entries) {
  const ends = [...entries].sort((a, b) => a.end - b.end);
  const reached = new Map(); /* entry -> the earliest state that it can be from */
  let next = 0, floor = 0;
  for (const entry of [...entries].sort((a, b) => a.start - b.start)) {
    for (; next < ends.length && ends[next].end < entry.start; next++)
      floor = Math.max(floor, reached.get(ends[next]) ?? 0);
    yield [entry, floor, (state) => reached.set(entry, state)];
  }
}

function readFaults(entries, log, server, world, say) {
  for (const [entry, floor, reach] of inOrder(entries)) {
    if (entry.what === 'move') {
      reach(log.turnOf(entry.sequence));
      continue;
    }
    if (entry.what === 'diff') {
      const text = diffFault(entry, log, server, world);
      if (text) say(entry, text);
      continue;
    }
    const told = sights(entry, log, server, floor)
      .find(({ version, states }) => states.some((state) => isTold(entry, version, state, world)));
    if (!told) say(entry, reason(entry, log, server, floor));
    else if (told.turn !== undefined) reach(told.turn);
  }
}

function headFaults(entries, log, server, say) {
  for (const [entry, floor, reach] of inOrder(entries)) {
    const at = log.events.findIndex((event) => event.sequence === entry.sequence);
    const next = log.events[at + 1]?.at ?? Infinity;
    if (at < 0 || log.events[at].to !== (entry.current ?? 0)) say(entry, `says version ${entry.current} at sequence ${entry.sequence}`);
    else if (log.events[at].at > entry.end) say(entry, `says sequence ${entry.sequence} before its time`);
    else if (graceEnd(server, next) < entry.start) say(entry, `says sequence ${entry.sequence} ${entry.start - next} ms after the next one`);
    else if (entry.sequence < floor) say(entry, `says sequence ${entry.sequence} after ${floor} had been seen on that server`);
    else reach(entry.sequence);
  }
}

/** What was acknowledged is in the log, once; what was refused is not. `acks`: [{dataset, at, outcome: 'done' |
 *  'refused' | 'unknown', request, event, version, sequence, from, to}], of which what is given must agree. */
function ackFaults(ack, log) {
  const match = Object.entries({ request_id: ack.request, event: ack.event, version: ack.version, sequence: ack.sequence, from: ack.from, to: ack.to })
    .filter(([, value]) => value !== undefined);
  const events = log.events.filter((event) => match.every(([name, value]) => event[name] === value));
  const told = `${ack.outcome}: ${match.map((pair) => pair.join(' ')).join(', ')}`;
  if (ack.outcome === 'done' && events.length !== 1) return `${told}, which the log has ${events.length} times`;
  if (ack.outcome === 'refused' && events.length) return `${told}, which the log has`;
  return events.length > 1 ? `${told}, which the log has ${events.length} times` : null;
}

function by(list, nameOf) {
  const groups = new Map();
  for (const one of list) {
    if (!groups.has(nameOf(one))) groups.set(nameOf(one), []);
    groups.get(nameOf(one)).push(one);
  }
  return groups;
}

/** Everything that is wrong: [{at, dataset, text}], in the order of time. */
export function faults(history, world) {
  const found = [];
  for (const [dataset, log] of Object.entries(world.logs))
    found.push(...log.faults().map((fault) => ({ dataset, ...fault })));
  for (const ack of world.acks ?? []) {
    const text = ackFaults(ack, world.logs[ack.dataset]);
    if (text) found.push({ dataset: ack.dataset, at: ack.at, text });
  }
  const say = (entry, text) => found.push({ dataset: entry.dataset, at: entry.start,
    text: `${entry.what} on ${entry.server} ${text}`, entry });
  const answered = [];
  for (const entry of history) {
    const text = entry.what === 'pages' ? pagesFault(entry, world) : null;
    if (text) say(entry, text);
    if (entry.what === 'pages') continue;
    if (isFailed(entry, world.servers?.[entry.server])) say(entry, `failed: ${entry.status}`);
    else if (typeof entry.status === 'number' && (entry.what !== 'move' || entry.status === 200)) answered.push(entry);
  }
  for (const [dataset, ofDataset] of by(answered, (entry) => entry.dataset))
    for (const [name, entries] of by(ofDataset, (entry) => entry.server)) {
      const server = { graceMs: world.graceMs ?? GRACE_MS, ...world.servers?.[name] }, log = world.logs[dataset];
      readFaults(entries.filter((entry) => entry.what !== 'head'), log, server, world, say);
      headFaults(entries.filter((entry) => entry.what === 'head' || entry.what === 'move'), log, server, say);
    }
  return found.sort((a, b) => a.at - b.at);
}
