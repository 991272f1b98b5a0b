// The checker of histories can fail: each rule is given a history that breaks it, and nothing else.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventLog } from '../kit/eventlog.mjs';
import { faults } from '../kit/history.mjs';

const DAY = '2026-01-31T08:00:';
const time = (ms) => `${DAY}${String(Math.floor(ms / 1000)).padStart(2, '0')}.${String(ms % 1000).padStart(3, '0')}000Z`;
const ZERO = Date.parse(`${DAY}00Z`);

/** Version 1 from 1 s, 2 from 10 s, 1 again from 20 s (2 is quarantined), 3 is held, 4 failed, 1 and 5 end. */
const EVENTS = [
  [0, 'defined', null, null, null], [500, 'started', 1, null, null], [1000, 'flipped', 1, null, 1],
  [9000, 'started', 2, 1, 1], [10000, 'flipped', 2, 1, 2], [20000, 'rolled_back', 2, 2, 1],
  [21000, 'started', 3, 1, 1], [22000, 'held', 3, 1, 1], [23000, 'started', 4, 1, 1], [24000, 'failed', 4, 1, 1],
  [25000, 'started', 5, 1, 1], [30000, 'flipped', 5, 1, 5], [40000, 'retired', 1, 5, 5],
].map(([ms, event, version, from, to], i) => ({ sequence: i + 1, event, version, from, to, time: time(ms), request_id: event === 'rolled_back' ? 'op-1' : null }));

const logOf = (change = () => {}) => {
  const events = structuredClone(EVENTS);
  change(events);
  return new EventLog(events);
};
const right = (version, entry) => {
  if (entry.what === 'pages') return [`first of ${version}`, `last of ${version}`];
  if (entry.what === 'page') return null;
  if (entry.what === 'diff') return { changed: entry.to - entry.from };
  return entry.ids.includes(99) ? undefined : entry.ids.map((id) => ({ id, of: version }));
};
const worldOf = (changes = {}) => ({ logs: { d: logOf() }, graceMs: 2000, servers: {}, acks: [], expected: (dataset, version, entry) => right(version, entry), ...changes });

/** A read that is right: `ms` since the start, answered within 5 ms. */
function read(ms, version, changes = {}) {
  const entry = { dataset: 'd', server: 'A1', what: 'batch', ids: [1, 2], start: ZERO + ms, end: ZERO + ms + 5, status: 200, version, ...changes };
  if (entry.status === 200 && !('answer' in entry)) entry.answer = right(version, entry);
  return entry;
}
const refusal = (ms, status, changes) => read(ms, undefined, { status, ...changes });
const pages = (ms, versions, changes = {}) => ({ dataset: 'd', server: 'both', what: 'pages', start: ZERO + ms, end: ZERO + ms + 9, versions,
  answer: right(versions[0], { what: 'pages' }), complete: true, ...changes });
const ack = (changes) => ({ dataset: 'd', at: ZERO + 20010, outcome: 'done', event: 'rolled_back', request: 'op-1', sequence: 6, from: 2, to: 1, ...changes });
const paused = { A1: { pauses: [[ZERO + 9000, ZERO + 15000]] } };
const killed = { A1: { pauses: [], killed: ZERO + 15000 } };

