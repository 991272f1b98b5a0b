// What one request costs in CPU: everline answering lookups of protected keys, one and a thousand at once, reading
// records of a table that is not protected, and rollups; beside nginx and bare libmicrohttpd answering the same
// requests with a constant, and webdis reading the same record from Redis, without any authentication. The server has
// one core, the client the other. The servers take turns within one run, so that all meet the same noise, and what
// counts is the median. The CPU is that of the server's processes, all threads of them, while wrk asks. Then lookups and
// records again, everline and nginx asked at the same rate, which either has time for, and records that the client has
// beside records that it has not: in a closed loop a server that is faster than the client takes fewer requests a turn,
// until it takes the client's time for each. At the end perf, where it is installed, says where the CPU of a lookup and of
// a batch goes.
// usage: tests/bench/lookup [--rounds N] [--seconds N]     N rounds (7), each of N seconds (2) per server
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Data } from '../kit/everline.mjs';
import { definitionPath } from '../kit/lifeline.mjs';
import { buildDir, run, sourceDir } from '../kit/process.mjs';
import { Load } from './load.mjs';
import { cpuUs, pin, startBare, startNginx, startWebdis } from './peers.mjs';
import { hasPerf, shares } from './rooms.mjs';

const PEOPLE = 200_000, ASKED = 50_000, BATCH = 1000, BATCHES = 200, CONNECTIONS = 32, WARM_UP_S = 1;
const SERVER_CORE = 0, CLIENT_CORE = 1;
// What the tenant is limited to, each counted on every request, and none of them met.
const LIMITS = ['requests-per-second', 'requests-per-day', 'subject-requests-per-second', 'subject-requests-per-day'];
const MEMBERS = { // the same people, as a table that is not protected
  name: 'members', sources: { people: { format: 'csv', columns: { eligible: 'BOOLEAN' } } },
  prepare: 'SELECT * FROM people', key: { fields: ['id'] },
  record: { eligible: 'BOOLEAN', program: 'VARCHAR', state: 'VARCHAR' },
};

// ---- people -------------------------------------------------------------------------------------

const FIRST = ['Joslyn', 'José', 'Clint', 'Latashia', 'Zoë', 'Mary Ann', 'Li', 'Santiago', 'Aleta', 'Bo'];
const LAST = ['Arenas', 'Bode', "O'Neill", 'García', 'Streich', 'Kub-Smith', 'Wei', 'Upton', 'Hane'];
const STATES = ['Alabama', 'Ohio', 'Iowa', 'Utah', 'Maine'];
const PAYERS = ['Dual Eligible', 'Medicaid', 'Medicare', 'Humana', 'NO_INSURANCE'];
const digits = (n, width) => String(n).padStart(width, '0');

function person(i) {
  const payer = i % PAYERS.length;
  return {
    payer,
    key: {
      first_name: `${FIRST[i % FIRST.length]}${i % 1000}`,
      last_name: `${LAST[i % LAST.length]}${Math.floor(i / 1000)}`,
      dob: `${1930 + i % 89}-${digits(1 + i % 12, 2)}-${digits(1 + i % 28, 2)}`,
      ssn_last4: digits((i * 31) % 10_000, 4),
    },
    record: { eligible: payer < 2, program: PAYERS[payer], state: STATES[i % 7 % STATES.length] },
  };
}

function sources(data) {
  const people = Array.from({ length: PEOPLE }, (_, i) => person(i));
  const csv = (name, head, rows) => data.file(`${name}.csv`, `${[head, ...rows].join('\n')}\n`);
  return {
    patients: csv('patients', 'Id,FIRST,LAST,BIRTHDATE,SSN,STATE', people.map(({ key, record }, i) =>
      `${i},${key.first_name},${key.last_name},${key.dob},999-10-${key.ssn_last4},${record.state}`)),
    coverage: csv('coverage', 'PATIENT,PAYER,START_YEAR,END_YEAR', people.map(({ payer }, i) => `${i},${payer},2019,2020`)),
    payers: csv('payers', 'Id,NAME', PAYERS.map((name, i) => `${i},${name}`)),
  };
}

const members = (data) => data.file('members.csv', ['id,eligible,program,state',
  ...Array.from({ length: PEOPLE }, (_, i) => `m${i},${Object.values(person(i).record).join(',')}`)].join('\n') + '\n');

/** The ETag of each path, as the server has it now. */
async function tags(server, paths, token) {
  const found = [];
  for (let i = 0; i < paths.length; i += CONNECTIONS)
    found.push(...await Promise.all(paths.slice(i, i + CONNECTIONS).map((path) => server.get(path, token))));
  return found.map(({ headers }) => headers.etag);
}

// ---- the run ------------------------------------------------------------------------------------

const answered = {}; // of each name, by the client's count, in all rounds
const add = (name, count) => { answered[name] = (answered[name] ?? 0) + count; };

