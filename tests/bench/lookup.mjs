// What one request costs in CPU: everline answering lookups of protected keys (and reading a rollup),
// beside nginx answering the same lookups with a constant. The servers take turns within one run, so
// that both meet the same noise, and what counts is the median. The data is the sample's definition
// over people made up here; the CPU is that of the server's processes while wrk asks.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { Data } from '../kit/everline.mjs';
import { definitionPath } from '../kit/lifeline.mjs';
import { buildDir, run, sourceDir } from '../kit/process.mjs';
import { startNginx } from './nginx.mjs';

const PEOPLE = 200_000, ASKED = 50_000, CONNECTIONS = 32, CLIENT_THREADS = 1, WARM_UP_S = 1;
const CORES = cpus().length; // as many workers for each server

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

// ---- servers ------------------------------------------------------------------------------------

/** CPU of a process, all its threads, and of its children. */
function cpuUs(pid, tickUs) {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean);
  return [pid, ...children].reduce((sum, each) => {
    const stat = readFileSync(`/proc/${each}/stat`, 'utf8');
    const [utime, stime] = stat.slice(stat.lastIndexOf(')') + 2).split(' ').slice(11, 13);
    return sum + (Number(utime) + Number(stime)) * tickUs;
  }, 0);
}

// ---- the run ------------------------------------------------------------------------------------

async function measure(side, token, tickUs, duration) {
  const before = cpuUs(side.pid, tickUs);
  const wrk = await run('wrk', ['-t', `${CLIENT_THREADS}`, '-c', `${CONNECTIONS}`, '-d', `${duration}s`,
    '-H', `Authorization: Bearer ${token}`, '-H', 'Content-Type: application/json',
    '-s', join(sourceDir, 'tests/bench/lookup.lua'), side.url, '--', side.requests]);
  const cpu = cpuUs(side.pid, tickUs) - before;
  assert.equal(wrk.code, 0, `wrk failed: ${wrk.stderr}${wrk.stdout}`);
  const seen = JSON.parse(wrk.stdout.trimEnd().split('\n').at(-1));
  assert.ok(seen.requests > 0 && seen.not_2xx === 0 && seen.failed === 0, `${side.name}: ${wrk.stdout}`);
  return { rps: seen.requests / seen.us * 1e6, cpu: cpu / seen.requests, p50: seen.p50_us / 1e3, p99: seen.p99_us / 1e3 };
}

/** Every request was answered with 2xx, and every key was found: the server's own count. */
async function checkCounts(server) {
  const { text } = await server.get('/metrics');
  const count = (name, label) => Number(text.match(new RegExp(`^${name}\\{\\w+="${label}"\\} (\\d+)$`, 'm'))[1]);
  assert.ok(count('everline_lookups_total', 'match') > 0);
  assert.equal(count('everline_lookups_total', 'no_match'), 0, 'a key was not found');
  for (const bad of ['1xx', '3xx', '4xx', '5xx']) assert.equal(count('everline_responses_total', bad), 0, `${bad} answers`);
}

const median = (numbers) => {
  const sorted = [...numbers].sort((a, b) => a - b), half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
};
const row = (...cells) => console.log(cells.map((cell, i) => (i ? String(cell).padStart(13) : cell.padEnd(26))).join(''));
const figures = (name, { rps, cpu, p50, p99 }) => row(name, Math.round(rps), cpu.toFixed(2), p50.toFixed(2), p99.toFixed(2));

async function main() {
  const { values } = parseArgs({ options: { rounds: { type: 'string', default: '7' }, seconds: { type: 'string', default: '2' } } });
  const rounds = Number(values.rounds), seconds = Number(values.seconds);
  assert.ok([rounds, seconds].every((n) => Number.isInteger(n) && n > 0), '--rounds and --seconds are whole numbers');
  const tickUs = 1e6 / Number((await run('getconf', ['CLK_TCK'])).stdout);
  const buildType = readFileSync(join(buildDir, 'CMakeCache.txt'), 'utf8').match(/^CMAKE_BUILD_TYPE:\w+=(.*)$/m)[1];

  const data = await Data.make();
  await data.put(JSON.parse(readFileSync(definitionPath, 'utf8')));
  await data.ingest('lifeline', sources(data));
  const server = await data.serve('--workers', `${CORES}`);
  const token = await data.token({ scope: 'data:read analytics:read' });

  const path = '/v1/datasets/lifeline/lookup', byProgram = '/v1/datasets/lifeline/rollups/by_program?program=';
  const asked = Array.from({ length: ASKED }, (_, i) => person(i * 7919 % PEOPLE));
  const first = await server.lookup('lifeline', asked[0].key, token);
  assert.equal(first.status, 200, first.text);
  assert.deepEqual(first.json, { dataset: 'lifeline', version: 1, outcome: 'match', record: asked[0].record });

  const lookups = data.file('lookups', asked.map(({ key }) => `POST ${path} ${JSON.stringify({ key })}\n`).join(''));
  const rollups = data.file('rollups', PAYERS.map((name) => `GET ${byProgram}${encodeURIComponent(name)}\n`).join(''));
  const nginx = await startNginx(first.text, CORES);
  const everline = { pid: server.process.pid, url: server.url };
  const sides = [
    { name: 'everline lookup', requests: lookups, ...everline },
    { name: 'nginx constant', requests: lookups, ...nginx },
    { name: 'everline rollup', requests: rollups, ...everline },
  ].map((side) => ({ ...side, rounds: [] }));

  const { alg } = JSON.parse(Buffer.from(token.split('.')[0], 'base64url'));

  console.log(`${CORES} cores, ${buildType} build, ${PEOPLE} people, token ${alg}; ` +
    `${CONNECTIONS} connections, ${CORES} workers each; ${rounds} rounds of ${seconds} s`);
  row('', 'requests/s', 'CPU us/req', 'p50 ms', 'p99 ms');
  for (const side of sides) await measure(side, token, tickUs, WARM_UP_S);
  for (let round = 1; round <= rounds; round++)
    for (const side of sides) {
      side.rounds.push(await measure(side, token, tickUs, seconds));
      figures(`${round} ${side.name}`, side.rounds.at(-1));
    }
  await checkCounts(server);

  for (const side of sides) {
    side.median = Object.fromEntries(Object.keys(side.rounds[0]).map((what) => [what, median(side.rounds.map((one) => one[what]))]));
    figures(`median ${side.name}`, side.median);
  }
  const [lookup, constant, rollup] = sides.map((side) => side.median.cpu);
  row('lookup/nginx', '', (lookup / constant).toFixed(2));
  row('rollup/nginx', '', (rollup / constant).toFixed(2));
  assert.equal(await server.stop(), 0);
}

main().then(() => process.exit(0), (error) => {
  console.error(`lookup: ${error.message}`);
  process.exit(1);
});
