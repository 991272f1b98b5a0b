// What a data directory holds and serves, seen from outside, and what is wrong with it. Looking and
// judging are two functions, so that the judge can be given what never was: judge.test.mjs does that.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { filesBelow } from '../kit/files.mjs';
import { DATASETS, letterOf } from './samples.mjs';

/* An event, and the state that it leaves its version in. */
const STATE_AFTER = {
  started: 'IN_PROGRESS', flipped: 'SUCCEEDED', succeeded: 'SUCCEEDED', held: 'HELD', failed: 'FAILED',
  promoted: 'SUCCEEDED', rolled_back: 'QUARANTINED', retired: 'RETIRED', defined: undefined,
};
const HALF = DATASETS.people.keys.length / 2;

/** A list or a document, which must be there. */
async function read(server, token, path) {
  const reply = await server.get(path, token);
  if (reply.status !== 200) throw new Error(`GET ${path}: ${reply.status} ${reply.text}`);
  if (reply.json.complete === false) throw new Error(`GET ${path}: there are more pages`);
  return reply.json;
}

/** One dataset as `server` has it: every key, in two batches, and the whole rollup. */
async function lookAt(server, token, directory, name) {
  const { keys, rollup } = DATASETS[name];
  const url = `/v1/datasets/${name}`;
  const get = (path) => read(server, token, `${url}${path}`);
  const head = join(directory, 'heads', 'dev', `${name}.json`);
  const answers = [];
  for (const part of [keys.slice(0, HALF), keys.slice(HALF)].filter((part) => part.length)) {
    const reply = await server.batch(name, part, token);
    answers.push({ status: reply.status, version: reply.json.version, results: reply.json.results });
  }
  const cells = await server.get(`${url}/rollups/${rollup}`, token);
  return {
    ...(await get('')), versions: (await get('/versions')).items, events: (await get('/events')).items, answers,
    rollup: { status: cells.status, version: cells.json.version, items: cells.json.items },
    headFile: existsSync(head) ? JSON.parse(readFileSync(head, 'utf8').split('\n')[1]).head : null,
  };
}

/** {dataset: what it is}, of all that are there. */
export async function look(server, token, directory) {
  const seen = {};
  for (const { name } of (await read(server, token, '/v1/datasets')).items)
    seen[name] = await lookAt(server, token, directory, name);
  return seen;
}

const byNumber = (rows) => [...rows].sort((a, b) => a.version - b.version);

/** The events, played again, must give the rows and the pointer. */
function judgeEvents(dataset, say) {
  const states = new Map();
  let current = null, time = '';
  for (const [i, event] of [...dataset.events].reverse().entries()) {
    if (event.sequence !== i + 1) say(`event ${i + 1} has sequence ${event.sequence}`);
    if (!(event.time > time)) say(`event ${event.sequence} is not later than the one before`);
    if (event.from !== current) say(`event ${event.sequence} moves the pointer from ${event.from}, which was at ${current}`);
    if (!(event.event in STATE_AFTER)) say(`event ${event.sequence} is a ${event.event}`);
    if (event.event === 'started' && states.has(event.version)) say(`version ${event.version} was started twice`);
    if (event.version !== null) states.set(event.version, STATE_AFTER[event.event]);
    ({ to: current, time } = event);
  }
  if (dataset.events.length !== dataset.sequence) say(`the head is at ${dataset.sequence} after ${dataset.events.length} events`);
  if (current !== dataset.current) say(`events end with version ${current} current, the head with ${dataset.current}`);
  const rows = byNumber(dataset.versions).map((row) => [row.version, row.state]);
  const played = [...states].sort(([a], [b]) => a - b);
  if (!isDeepStrictEqual(rows, played)) say(`versions ${JSON.stringify(rows)}, but events say ${JSON.stringify(played)}`);
}

/** Nothing is lost, and nothing is counted twice. */
function judgeLedgers({ version, rows }, truth, say) {
  const { read, parsed, unparsable, prepared, accepted, rejected, duplicates } = rows;
  if (accepted !== truth || read !== truth) say(`version ${version} has ${accepted} rows of ${read}, not ${truth}`);
  if (read !== parsed + unparsable) say(`version ${version} has read ${read} rows, but parsed ${parsed} and not ${unparsable}`);
  if (prepared !== accepted + rejected + duplicates) say(`version ${version} has prepared ${prepared} rows, but they became ${accepted}, ${rejected} and ${duplicates}`);
}