async function measure({ name, requests, pids, url, count = 1 }, token, duration) {
  const before = cpuUs(pids);
  const wrk = await run('taskset', ['-c', `${CLIENT_CORE}`, 'wrk', '-t', '1', '-c', `${CONNECTIONS}`, '-d', `${duration}s`,
    '-H', `Authorization: Bearer ${token}`, '-H', 'Content-Type: application/json',
    '-s', join(sourceDir, 'tests/bench/lookup.lua'), url, '--', requests]);
  const cpu = cpuUs(pids) - before;
  assert.equal(wrk.code, 0, `wrk failed: ${wrk.stderr}${wrk.stdout}`);
  const seen = JSON.parse(wrk.stdout.trimEnd().split('\n').at(-1));
  assert.ok(seen.requests > 0 && seen.failed === 0 && seen.not_2xx === 0, `${name}: ${wrk.stdout}`);
  add(name, seen.requests);
  return { rps: seen.requests / seen.us * 1e6, cpu: cpu / seen.requests, keys: count * seen.requests / cpu * 1e6,
    p50: seen.p50_us / 1e3, p99: seen.p99_us / 1e3 };
}

/** The median CPU of a request of each of two sides, in microseconds, when both are asked `rate` times a second; and that
 * of the first's in each round, as a multiple of the second's. */
async function atRate(rate, sides, token, rounds, seconds) {
  const cpu = sides.map(() => []);
  for (let round = 0; round < rounds; round++)
    for (const [i, { name, pids, url, path, lines, status = 200 }] of sides.entries()) {
      const before = cpuUs(pids), load = new Load({ port: new URL(url).port }, path, token, lines, rate, seconds);
      await pin([load.process.child.pid], CLIENT_CORE);
      const samples = await load.samples();
      assert.ok(samples.length > 0.95 * rate * seconds && samples.every((one) => one.status === status), `${name} at ${rate}/s: ${samples.length}`);
      cpu[i].push((cpuUs(pids) - before) / samples.length);
      add(name, samples.length);
    }
  return [...cpu.map(median), median(cpu[0].map((one, round) => one / cpu[1][round]))];
}

/** Every request was answered with 2xx or 304, each that should have been with 304, and every key was found: the server's
 * own count. */
async function checkCounts(server) {
  const { text } = await server.get('/metrics');
  const count = (name, label) => Number(text.match(new RegExp(`^${name}\\{\\w+="${label}"\\} (\\d+)$`, 'm'))[1]);
  assert.ok(count('everline_lookups_total', 'match') > 0);
  assert.equal(count('everline_lookups_total', 'no_match'), 0, 'a key was not found');
  assert.ok(count('everline_responses_total', '3xx') >= answered['record, 304'], 'not all of them were 304');
  for (const bad of ['1xx', '4xx', '5xx']) assert.equal(count('everline_responses_total', bad), 0, `${bad} answers`);
}

const median = (numbers) => {
  const sorted = [...numbers].sort((a, b) => a - b), half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
};
const row = (...cells) => console.log(cells.map((cell, i) => (i ? String(cell).padStart(13) : cell.padEnd(32))).join(''));
const figures = (name, { rps, cpu, p50, p99 }) => row(name, Math.round(rps), cpu.toFixed(2), p50.toFixed(2), p99.toFixed(2));

/** Of one more round, in microseconds of what one takes. */
async function breakDown(side, token, seconds, count) {
  if (!hasPerf()) return console.log(`where the CPU of a ${side.name} goes is not known: perf is not installed`);
  const rows = await shares(side.pids[0], () => measure(side, token, seconds));
  const us = side.median.cpu / count;
  row(`\nof ${count > 1 ? 'a key in a batch' : `a ${side.name}`}, CPU us`, 'requests', 'other work');
  for (const { place, answering, other } of rows)
    if ((answering + other) * us >= 0.005) row(place, (answering * us).toFixed(2), (other * us).toFixed(2));
}

