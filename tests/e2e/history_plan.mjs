// What goes on beside the clients, as lanes of operations that go on at the same time. A seed gives every
// step with all that it needs to choose; what a choice means (which versions can be promoted) is seen when
// its turn has come. Steps wait for requests that are answered, not for time.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { filesBelow } from '../kit/files.mjs';
import { ask } from '../kit/load.mjs';
import { buildersOf, ingestPath, start, until } from '../kit/process.mjs';
import { random, weighed } from '../kit/random.mjs';
import { csv, THINGS, things } from '../kit/samples.mjs';

/** The same rows: one dataset with addresses and ETags, one whose keys are protected. */
export const DEFINITIONS = ['things', 'hidden'].map((name) => ({
  ...THINGS, name, key: name === 'hidden' ? { fields: ['id'], protect: 'hmac-sha256' } : THINGS.key,
  retention: { keep_versions: 5, keep_days: 90 },
}));
export const rowsOf = (batch) => things(200 + (batch % 7) * 20, batch);

const LANES = { batches: 2, people: 1, processes: 1 };
const PACES = { batches: 100, people: 1000, processes: 4000 }; /* at most so many requests before a step */
const STEPS = {
  batches: { ingest: 1 },
  people: { rollBack: 4, promote: 4, retire: 2, define: 1, diff: 2 },
  processes: { pause: 3, kill: 2, reload: 2, backup: 1 },
};
const VICTIMS = { nobody: 6, parent: 2, child: 1, 'sleeping parent': 1 };

/** The steps of a lane, without end. A step's `dice` are what it chooses with. */
function* steps(seed, kind, lane) {
  for (const next = random(seed, `${kind} ${lane}`); ;)
    yield {
      what: weighed(next, STEPS[kind]), victim: weighed(next, VICTIMS),
      dice: Array.from({ length: 6 }, next), pace: Math.floor(next() * PACES[kind]),
    };
}

const at = (list, dice) => list[Math.floor(dice * list.length)];
/** Carries steps out. `counts` says how often what was done. */
export class Stage {
  constructor({ data, load, backups }) {
    Object.assign(this, { data, load, backups, acks: [], failures: [], counts: {}, batches: 1, files: new Map() });
  }

  count(what) { this.counts[what] = (this.counts[what] ?? 0) + 1; }

  /** All lanes of a seed, until each lane of batches has had so many. */
  async carryOut(seed, batches) {
    let going = LANES.batches;
    const lane = async (kind, number) => {
      let done = 0;
      for (const step of steps(seed, kind, number)) {
        await this.load.after(step.pace);
        if (kind === 'batches' ? done++ === batches : going === 0) break;
        await this[step.what](step, at(DEFINITIONS, step.dice[0]).name);
      }
      if (kind === 'batches') going--;
    };
    await Promise.all(Object.entries(LANES).flatMap(([kind, count]) => Array.from({ length: count }, (_, i) => lane(kind, i))));
  }

  /** Some server that is up. */
  async server(dice) {
    return (await until('a server is there', () => at(this.load.seats, dice).current ?? this.load.seats.find((seat) => seat.current)?.current));
  }

  request(server, method, path, body) {
    return server.request(method, path, { token: this.load.token, body });
  }

  // ---- batches ----

  /** Written once: somebody may be reading it. */
  source(batch) {
    if (!this.files.has(batch)) this.files.set(batch, this.data.file(`batch-${batch}.csv`, csv(rowsOf(batch))));
    return this.files.get(batch);
  }

  /** A new batch, or now and then one that was there before; its worker is killed now and then. */
  async ingest({ dice, victim }, dataset) {
    const batch = dice[1] < 0.2 ? 1 + Math.floor(dice[2] * this.batches) : ++this.batches;
    const worker = start(ingestPath, ['ingest', dataset, '--data', this.data.directory, '--tenant', 'dev', '--output', 'json',
      '--source', this.source(batch)]);
    this.count('ingests');
    if (victim !== 'nobody') await this.strike(worker, victim, dice[3]);
    const { code } = await worker.ended;
    if (code === 0 || code === 4) {
      const { version, outcome } = JSON.parse(worker.stdout);
      this.load.newest.set(dataset, Math.max(version, this.load.newest.get(dataset)));
      const event = { flipped: 'flipped', held: 'held' }[outcome] ?? 'succeeded';
      this.acks.push({ dataset, at: Date.now(), outcome: 'done', event, version });
      if (outcome === 'held') this.count('held');
    } else if (victim === 'nobody' && worker.stderr.includes('definition of')) {
      this.count('ingests whose definition changed while they waited');
    } else if (victim === 'nobody') {
      this.failures.push({ dataset, at: Date.now(), text: `an ingest that nobody struck ended with ${code}: ${worker.stderr}` });
    }
  }

  /** At a moment of the build: when its directory is there, its child works, or the segment is written. */
  async strike(worker, victim, dice) {
    const build = join(this.data.directory, 'build');
    const moments = [
      () => readdirSync(build).length > 0,
      () => buildersOf(worker.pid).length > 0,
      () => { try { return [...filesBelow(build)].some((path) => path.endsWith('.mdb')); } catch { return false; } },
    ];
    const reached = moments[Math.floor(dice * 3)];
    await until('the moment has come', () => worker.exited || reached(), undefined, 1);
    if (worker.exited) return;
    const pid = victim === 'child' ? buildersOf(worker.pid)[0] : worker.pid;
    if (pid === undefined) return;
    try {
      process.kill(pid, victim === 'sleeping parent' ? 'SIGSTOP' : 'SIGKILL');
      this.count(`${victim} struck`);
      if (victim !== 'sleeping parent') return;
      await this.load.after(100);
      process.kill(pid, 'SIGCONT');
    } catch { /* it ended first */ }
  }

