// What a flip does to who asks meanwhile. An open-loop client (bench_load) asks at half of what the
// server can do, while the pointer goes to a version that no server has open, whose pages were dropped
// from the page cache, and back again by a rollback. Calm seconds between the flips are the baseline:
// both meet the same noise, and what counts is the median over the windows. A second server has the same
// data directory and a light load: it sees what the first one's moves do to the others.
// usage: tests/bench/flip [--records N] [--rounds N] [--start-records N] [--rate N] [--data DIR]
//   --records        of each version under load (10,000,000)
//   --rounds         a flip to a version that nobody has open, and a rollback, each (20)
//   --start-records  of the version that a server starts with (50,000,000; 0: leave that out)
//   --rate           requests a second (half of what the server can do)
//   --data           keep the versions there and take them the next time (both sizes are in the name)
import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Server } from '../kit/everline.mjs';
import { segmentPath } from '../kit/files.mjs';
import { run, until } from '../kit/process.mjs';
import { DATASET, generate, versions } from './eligibility.mjs';
import { Load, nowUs, quantile, sleep, within } from './load.mjs';

const CAPACITY_S = 4, CALM_S = 1.5, STARTS = 5, OTHER_RATE = 1000;
const PATH = `/v1/datasets/${DATASET}/lookup`;

const median = (numbers) => quantile(numbers, 0.5);
const max = (numbers) => numbers.reduce((a, b) => Math.max(a, b), 0);

const p999 = (samples, [from, to]) => quantile(within(samples, from, to), 0.999);
const around = (us) => [us - 0.5e6, us + 0.5e6];

/** How long after `from` somebody sent a request that was still answered from `version`, in milliseconds. */
function lastOf(samples, version, from, to) {
  const late = samples.filter((one) => one.version === version && one.sent >= from && one.sent < to);
  return max(late.map((one) => one.sent - from)) / 1e3;
}

// ---- the run ------------------------------------------------------------------------------------

const statusKb = (server, field) =>
  Number(readFileSync(`/proc/${server.process.pid}/status`, 'utf8').match(new RegExp(`^${field}:\\s*(\\d+) kB$`, 'm'))[1]);

const hasMapped = (server, path) => readFileSync(`/proc/${server.process.pid}/maps`, 'utf8').includes(path);

/** Drops the pages of a file that nobody has open from the page cache. */
async function evict(path) {
  await run('dd', [`if=${path}`, 'iflag=nocache', 'count=0']);
  const { stdout } = await run('fincore', ['--bytes', '--noheadings', '--output', 'RES', path]);
  assert.ok(Number(stdout) < statSync(path).size / 100, `${stdout.trim()} bytes of ${path} stay in the page cache`);
}

/** The peer of a move, which waits for the disk several times: how long the disk takes to keep 4 KiB, all the while. */
class Disk {
  constructor(directory) {
    this.times = [];
    this.going = true;
    this.ended = this.#keepWriting(join(directory, 'disk'));
  }

  async #keepWriting(path) {
    const file = await open(path, 'w'), page = Buffer.alloc(4096, 1);
    while (this.going) {
      const begun = performance.now();
      await file.write(page, 0, page.length, 0);
      await file.datasync();
      this.times.push(performance.now() - begun);
      await sleep(0.05);
    }
    await file.close();
  }

  async stop() {
    this.going = false;
    await this.ended;
    return this.times;
  }
}

async function halfOfCapacity(server, token, bodies) {
  await new Load(server, PATH, token, bodies, 0, 1).samples();
  const closed = await new Load(server, PATH, token, bodies, 0, CAPACITY_S).samples();
  const capacity = closed.length / CAPACITY_S, rate = Math.floor(capacity / 2);
  console.log(`capacity ${Math.round(capacity)} requests/s (closed loop); load ${rate}/s`);
  return rate;
}

async function underLoad(data, rounds, records, wantedRate) {
  const [server, other] = [await data.serve(), await data.serve()];
  const token = await data.token();
  const bodies = await generate(join(data.files, 'bodies'), { rows: records, requests: 200_000 });
  const [last, before] = await data.versions(DATASET);
  const cold = last.version, warm = before.version, coldPath = segmentPath(data, last);
  const rollback = () => server.post(`/v1/datasets/${DATASET}/rollback`, token, { reason: 'bench', from: cold });
  if (last.current) assert.equal((await rollback()).status, 200);
  const rate = wantedRate || await halfOfCapacity(server, token, bodies);

  const load = new Load(server, PATH, token, bodies, rate, 3600);
  const otherLoad = new Load(other, PATH, token, bodies, OTHER_RATE, 3600);
  const disk = new Disk(data.files);
  const seen = [];
  let anonKb = 0;
  await sleep(1);
  for (let round = 0; round < rounds; round++) {
    await until('the version is closed', () => !hasMapped(server, coldPath) && !hasMapped(other, coldPath));
    await evict(coldPath);
    const one = { calm: [nowUs()] };
    await sleep(CALM_S);
    one.calm.push(nowUs());
    one.asked = nowUs();
    await data.ok(['promote', DATASET, `${cold}`, '--reason', 'bench'], { tenant: 'dev' });
    one.flipped = nowUs();
    const [event] = (await server.get(`/v1/datasets/${DATASET}/events?limit=1`, token)).json.items;
    one.swapped = (Date.parse(event.time) - performance.timeOrigin - performance.now()) * 1e3 + nowUs();
    await sleep(CALM_S);
    one.rollback = nowUs();
    const reply = await rollback();
    one.back = nowUs();
    assert.equal(reply.status, 200, reply.text);
    assert.equal(reply.json.current, warm);
    await sleep(CALM_S);
    one.end = nowUs();
    anonKb = Math.max(anonKb, statusKb(server, 'RssAnon'), statusKb(other, 'RssAnon'));
    seen.push(one);
  }
  const [samples, others, diskMs] = await Promise.all([load.stop(), otherLoad.stop(), disk.stop()]);
  for (const one of [server, other]) assert.equal(await one.stop(), 0, one.log);
  return { samples, others, diskMs, seen, warm, cold, anonKb };
}