const RIGHT = {
  'each version in its time': [[read(1500, 1), read(12000, 2), read(25000, 1), read(31000, 5)]],
  'an answer while the pointer moves': [[read(9997, 2), read(9998, 1)]],
  'an old state within the grace': [[read(11900, 1)]],
  'two servers of which one lags': [[read(10500, 2), read(11000, 1, { server: 'B1' })]],
  'a server that was stopped': [[read(16000, 1)], { servers: paused }],
  'a killed server': [[refusal(15000, 'ECONNRESET'), refusal(16000, 'ECONNREFUSED')], { servers: killed }],
  'a record that is not there': [[refusal(12000, 404, { what: 'record', ids: [99] })]],
  'a tag of the same version': [[read(12000, 2, { what: 'record', ids: [7], tag: 2, status: 304, answer: undefined })]],
  'kept versions by number': [[read(15000, 1, { pinned: 1 }), read(25000, 2, { pinned: 2, state: 'QUARANTINED' }), read(25500, 3, { pinned: 3, state: 'HELD' })]],
  'versions that are not to be had': [[refusal(25000, 404, { pinned: 4 }), refusal(45000, 410, { pinned: 1 }), refusal(45000, 404, { pinned: 9 })]],
  'what was served at a moment': [[read(15000, 1, { asOf: ZERO + 9999 }), read(25000, 2, { asOf: ZERO + 10000, state: 'QUARANTINED' }), refusal(45000, 410, { asOf: ZERO + 20000 })]],
  'pages of one version after a flip': [[read(9000, 1, { what: 'page' }), read(15000, 1, { what: 'page', pinned: 1 }), pages(9000, [1, 1])]],
  'the head, as the log has it': [[read(15000, undefined, { what: 'head', sequence: 5, current: 2, answer: undefined })]],
  'a move and what comes after': [[{ ...read(20001, undefined), what: 'move', sequence: 6, current: 1 }, read(20100, 1)], { acks: [ack()] }],
  'a refused move': [[], { acks: [ack({ outcome: 'refused', request: 'op-2' })] }],
  'a move that nobody knows of': [[], { acks: [ack({ outcome: 'unknown' }), { ...ack({ outcome: 'unknown' }), request: 'op-3' }] }],
  'a diff of two versions': [[read(15000, undefined, { what: 'diff', from: 1, to: 2 }), refusal(45000, 410, { what: 'diff', from: 1, to: 2 })]],
};
for (const [name, [history, changes]] of Object.entries(RIGHT))
  test(`right: ${name}`, () => assert.deepEqual(faults(history, worldOf(changes)), []));