function judgeRows(dataset, say) {
  const numbers = byNumber(dataset.versions).map((row) => row.version);
  if (!isDeepStrictEqual(numbers, numbers.map((_, i) => i + 1))) say(`version numbers ${numbers.join(', ')}`);
  for (const row of dataset.versions) {
    if (row.current !== (row.version === dataset.current)) say(`version ${row.version} says current: ${row.current}`);
    if (row.current && row.state !== 'SUCCEEDED') say(`version ${row.version} is current and ${row.state}`);
    if (row.state === 'FAILED' && !(row.error?.code && row.outcome === 'failed')) say(`version ${row.version} failed without an error`);
    const built = ['SUCCEEDED', 'HELD', 'QUARANTINED', 'RETIRED'].includes(row.state);
    if (built !== row.segments.length > 0) say(`version ${row.version} is ${row.state} with ${row.segments.length} segments`);
    if (built) judgeLedgers(row, DATASETS[dataset.name].rows(letterOf(row)).length, say);
  }
}

/** Every answer is from one version, the current one, and is what its batch says. */
function judgeAnswers(dataset, say) {
  const row = dataset.versions.find((one) => one.version === dataset.current);
  if (!row) {
    for (const one of [...dataset.answers, dataset.rollup]) if (one.status === 200) say('it answers without a current version');
    return;
  }
  for (const one of [...dataset.answers, dataset.rollup]) {
    if (one.status !== 200) say(`answered ${one.status}`);
    if (one.version !== dataset.current) say(`answered from version ${one.version}, current is ${dataset.current}`);
  }
  const truth = DATASETS[dataset.name];
  const wanted = truth.answers(letterOf(row)), got = dataset.answers.flatMap((one) => one.results ?? []);
  const wrong = wanted.map((_, i) => i).filter((i) => !isDeepStrictEqual(wanted[i], got[i]));
  if (wrong.length || got.length !== wanted.length)
    say(`${wrong.length} of ${wanted.length} keys have another answer than version ${row.version}, the first ${JSON.stringify(got[wrong[0]])}`);
  if (!isDeepStrictEqual(dataset.rollup.items, truth.cells(letterOf(row)))) say(`the rollup is not of version ${row.version}: ${JSON.stringify(dataset.rollup.items)}`);
}

/** The file beside the catalog is what the catalog says, or ahead by the change that was broken off. */
function judgeHeadFile({ headFile, sequence, current }, say, brokenOff) {
  if (!headFile) say('there is no head file');
  else if (headFile.sequence !== sequence && !(brokenOff && headFile.sequence === sequence + 1)) say(`the head file is at ${headFile.sequence}, the head at ${sequence}`);
  else if (headFile.sequence === sequence && headFile.current !== (current ?? 0)) say(`the head file says ${headFile.current}, the head ${current}`);
}

/** What was there before is there still: numbers keep their meaning, events stay. */
function judgePast(now, past, say) {
  for (const row of past.versions) {
    const same = now.versions.find((one) => one.version === row.version);
    if (!same) say(`version ${row.version} is gone`);
    else for (const member of ['job', 'created_at', 'sources', 'segments']) if (!isDeepStrictEqual(same[member], row[member])) say(`version ${row.version} has another ${member}`);
  }
  const kept = now.events.slice(now.events.length - past.events.length);
  if (!isDeepStrictEqual(kept, past.events)) say('events of the past have changed');
}

/** `seen`: of look(). `past`: of an earlier look, or {}. `current`: the versions of people that may be
 *  current. `description`: those that its definition may have. `gone`: a dataset that is deleted (is: true), is not
 *  (false) or may be. `brokenOff`: a write may have been; `ahead`: one of that dataset, which nothing has changed since. */