async function main() {
  const { values } = parseArgs({ options: { rounds: { type: 'string', default: '7' }, seconds: { type: 'string', default: '2' } } });
  const rounds = Number(values.rounds), seconds = Number(values.seconds);
  assert.ok([rounds, seconds].every((n) => Number.isInteger(n) && n > 0), '--rounds and --seconds are whole numbers');
  const buildType = readFileSync(join(buildDir, 'CMakeCache.txt'), 'utf8').match(/^CMAKE_BUILD_TYPE:\w+=(.*)$/m)[1];

  const data = await Data.make();
  await data.ok(['tenant', 'put', 'dev', ...LIMITS.flatMap((what) => [`--${what}`, '1000000000'])]);
  await data.put(JSON.parse(readFileSync(definitionPath, 'utf8')));
  await data.ingest('lifeline', sources(data));
  await data.put(MEMBERS);
  await data.ingest('members', { people: members(data) });
  const server = await data.serve('--workers', '1');
  const token = await data.token({ scope: 'data:read analytics:read' });

  const path = '/v1/datasets/lifeline/lookup', byProgram = '/v1/datasets/lifeline/rollups/by_program?program=';
  const member = '/v1/datasets/members/records/';
  const asked = Array.from({ length: ASKED }, (_, i) => person(i * 7919 % PEOPLE));
  const first = await server.lookup('lifeline', asked[0].key, token);
  assert.equal(first.status, 200, first.text);
  assert.deepEqual(first.json, { dataset: 'lifeline', version: 1, outcome: 'match', record: asked[0].record });
  const record = await server.get(`${member}m1`, token);
  assert.equal(record.status, 200, record.text);

  const file = (name, lines) => data.file(name, `${lines.join('\n')}\n`);
  const ids = asked.map((_, i) => `m${i * 7919 % PEOPLE}`);
  const lookups = file('lookups', asked.map(({ key }) => `POST ${path} ${JSON.stringify({ key })}`));
  const records = file('records', ids.map((id) => `GET ${member}${id}`));
  const known = await tags(server, ids.map((id) => member + id), token);
  const kept = file('kept', ids.map((id, i) => `GET ${member}${id} ${known[i]}`));
  const batches = file('batches', Array.from({ length: BATCHES }, (_, i) => `POST ${path}/batch ` +
    JSON.stringify({ keys: Array.from({ length: BATCH }, (__, j) => asked[(i * BATCH + j) % ASKED].key) })));
  const rollups = file('rollups', PAYERS.map((name) => `GET ${byProgram}${encodeURIComponent(name)}`));
  const gets = file('gets', ids.map((id) => `GET /GET/${id}`));
  const everline = { pids: [server.process.pid], url: server.url };
  const nginx = await startNginx(first.text, 1), nginxRecord = await startNginx(record.text, 1);
  const bare = await startBare(first.text);
  const webdis = await startWebdis([...new Set(ids)].map((id) => [id, record.text]));
  const sides = [
    { name: 'lookup', requests: lookups, ...everline },
    { name: 'nginx constant, POST', requests: lookups, ...nginx },
    { name: 'libmicrohttpd constant, POST', requests: lookups, ...bare },
    { name: 'record', requests: records, ...everline },
    { name: 'record, 304', requests: kept, ...everline },
    { name: 'nginx constant, GET', requests: records, ...nginxRecord },
    { name: 'webdis and Redis, GET', requests: gets, ...webdis },
    { name: 'rollup', requests: rollups, ...everline },
    { name: `batch of ${BATCH}`, requests: batches, count: BATCH, ...everline },
  ].map((side) => ({ ...side, rounds: [] }));
  for (const { pids } of sides) await pin(pids, SERVER_CORE);

  const { alg } = JSON.parse(Buffer.from(token.split('.')[0], 'base64url'));

  console.log(`${buildType} build, ${PEOPLE} people, token ${alg}; ${CONNECTIONS} connections, one worker and one core each; ` +
    `${rounds} rounds of ${seconds} s`);
  row('', 'requests/s', 'CPU us/req', 'p50 ms', 'p99 ms');
  for (const side of sides) await measure(side, token, WARM_UP_S);
  for (let round = 1; round <= rounds; round++)
    for (const side of sides) side.rounds.push(await measure(side, token, seconds));

  for (const one of sides) {
    one.median = Object.fromEntries(Object.keys(one.rounds[0]).map((what) => [what, median(one.rounds.map((round) => round[what]))]));
    figures(one.name, one.median);
  }
  const side = (name) => sides.find((one) => one.name === name);
  for (const [what, mine, theirs] of [
    ['lookup/nginx', 'lookup', 'nginx constant, POST'], ['lookup/libmicrohttpd', 'lookup', 'libmicrohttpd constant, POST'],
    ['libmicrohttpd/nginx', 'libmicrohttpd constant, POST', 'nginx constant, POST'],
    ['record/nginx', 'record', 'nginx constant, GET'], ['record/webdis and Redis', 'record', 'webdis and Redis, GET'],
    ['rollup/nginx', 'rollup', 'nginx constant, GET'],
  ]) row(what, '', (side(mine).median.cpu / side(theirs).median.cpu).toFixed(2));
  const keys = { path, lines: file('keys', asked.map(({ key }) => JSON.stringify({ key }))) };
  const wanted = { path: member, lines: file('ids', ids) };
  const had = { path: member, lines: file('had', ids.map((id, i) => `${id} ${known[i]}`)), status: 304 };
  for (const [what, ...pair] of [
    ['lookup/nginx', { ...side('lookup'), ...keys }, { ...side('nginx constant, POST'), ...keys }],
    ['record/nginx', { ...side('record'), ...wanted }, { ...side('nginx constant, GET'), ...wanted }],
    ['304/200', { ...side('record, 304'), ...had }, { ...side('record'), ...wanted }],
  ]) {
    const rate = Math.round(0.5 * Math.min(...pair.map((one) => one.median.rps)) / 1000) * 1000;
    const [a, b, ratio] = await atRate(rate, pair, token, rounds, seconds);
    row(`${what}, ${rate}/s each`, '', ratio.toFixed(2), `${a.toFixed(2)} us`, `${b.toFixed(2)} us`);
  }
  await checkCounts(server);
  row('batch, keys/s and core', '', Math.round(sides.at(-1).median.keys));
  await breakDown(sides[0], token, seconds, 1);
  await breakDown(sides.at(-1), token, seconds, BATCH);
  assert.equal(await server.stop(), 0);
}

main().then(() => process.exit(0), (error) => {
  console.error(`lookup: ${error.message}`);
  process.exit(1);
});
