// The checks of the other suites can fail: each is given what it must refuse.
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { flipByte, segmentPath } from '../kit/files.mjs';
import { aftermath, expectation, said } from './aftermath.mjs';
import { copy, ingest, OPERATIONS, prepared, promote, STRANGER } from './operations.mjs';
import { DATASETS } from './samples.mjs';
import { judge, leftovers, look, namedSegments } from './state.mjs';

const promotion = OPERATIONS.find((operation) => operation.name === 'promotion');
const EXPECTED = { current: [1], descriptions: ['Who is enrolled'] };
let seen;

/** Version 2 has been rolled back from, version 1 is served. */
before(async () => {
  const data = await prepared(promotion);
  const server = await data.serve();
  seen = await look(server, await data.token(), data.directory);
  await server.stop();
});

test('what was seen is right', () => {
  assert.deepEqual(Object.keys(seen).sort(), ['people', 'things']);
  assert.deepEqual(judge(seen, EXPECTED), []);
  assert.deepEqual(judge(seen, { ...EXPECTED, past: seen, brokenOff: true }), []);
});

/* What is changed in what was seen, and which problem that must be. The newest row and event are first. */
const falsified = {
  'an answer of the other version': [(s) => { s.people.answers[1].results[5].record.score += 1000; }, /1 of 240 keys/],
  'a record for somebody who is not there': [(s) => { s.people.answers[0].results[0] = s.people.answers[0].results[1]; }, /1 of 240 keys/],
  'a lost result': [(s) => { s.people.answers[1].results.pop(); }, /1 of 240 keys/],
  'a batch of the other version': [(s) => { s.people.answers[1].version = 2; }, /answered from version 2/],
  'a failed request': [(s) => { s.people.answers[0].status = 503; }, /answered 503/],
  'a cell of the other version': [(s) => { s.people.rollup.items[0].score += 1; }, /the rollup is not of version 1/],
  'a missing cell': [(s) => { s.people.rollup.items.pop(); }, /the rollup is not/],
  'answers without a current version': [(s) => { s.things.current = null; }, /without a current version/],
  'another pointer than the rows say': [(s) => { s.people.versions[0].current = true; }, /version 2 says current/],
  'another pointer than the events say': [(s) => { s.people.events[0].to = 2; }, /events end with version 2/],
  'a pointer that jumped': [(s) => { s.people.events[0].from = 1; }, /moves the pointer from 1/],
  'a missing event': [(s) => { s.people.events.splice(1, 1); }, /has sequence/],
  'a lost last event': [(s) => { s.people.events.shift(); }, /the head is at/],
  'an event that is not later': [(s) => { s.people.events[0].time = s.people.events[1].time; }, /is not later/],
  'an event of no known kind': [(s) => { s.people.events[0].event = 'vanished'; }, /is a vanished/],
  'a number that was started twice': [(s) => { s.people.events.find((e) => e.event === 'started' && e.version === 2).version = 1; }, /started twice/],
  'a state that no event explains': [(s) => { s.people.versions[0].state = 'SUCCEEDED'; }, /but events say/],
  'a version that never ended': [(s) => { s.people.versions[0].state = 'IN_PROGRESS'; }, /still IN_PROGRESS/],
  'a gap in the numbers': [(s) => { s.people.versions[0].version = 3; }, /version numbers 1, 3/],
  'a current version that failed': [(s) => { s.people.versions[1].state = 'FAILED'; }, /is current and FAILED/],
  'a failure without an error': [(s) => { s.people.versions[0].state = 'FAILED'; }, /failed without an error/],
  'a version without segments': [(s) => { s.people.versions[0].segments = []; }, /with 0 segments/],
  'another number of rows': [(s) => { s.people.versions[0].rows.accepted -= 1; }, /version 2 has 20\d rows/],
  'a row that was read and is nowhere': [(s) => { s.people.versions[0].rows.parsed -= 1; }, /version 2 has read/],
  'a row that was prepared and is nowhere': [(s) => { s.people.versions[0].rows.prepared += 1; }, /version 2 has prepared/],
  'no head file': [(s) => { s.people.headFile = null; }, /there is no head file/],
  'a head file that is behind': [(s) => { s.people.headFile.sequence -= 1; }, /the head file is at/],
  'a head file that is ahead by two': [(s) => { s.people.headFile.sequence += 2; }, /the head file is at/],
  'a head file with another pointer': [(s) => { s.people.headFile.current = 2; }, /the head file says 2/],
  'a dataset that is gone': [(s) => { delete s.things; }, /things: it is gone/],
  'a version that is gone': [(s) => { s.people.versions.shift(); }, /version 2 is gone/],
  'a number with another build': [(s) => { s.people.versions[0].job = 'job-000000000099'; }, /has another job/],
  'another past': [(s) => { s.people.events[3].actor = 'nobody'; }, /events of the past/],
  'a dataset that was deleted and is there': [(s) => s, /things: it is there still/, { gone: { name: 'things', is: true } }],
  'a dataset whose deletion failed and that is gone': [(s) => { delete s.things; }, /things: it is gone/, { gone: { name: 'things', is: false } }],
  'another current version than is right': [(s) => s, /version 1 is current, not 2/, { current: [2] }],
  'another definition than is right': [(s) => s, /its definition is/, { descriptions: ['Another'] }],
};