export function judge(seen, { past = {}, current, descriptions, gone, ahead, brokenOff = false }) {
  const problems = [];
  for (const name of Object.keys(past)) if (!seen[name] && (name !== gone?.name || gone.is === false)) problems.push(`${name}: it is gone`);
  if (gone?.is && seen[gone.name]) problems.push(`${gone.name}: it is there still`);
  for (const [name, dataset] of Object.entries(seen)) {
    const say = (text) => problems.push(`${name}: ${text}`);
    judgeRows(dataset, say);
    judgeEvents(dataset, say);
    judgeAnswers(dataset, say);
    judgeHeadFile(dataset, say, brokenOff || name === ahead);
    if (past[name]) judgePast(dataset, past[name], say);
    if (!brokenOff && dataset.versions.some((row) => row.state === 'IN_PROGRESS')) say('a version is still IN_PROGRESS');
    if (name !== 'people') continue;
    if (current && !current.includes(dataset.current)) say(`version ${dataset.current} is current, not ${current.join(' or ')}`);
    if (descriptions && !descriptions.includes(dataset.definition.description)) say(`its definition is "${dataset.definition.description}"`);
  }
  return problems;
}

/** What somebody of another tenant is told: that nothing is there. Gives [problem]. */
export async function judgeStranger(server, token) {
  const { json } = await server.get('/v1/datasets', token);
  const asked = [
    ...await Promise.all(['', '/versions', '/events', '/rollups', '/rollups/by_state', '/export'].map((path) => server.get(`/v1/datasets/people${path}`, token))),
    await server.lookup('people', DATASETS.people.keys[3], token), await server.batch('people', DATASETS.people.keys.slice(0, 3), token)];
  const problems = json.items?.length === 0 ? [] : [`another tenant has the list ${JSON.stringify(json)}`];
  for (const reply of asked) if (reply.status !== 404) problems.push(`another tenant is told ${reply.status} ${reply.text.slice(0, 200)}`);
  return problems;
}

/* Names and numbers of the samples. Uploads are files of persons, which go with their job. */
const PERSONAL = /first[a-h]|999-11-1\d{3}/i;

/** Where in a directory that nobody uses, and in `log`, a person is named. Gives [problem]. */
export function judgePrivacy(directory, log) {
  const files = [...filesBelow(directory)].filter((path) => !path.startsWith(join(directory, 'spool')));
  const texts = [...files.map((path) => [relative(directory, path), readFileSync(path, 'latin1')]), ['the log', log]];
  return texts.filter(([, text]) => PERSONAL.test(text)).map(([name]) => `a person is named in ${name}`);
}

const KNOWN = /^(FORMAT|catalog\.mdb|catalog\.mdb-(lock|writer)|heads\/(dev|other)(\/[a-z]+)?\.json|keys\/(dev|other)\/(hmac|tokens)\/[^/]+\.(key|pem)|audit\/\d+\.lock|audit\/(dev|other)\/\d+-\d{12}\.jsonl)$/;

/* What a process that dies leaves and nobody removes yet: harmless, and counted. */
const TOLERATED = {
  'temporary file of an atomic write': /\.[0-9a-f]{16}\.tmp$/,
  'upload that its server did not live to note, which goes after a while': /^spool\/dev\/up-[0-9a-f]{24}\//,
};

/** The name under which a leftover is tolerated. */
export const tolerated = (name) => Object.keys(TOLERATED).find((key) => TOLERATED[key].test(name));

/** Files that nobody will ever need, when no process uses the directory. `named`: hashes of manifests. */
export function leftovers(directory, named) {
  const found = readdirSync(join(directory, 'build')).map((name) => `build/${name}`);
  for (const path of filesBelow(directory)) {
    const name = relative(directory, path);
    const segment = /^segments\/(..)\/(\1[0-9a-f]{62})\.mdb$/.exec(name);
    if (segment ? !named.has(segment[2]) : !KNOWN.test(name) && !name.startsWith('build/')) found.push(name);
  }
  return found.sort();
}

/** The hashes that must be on disk. */
export const namedSegments = (seen) => new Set(Object.values(seen).flatMap((dataset) => dataset.versions
  .filter((row) => ['SUCCEEDED', 'HELD', 'QUARANTINED'].includes(row.state))
  .flatMap((row) => row.segments.map((segment) => segment.sha256))));
