// An open-loop client beside what is measured, and what to make of its samples.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildDir, start, tempDir } from '../kit/process.mjs';

const CONNECTIONS = 32;

export const nowUs = () => Number(process.hrtime.bigint()) / 1e3; // CLOCK_MONOTONIC, as bench_load's
export const sleep = (seconds) => new Promise((resolve) => { setTimeout(resolve, seconds * 1e3); });
const sorted = (numbers) => Float64Array.from(numbers).sort();
export const quantile = (numbers, q) => { const all = sorted(numbers); return all[Math.min(all.length - 1, Math.floor(all.length * q))]; };

/** Asks for each of `bodies` in turn (of a path that ends with a slash: for what the lines name behind it), `rate` times a second (0: as fast as it can). */
export class Load {
  constructor(server, path, token, bodies, rate, seconds, connections = CONNECTIONS) {
    this.result = join(tempDir('load'), 'result');
    this.process = start(join(buildDir, 'tests', 'bench_load'),
      [server.port, path, token, bodies, connections, rate, seconds, this.result].map(String));
  }

  /** [{due, sent, done, status, version}], times in microseconds, in the order of `due`. */
  async samples() {
    const { code } = await this.process.ended;
    assert.equal(code, 0, this.process.stderr);
    const { buffer, byteOffset, length } = readFileSync(this.result);
    const all = new Float64Array(buffer.slice(byteOffset, byteOffset + length));
    const samples = Array.from({ length: all.length / 5 }, (_, i) => {
      const [due, sent, done, status, version] = all.subarray(i * 5, i * 5 + 5);
      return { due, sent, done, status, version };
    });
    return samples.sort((a, b) => a.due - b.due);
  }

  stop() {
    this.process.child.kill('SIGTERM');
    return this.samples();
  }
}

/** The times of those who should have been sent in [from, to), in milliseconds. */
export function within(samples, from, to) {
  let low = 0, high = samples.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (samples[middle].due < from) low = middle + 1; else high = middle;
  }
  const times = [];
  for (; low < samples.length && samples[low].due < to; low++) times.push((samples[low].done - samples[low].due) / 1e3);
  return times;
}