for (const [name, [falsify, problem, expected = {}]] of Object.entries(falsified))
  test(`the judge refuses ${name}`, () => {
    const other = structuredClone(seen);
    falsify(other);
    const problems = judge(other, { ...EXPECTED, past: seen, ...expected });
    assert.ok(problems.some((text) => problem.test(text)), `found only: ${problems.join('; ')}`);
  });

test('a head file may be ahead by the change that was broken off', () => {
  const other = structuredClone(seen);
  other.people.headFile.sequence += 1;
  assert.notDeepEqual(judge(other, EXPECTED), []);
  assert.deepEqual(judge(other, { ...EXPECTED, brokenOff: true }), []);
});

test('what a command says of its end', () => {
  const end = (code, stderr, signal = null) => ({ code, stderr, signal });
  assert.equal(said(end(0, '')), 'success');
  assert.equal(said(end(1, 'everline: writing the file: No space left on device\n')), 'failure');
  assert.equal(said(end(1, 'everline-ingest: it failed at its end; whether it happened shows later\n')), 'unknown');
  assert.equal(said(end(1, '')), 'no reason');
  assert.equal(said(end(1, 'rolling people back\n')), 'no reason');
  assert.equal(said(end(null, '', 'SIGKILL')), 'nothing');
});

test('success, failure and silence allow what they must', () => {
  const allowed = (word) => expectation(promotion, seen, word).current;
  assert.deepEqual([allowed('success'), allowed('failure'), allowed('nothing'), allowed('unknown')], [[2], [1], [1, 2], [1, 2]]);
});

test('leftovers are found', async () => {
  const data = await copy(promotion);
  const named = namedSegments(seen);
  assert.deepEqual(leftovers(data.directory, named), []);
  const strays = ['build/removed-00', 'heads/dev/people.json.0011.tmp', 'run/process-0011', `segments/aa/${'a'.repeat(64)}.mdb`, 'upload'];
  mkdirSync(join(data.directory, 'segments', 'aa'), { recursive: true });
  for (const stray of strays) writeFileSync(join(data.directory, stray), '');
  mkdirSync(join(data.directory, 'build', 'job-1.1'));
  assert.deepEqual(leftovers(data.directory, named), [...strays, 'build/job-1.1'].sort());
});

/* What is done to a directory whose promotion was acknowledged, and a problem that must be found. */
const damaged = {
  'the acknowledged change is lost': [async (data) => {
    rmSync(data.directory, { recursive: true });
    cpSync((await prepared(promotion)).directory, data.directory, { recursive: true });
  }, /version 1 is current, not 2/],
  'a byte of a segment is another': [async (data, versions) => flipByte(segmentPath(data, versions[0]), 20_000), /answered 503/],
  'a segment is gone': [async (data, versions) => rmSync(segmentPath(data, versions[1])), /segments are named|verify/],
  'the catalog is cut': [async (data) => truncateSync(join(data.directory, 'catalog.mdb'), 8192), /./],
  'the catalog is empty': [async (data) => truncateSync(join(data.directory, 'catalog.mdb'), 0), /./],
  'the head file is gone': [async (data) => rmSync(join(data.directory, 'heads', 'dev', 'people.json')), /there is no head file/],
  'the keys are gone': [async (data) => rmSync(join(data.directory, 'keys', 'dev', 'hmac'), { recursive: true }), /answered 503/],
  'a person is named beside the segments': [async (data) => writeFileSync(join(data.directory, 'audit', 'dev', '99-000000000001.jsonl'), 'FIRSTA,LASTB'), /a person is named in audit/],
  'the other tenant has the dataset too': [async (data) => {
    await data.put(DATASETS.people.definition, { tenant: STRANGER });
    await data.ok([...ingest('b').map((arg) => (arg === 'dev' ? STRANGER : arg))]);
  }, /another tenant (has the list|is told 200)/],
  'a temporary file stays': [async (data) => writeFileSync(join(data.directory, 'FORMAT.0011.tmp'), ''), /left over: FORMAT.0011.tmp/],
  'the pointer moves afterwards': [async (data) => data.ok(ingest('c')), /version 3 is current, not 2/],
};
for (const [name, [damage, problem]] of Object.entries(damaged))
  test(`a directory is refused when ${name}`, async () => {
    const data = await copy(promotion);
    await data.ok(promote(2));
    await damage(data, await data.versions('people'));
    const problems = await aftermath(data, promotion, expectation(promotion, seen, 'success'));
    assert.ok(problems.some((text) => problem.test(text)), `found only: ${problems.join('; ')}`);
  });

test('the same directory without damage is right', async () => {
  const data = await copy(promotion);
  await data.ok(promote(2));
  assert.deepEqual(await aftermath(data, promotion, expectation(promotion, seen, 'success')), []);
});