/* name: [history, what the fault says, the world's changes] */
const WRONG = {
  'a mixed batch': [[read(12000, 2, { answer: [right(2, { ids: [1] })[0], right(1, { ids: [2] })[0]] })], /answer is another/],
  'records of another version': [[read(12000, 2, { answer: right(1, { ids: [1, 2] }) })], /answer is another/],
  'a lost result': [[read(12000, 2, { answer: right(2, { ids: [1] }) })], /answer is another/],
  'swapped results': [[read(12000, 2, { answer: right(2, { ids: [2, 1] }) })], /answer is another/],
  'a record that is there, and is not given': [[refusal(12000, 404, { what: 'record', ids: [7] })], /answered 404/],
  'a record that is not there, and is given': [[read(12000, 2, { what: 'record', ids: [99], answer: { id: 99 } })], /answer is another/],
  'an unchanged record that has changed': [[read(12000, 2, { what: 'record', ids: [7], tag: 1, status: 304, answer: undefined })], /answer is another/],
  'a version that never was': [[read(12000, 7)], /never current/],
  'a version that was never current': [[read(25000, 3)], /never current/],
  'a version before its flip': [[read(9900, 2)], /before its flip/],
  'a version 2 s after it was replaced': [[read(12001, 1)], /2001 ms after it was replaced/],
  'a server that was stopped, and had its time': [[read(17001, 1)], /after it was replaced/, { servers: paused }],
  'an older state after a newer one': [[read(10100, 2), read(10200, 1)], /later state/],
  'an older state than a move was answered with': [[{ ...read(20001, undefined), what: 'move', sequence: 6, current: 1 }, read(20100, 2)], /later state/],
  'a failed request': [[refusal(12000, 503)], /failed: 503/],
  'too many requests': [[refusal(12000, 429)], /failed: 429/],
  'a broken connection': [[refusal(12000, 'ECONNRESET')], /failed: ECONNRESET/],
  'a broken connection before the kill': [[refusal(14000, 'ECONNRESET')], /failed: ECONNRESET/, { servers: killed }],
  'a failed answer of a server that is killed later': [[refusal(16000, 500)], /failed: 500/, { servers: killed }],
  'a refusal': [[refusal(12000, 410)], /answered 410/],
  'a version by number that is another': [[read(15000, 2, { pinned: 1 })], /another version, state or answer/],
  'a version that is retired': [[read(42100, 1, { pinned: 1 })], /another version, state or answer/],
  'a version that is kept, and is refused': [[refusal(15000, 410, { pinned: 1 })], /answered 410/],
  'a quarantined version that does not say so': [[read(25000, 2, { pinned: 2 })], /another version, state or answer/],
  'a version that failed': [[read(26500, 4, { pinned: 4 })], /another version, state or answer/],
  'another version than was served then': [[read(15000, 2, { asOf: ZERO + 9000 })], /another version, state or answer/],
  'pages of two versions': [[pages(12000, [2, 1])], /pages of versions 2, 1/],
  'a page that is missing': [[pages(12000, [2, 2], { answer: ['first of 2'] })], /not all its items/],
  'pages that are never complete': [[pages(12000, [2, 2], { complete: false })], /not all its items/],
  'a page of another version than the first': [[read(15000, 2, { what: 'page', pinned: 1 })], /another version, state or answer/],
  'another current version than the log has': [[read(15000, undefined, { what: 'head', sequence: 5, current: 1, answer: undefined })], /version 1 at sequence 5/],
  'a head before its time': [[read(9000, undefined, { what: 'head', sequence: 5, current: 2, answer: undefined })], /before its time/],
  'an old head': [[read(12001, undefined, { what: 'head', sequence: 4, current: 1, answer: undefined })], /after the next one/],
  'a head that goes back': [[read(10100, undefined, { what: 'head', sequence: 5, current: 2, answer: undefined }),
    read(10200, undefined, { what: 'head', sequence: 4, current: 1, answer: undefined })], /after 5 had been seen/],
  'wrong counts': [[read(15000, undefined, { what: 'diff', from: 1, to: 2, answer: { changed: 7 } })], /other counts/],
  'a diff that is refused': [[refusal(15000, 404, { what: 'diff', from: 1, to: 2 })], /kept versions/],
  'a move that is lost': [[], /the log has 0 times/, { acks: [ack({ request: 'op-7' })] }],
  'a move to another version': [[], /the log has 0 times/, { acks: [ack({ to: 5 })] }],
  'a move with another sequence': [[], /the log has 0 times/, { acks: [ack({ sequence: 7 })] }],
  'a version that is lost': [[], /the log has 0 times/, { acks: [{ dataset: 'd', at: ZERO, outcome: 'done', event: 'flipped', version: 6 }] }],
  'a move that was refused, and done': [[], /refused.*which the log has/, { acks: [ack({ outcome: 'refused', event: undefined, sequence: undefined, from: undefined, to: undefined })] }],
  'a lost event': [[], /follows event/, { logs: { d: logOf((events) => events.splice(8, 2)) } }],
  'an event twice': [[], /follows event/, { logs: { d: logOf((events) => events.splice(5, 0, events[4])) } }],
  'time that goes back': [[], /not later/, { logs: { d: logOf((events) => { events[7].time = time(20500); }) } }],
  'a pointer that jumps': [[], /but 1 was current/, { logs: { d: logOf((events) => { events[11].from = 2; }) } }],
  'a number used twice': [[], /found the version FAILED/, { logs: { d: logOf((events) => { events[10].version = 4; events[11].version = 4; events[11].to = 4; events[12].from = 4; events[12].to = 4; }) } }],
  'a current version that is retired': [[], /took the current version/, { logs: { d: logOf((events) => { events[12].version = 5; }) } }],
  'a rollback to a version that cannot serve': [[], /went to a version that is/, { logs: { d: logOf((events) => events.push({ ...EVENTS[5], sequence: 14, version: 5, from: 5, to: 3, time: time(50000) })) } }],
  'a flip that moves nothing': [[], /went from/, { logs: { d: logOf((events) => { events[11].to = 1; events[12].from = 1; events[12].to = 1; }) } }],
};
for (const [name, [history, says, changes]] of Object.entries(WRONG))
  test(`wrong: ${name}`, () => {
    const found = faults(history, worldOf(changes));
    assert.ok(found.some(({ text }) => says.test(text)), JSON.stringify(found));
    if (history.length) assert.equal(found.length, 1, JSON.stringify(found));
  });
