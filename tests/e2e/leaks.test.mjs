// A server that flips a thousand times is as large afterwards as it was before: memory, descriptors,
// mappings, threads. The pointer goes to and fro over HTTP while clients ask, and some batches come in,
// so that segments are opened and closed too.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Data } from '../kit/everline.mjs';
import { buildDir, tempDir, until } from '../kit/process.mjs';
import { csv, THINGS, things } from '../kit/samples.mjs';

const INGESTS = 6, CLIENTS = 4;
const GROWTH_KB = 512; /* of memory, over all flips: half a kilobyte each */
const sanitized = !/^EVERLINE_SANITIZE:\w+=$/m.test(readFileSync(join(buildDir, 'CMakeCache.txt'), 'utf8'));
/* A sanitizer finds a leak without so many of them. */
const WARM_UP = sanitized ? 50 : 300, FLIPS = sanitized ? 200 : 1000;
const BETWEEN = 2 * Math.round(FLIPS / INGESTS / 2); /* even: a batch comes when the newest version is current */

/** What a process holds. */
function holdings(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const field = (name) => Number(status.match(new RegExp(`^${name}:\\s*(\\d+)`, 'm'))[1]);
  const maps = readFileSync(`/proc/${pid}/maps`, 'utf8').trimEnd().split('\n').map((line) => line.split(/\s+/)[5] ?? '');
  return {
    anonKb: field('RssAnon'),
    threads: field('Threads'),
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    segments: maps.filter((path) => path.includes('/segments/')).length,
    anonymous: maps.filter((path) => path === '').length,
    files: maps.filter((path) => path !== '' && !path.includes('/segments/')).length,
  };
}

test('a thousand flips leave nothing behind', async (t) => {
  const memory = existsSync('/dev/shm') ? '/dev/shm' : tmpdir(); /* thousands of syncs that prove nothing here */
  const data = new Data(join(tempDir('leaks', memory), 'data'));
  await data.ok(['tenant', 'put', 'dev']);
  const ingest = (seed) => data.ingest('things', { things: data.file('things.csv', csv(things(200, seed))) });
  await data.put({ ...THINGS, retention: { keep_versions: 3, keep_days: 90 } });
  for (const seed of [1, 2]) await ingest(seed);
  const server = await data.serve('--workers', '2');
  const token = await data.token();
  const running = { on: true };
  const failed = [];
  const client = async (i) => {
    while (running.on) {
      const reply = await server.lookup('things', { id: `t0000${i}` }, token);
      if (reply.status !== 200) failed.push(reply.text);
      await new Promise((resolve) => { setTimeout(resolve, 2); }); /* it is the flips that count */
    }
  };
  const clients = Array.from({ length: CLIENTS }, (_, i) => client(i));
  let current = 2, target = 1, count = 0;
  const flip = async () => {
    const [from, to] = count++ % 2 ? [target, current] : [current, target];
    const reply = from === current
      ? await server.post('/v1/datasets/things/rollback', token, { reason: 'x', from, to })
      : await server.post(`/v1/datasets/things/versions/${to}/promote`, token, { reason: 'x' });
    assert.equal(reply.status, 200, reply.text);
    assert.equal(reply.json.current, to);
  };
  /** A batch that flips, and is then what the pointer goes to and fro with. */
  const refresh = async (seed) => {
    const row = await ingest(seed);
    assert.equal(row.outcome, 'flipped');
    [current, target] = [row.version, current];
    await until('the new version is served', async () => (await server.lookup('things', { id: 't00001' }, token)).json.version === current);
  };
  /** The same point of the cycle each time, and what was closed is gone. */
  const measure = () => until('two versions are open', () => {
    const now = holdings(server.process.pid);
    return now.segments === 2 && now;
  });
  try {
    for (let i = 0; i < WARM_UP; i++) await flip();
    await refresh(3);
    const before = await measure();
    const start = performance.now();
    for (let i = 0; i < FLIPS; i++) {
      await flip();
      if (i % BETWEEN === 1) await refresh(4 + i);
    }
    const after = await measure();
    t.diagnostic(`${FLIPS} flips in ${((performance.now() - start) / 1e3).toFixed(1)} s: ${JSON.stringify(before)} -> ${JSON.stringify(after)}`);
    const { anonKb, anonymous, ...rest } = after;
    assert.deepEqual(rest, Object.fromEntries(Object.keys(rest).map((name) => [name, before[name]])));
    if (!sanitized) { /* they keep what was freed */
      assert.ok(anonymous <= before.anonymous + 4, `${before.anonymous} -> ${anonymous} anonymous mappings`);
      assert.ok(anonKb <= before.anonKb + GROWTH_KB, `${before.anonKb} -> ${anonKb} kB`);
    }
  } finally {
    running.on = false;
    await Promise.all(clients);
    assert.equal(await server.stop(), 0, server.log);
  }
  assert.deepEqual(failed, []);
});
