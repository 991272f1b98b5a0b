// Where a server's CPU goes: by library, and in its own code by room, of the threads that answer and of the others.
import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { everlinePath, run, start, tempDir } from '../kit/process.mjs';

const HZ = 1999, ANSWERING = /^MHD-/;

export const hasPerf = () => (process.env.PATH ?? '').split(':').some((dir) => existsSync(join(dir, 'perf')));

/** The room of an address in the program, as its debug information has it. */
async function roomsOf(pid) {
  const maps = readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n').find((line) => line.endsWith(everlinePath));
  const base = parseInt(maps, 16), symbols = [];
  for (const line of (await run('nm', ['-n', '-l', '--defined-only', everlinePath])).stdout.split('\n')) {
    const [, address, room] = line.match(/^([0-9a-f]+) [tT] .*\/(api|auth|store|base)\/[^/]+:\d+$/) ?? [];
    if (room) symbols.push([parseInt(address, 16), room]);
  }
  return (address) => {
    let low = 0, high = symbols.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (symbols[middle][0] <= address - base) low = middle; else high = middle;
    }
    return symbols[low][1];
  };
}

/** Samples while `ask` runs: [{place, answering, other}], shares of all of the process's CPU, the largest first. */
export async function shares(pid, ask) {
  const file = join(tempDir('perf'), 'perf.data');
  const perf = start('perf', ['record', '-q', '-e', 'cpu-clock', '-F', `${HZ}`, '-p', `${pid}`, '-o', file]);
  await ask();
  perf.child.kill('SIGINT');
  await perf.ended;
  const samples = await run('perf', ['script', '-i', file, '-F', 'comm,ip,dso']);
  const room = await roomsOf(pid), places = new Map();
  let count = 0;
  for (const line of samples.stdout.split('\n')) {
    const [, thread, ip, dso] = line.match(/^\s*(.*?)\s+([0-9a-f]+)\s+\((.*?)\)\s*$/) ?? [];
    if (!dso) continue;
    const place = dso === everlinePath ? `${room(parseInt(ip, 16))}/`
      : dso.startsWith('[') && dso !== '[vdso]' ? 'kernel' : basename(dso).replace(/\.so.*/, '').replace('[vdso]', 'libc');
    const row = places.get(place) ?? { place, answering: 0, other: 0 };
    row[ANSWERING.test(thread) ? 'answering' : 'other']++;
    places.set(place, row);
    count++;
  }
  return [...places.values()].map(({ place, answering, other }) => ({ place, answering: answering / count, other: other / count }))
    .sort((a, b) => b.answering + b.other - a.answering - a.other);
}
