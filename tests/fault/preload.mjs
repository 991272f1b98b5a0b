// The library of inject.c, from this side: what a run is to suffer, and what it did.
import assert from 'node:assert/strict';
import { appendFileSync, closeSync, existsSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { buildDir, tempDir } from '../kit/process.mjs';

const LIBRARY = join(buildDir, 'tests', 'fault_inject.so');
const STATE_BYTES = 4096;
const MEMORY_AT = 24; /* of struct shared */

/* Which calls each fault can happen to. */
const WRITES = ['write', 'pwrite', 'writev', 'pwritev', 'copy_file_range', 'sendfile'];
const NEED_ROOM = [...WRITES, 'ftruncate', 'reserve', 'fallocate', 'create', 'mkdir', 'rename', 'link'];
const named = (names) => (call) => names.includes(call.name);
const APPLIES = {
  kill: () => true, killafter: () => true, eio: () => true, /* stop is for those who continue it */
  crash: (call) => call.child, /* elsewhere it is the same as kill */
  short: named(WRITES), enospc: named(NEED_ROOM), 'enospc-from': named(NEED_ROOM),
};

/** The faults that can happen to a call. */
export const faultsOf = (call) => Object.keys(APPLIES).filter((kind) => APPLIES[kind](call));

/** One run below `root`, of one process and whatever it starts. `what`: as inject.c says. */
export class Run {
  constructor(root, what = 'count') {
    assert.ok(existsSync(LIBRARY), `${LIBRARY} is not there: nothing would go wrong`);
    const directory = tempDir('fault');
    this.state = join(directory, 'state');
    this.log = join(directory, 'log');
    writeFileSync(this.state, Buffer.alloc(STATE_BYTES));
    writeFileSync(this.log, '');
    this.env = {
      LD_PRELOAD: LIBRARY,
      EVERLINE_FAULT: what,
      EVERLINE_FAULT_ROOT: root,
      EVERLINE_FAULT_STATE: this.state,
      EVERLINE_FAULT_LOG: this.log,
    };
  }

  get count() { return Number(readFileSync(this.state).readBigUInt64LE(0)); }
  get fired() { return Number(readFileSync(this.state).readBigUInt64LE(8)); }

  /** Allocations from the one with number `from` (the first from now on is 0) up to the one before
   *  `until` fail; without numbers they are counted. Only with what = 'memory'. */
  failMemory(from = Infinity, until = from + 1) {
    const number = (n) => (Number.isFinite(n) ? BigInt(n) : 2n ** 63n);
    this.#writeMemory([0n, 0n, 0n, number(from), number(until)]);
    this.#writeMemory([0n, 0n, 1n]);
  }

  /** {count, fired}: how many there were since then, and how many failed. */
  get memory() {
    const state = readFileSync(this.state);
    return { count: Number(state.readBigUInt64LE(MEMORY_AT)), fired: Number(state.readBigUInt64LE(MEMORY_AT + 8)) };
  }

  /** From now on there is memory. */
  restoreMemory() {
    const { memory } = this;
    this.#writeMemory([0n, 0n, 0n]);
    return memory;
  }

  /** The next process that warms a segment stops in the middle of it. Only with what = 'warm'
   *  and its kinds. */
  stopWarming() { this.failMemory(); }

  #writeMemory(numbers) {
    const fd = openSync(this.state, 'r+');
    writeSync(fd, new BigUint64Array(numbers), 0, 8 * numbers.length, MEMORY_AT);
    closeSync(fd);
  }

  /** Puts a line of our own into the log: what had been answered by then. */
  mark(text) { appendFileSync(this.log, `0\tmark\t${text}\t\t0\t0\t0\t0\t0\n`); }

  /** [{number, name, path, to, a, b, synced, child, bytes}] in the order of the log. */
  calls() {
    const log = readFileSync(this.log);
    const calls = [];
    for (let at = 0; at < log.length;) {
      const end = log.indexOf(10, at);
      const [number, name, path, to, a, b, synced, child, length] = log.toString('utf8', at, end).split('\t');
      const size = Number(length);
      calls.push({ number: Number(number), name, path, to, a: Number(a), b: Number(b), synced: synced === '1',
        child: child === '1',         bytes: log.subarray(end + 1, end + 1 + size) });
      at = end + 1 + size;
    }
    return calls;
  }
}