/** Milliseconds from the start of a server to the moment at which it is ready. */
async function startTimes(data) {
  const times = [];
  for (let i = 0; i <= STARTS; i++) {
    const began = performance.now();
    const server = new Server(data);
    await server.ready();
    times.push(performance.now() - began);
    assert.equal(await server.stop(), 0, server.log);
  }
  return times.slice(1); // the first one brought the file into the page cache
}

const row = (...cells) => console.log(cells.map((cell, i) => (i ? String(cell).padStart(12) : cell.padEnd(58))).join(''));

/** A line of the table; true if the figure keeps to the budget. */
function judge(what, budget, figure, unit) {
  const good = figure <= budget;
  row(what, `${budget} ${unit}`, `${Number(figure.toPrecision(3))} ${unit}`, budget ? (figure / budget).toFixed(2) : '-', good ? 'ok' : 'MISSED');
  return good;
}

async function main() {
  const { values } = parseArgs({ options: {
    records: { type: 'string', default: '10000000' }, rounds: { type: 'string', default: '20' },
    'start-records': { type: 'string', default: '50000000' }, rate: { type: 'string', default: '0' }, data: { type: 'string' },
  } });
  const records = Number(values.records), rounds = Number(values.rounds), startRecords = Number(values['start-records']);
  const rate = Number(values.rate);
  assert.ok(records > 0 && rounds > 0 && startRecords >= 0 && rate >= 0, 'every option but --data is a number');
  const place = (name) => values.data && join(values.data, name);
  console.log(`${cpus().length} cores, ${cpus()[0].model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB; ${new Date().toISOString().slice(0, 10)}; ` +
    `${records} records a version, ${rounds} rounds`);

  const data = await versions(3, records, place(`flip-${records}`));
  const { samples, others, diskMs, seen, warm, cold, anonKb } = await underLoad(data, rounds, records, rate);
  const ready = startRecords ? await startTimes(await versions(1, startRecords, place(`start-${startRecords}`))) : [];

  const calm = median(seen.map((one) => p999(samples, one.calm)));
  const relative = (windows) => median(windows.map((window) => p999(samples, window))) / calm;
  const failed = [...samples, ...others].filter((one) => one.status !== 200).length;
  const flips = (of) => seen.map((one) => lastOf(of, warm, one.swapped, one.rollback));
  const rollbacks = (of, since) => seen.map((one) => lastOf(of, cold, one[since], one.end));
  const most = (times) => quantile(times, 0.95 - 1e-9); /* 19 of 20: one may have met the disk's worst moment */
  const warming = median(seen.map((one) => one.flipped - one.asked)) / 1e3;
  console.log(`${samples.length + others.length} requests; a version is verified, opened, warmed and served ${warming.toFixed(0)} ms after it was asked for`);
  console.log(`p99.9 in calm seconds: ${calm.toFixed(2)} ms (median of ${rounds})`);
  console.log(`a rollback was served after ${median(rollbacks(samples, 'rollback')).toFixed(1)} ms (median; worst ` +
    `${max(rollbacks(samples, 'rollback')).toFixed(1)}); meanwhile the disk kept 4 KiB after ${median(diskMs).toFixed(1)} ms (worst ${max(diskMs).toFixed(1)})`);
  row('', 'budget', 'figure', 'ratio', '');
  const judged = [
    judge('failed requests', 0, failed, ''),
    judge('p99.9 in the second around a flip / calm', 1.2, relative(seen.map((one) => around(one.swapped))), 'x'),
    judge('p99.9 in the second around a rollback / calm', 1.2, relative(seen.map((one) => around(one.rollback))), 'x'),
    judge('p99.9 while a version is warmed / calm', 1.2, relative(seen.map((one) => [one.asked, one.swapped])), 'x'),
    judge('head swapped by another process, to served (worst)', 50, max(flips(samples)), 'ms'),
    judge('  to served by the second server (worst)', 50, max(flips(others)), 'ms'),
    judge('rollback asked for, to served by every worker (19 of 20)', 100, most(rollbacks(samples, 'rollback')), 'ms'),
    judge('  to served by the second server (19 of 20)', 100, most(rollbacks(others, 'rollback')), 'ms'),
    judge('rollback answered, to served by every worker (worst)', 0, max(rollbacks(samples, 'back')), 'ms'),
    judge('memory of a server without page cache', 64, anonKb / 1024, 'MiB'),
    ...(startRecords ? [judge(`start to ready with ${startRecords} records (median)`, 1000, median(ready), 'ms')] : []),
  ];
  process.exitCode = judged.every(Boolean) ? 0 : 1;
}

main().then(() => process.exit(), (error) => {
  console.error(`flip: ${error.stack}`);
  process.exit(1);
});