  // ---- people ----

  async versions(server, dataset, states) {
    const reply = await this.request(server, 'GET', `/v1/datasets/${dataset}/versions?limit=40`);
    return reply.json.items.filter((row) => states.includes(row.state));
  }

  /** Asks for a change; its entry and its acknowledgement are kept. */
  async change(server, dataset, event, method, path, body) {
    const request = `op-${this.acks.length}-${event}`;
    const entry = { dataset, what: 'move' };
    const reply = await ask(this.load.history, server, entry, method, `/v1/datasets/${dataset}${path}`,
      { token: this.load.token, body, headers: { 'x-request-id': request } },
      ({ sequence, current }) => ({ sequence, current }));
    const done = entry.status === 200;
    this.count(`${event} ${entry.status}`);
    this.acks.push({ dataset, at: entry.end, outcome: done ? 'done' : reply ? 'refused' : 'unknown', request,
      ...(done ? { event, sequence: reply.json.sequence, to: reply.json.current, from: reply.json.previous } : {}) });
  }

  async read(action) {
    try {
      return await action();
    } catch {
      return null; /* the server was killed: the clients' requests say so too */
    }
  }

  async rollBack({ dice }, dataset) {
    const server = await this.server(dice[1]);
    const head = await this.read(() => this.request(server, 'GET', `/v1/datasets/${dataset}`));
    const rows = dice[2] < 0.4 ? await this.read(() => this.versions(server, dataset, ['SUCCEEDED', 'QUARANTINED', 'RETIRED'])) : null;
    const from = head?.json.current;
    if (!from) return;
    if (dice[5] < 0.3) return void await this.commandRollBack(dataset, from);
    const to = rows?.length ? { to: at(rows, dice[3]).version } : {};
    await this.change(server, dataset, 'rolled_back', 'POST', '/rollback', { reason: 'history', from, ...to });
  }

  /** The same by a process that serves nothing. Its refusals have no name to look for. */
  async commandRollBack(dataset, from) {
    const { code, stdout } = await this.data.cli(['rollback', dataset, '--reason', 'history', '--from', String(from), '--output', 'json'], { tenant: 'dev' });
    this.count(`rolled_back by command ${code}`);
    if (code) return;
    const { sequence, current, previous } = JSON.parse(stdout);
    this.acks.push({ dataset, at: Date.now(), outcome: 'done', event: 'rolled_back', sequence, from: previous, to: current });
  }

  async promote({ dice }, dataset) {
    const server = await this.server(dice[1]);
    const rows = await this.read(() => this.versions(server, dataset, ['SUCCEEDED', 'HELD', 'QUARANTINED', 'QUARANTINED']));
    if (rows?.length) await this.change(server, dataset, 'promoted', 'POST', `/versions/${at(rows, dice[2]).version}/promote`, { reason: 'history' });
  }

  async retire({ dice }, dataset) {
    const server = await this.server(dice[1]);
    const rows = await this.read(() => this.versions(server, dataset, ['SUCCEEDED', 'HELD', 'QUARANTINED']));
    if (rows?.length) await this.change(server, dataset, 'retired', 'DELETE', `/versions/${at(rows, dice[2]).version}?reason=history`);
  }

  /** A change that every client can live with. */
  async define({ dice }, dataset) {
    const definition = DEFINITIONS.find((one) => one.name === dataset);
    await this.data.put({ ...definition, description: `${dice[1]}`, retention: { keep_versions: 3 + Math.floor(dice[2] * 4), keep_days: 90 } });
    this.count('definitions');
  }

  async diff({ dice }, dataset) {
    const server = await this.server(dice[1]);
    const rows = await this.read(() => this.versions(server, dataset, ['SUCCEEDED', 'HELD', 'QUARANTINED']));
    if (!rows?.length) return;
    const [from, to] = [at(rows, dice[2]).version, at(rows, dice[3]).version];
    await ask(this.load.history, server, { dataset, what: 'diff', from, to }, 'GET', `/v1/datasets/${dataset}/versions/${to}/diff?from=${from}`,
      { token: this.load.token }, ({ records }) => ({ answer: records }));
    this.count('diffs');
  }

  // ---- processes ----

  async pause({ dice }) {
    const seat = at(this.load.seats, dice[1]);
    await seat.pause(() => this.load.after(20 + Math.floor(dice[2] * 300)));
    this.count('pauses');
  }

  async kill({ dice }) {
    const seat = at(this.load.seats, dice[1]);
    const dead = await seat.kill();
    this.load.dead.push(dead);
    await this.load.after(Math.floor(dice[2] * 100));
    await seat.start();
    this.count('servers killed');
  }

  async reload({ dice }) {
    (await this.server(dice[1])).process.child.kill('SIGHUP');
    this.count('reloads');
  }

  async backup() {
    await this.data.ok(['backup', '--to', this.backups]);
    this.count('backups');
  }
}
