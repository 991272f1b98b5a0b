// Programs, temporary directories and waiting. Whatever a test starts or makes here is gone when the
// test process ends, however it ends.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';

export const sourceDir = process.env.EVERLINE_SOURCE_DIR ??
  join(dirname(fileURLToPath(import.meta.url)), '..', '..');
export const buildDir = process.env.EVERLINE_BUILD_DIR ?? join(sourceDir, 'build');
export const everlinePath = join(buildDir, 'everline');
export const ingestPath = join(buildDir, 'everline-ingest');

/** How long a condition may take before the test gives up; sanitized builds are slow, and other work may leave them little. */
export const DEADLINE_MS = 120_000;

const children = new Set();
const directories = new Set();

function killAll() {
  for (const child of children) {
    try { child.kill('SIGKILL'); } catch { /* it is gone */ }
  }
}

/* What a test that failed has left running would keep the file from its end. After the file's own hooks: those are there
 * when this is added. Others than tests, the benchmarks, end by themselves. */
if (process.env.NODE_TEST_CONTEXT) setImmediate(() => after(killAll));
process.on('exit', () => {
  killAll();
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

export function tempDir(name = 'test', parent = tmpdir()) {
  const directory = mkdtempSync(join(parent, `everline-${name}-`));
  directories.add(directory);
  return directory;
}

/** The environment without what would change the command line's defaults. */
export function cleanEnv(extra = {}) {
  const env = { ...process.env, ...extra };
  for (const name of Object.keys(env))
    if (name.startsWith('EVERLINE_') && !(name in extra)) delete env[name];
  return env;
}

/** Starts a program. Its output is collected as text; `ended` resolves to {code, signal}. `fds` are its 3, 4, ... */
export function start(program, args, { input, env = {}, cwd, detached = false, fds = [] } = {}) {
  const child = spawn(program, args, {
    cwd, detached, env: cleanEnv(env), stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe', ...fds],
  });
  const handle = { child, pid: child.pid, stdout: '', stderr: '', exited: false };
  children.add(child);
  child.stdout.setEncoding('utf8').on('data', (text) => { handle.stdout += text; });
  child.stderr.setEncoding('utf8').on('data', (text) => { handle.stderr += text; });
  if (input !== undefined) child.stdin.on('error', () => {}).end(input);
  handle.ended = new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      children.delete(child);
      handle.exited = true;
      resolve({ code, signal });
    });
  });
  handle.ended.catch(() => {});
  return handle;
}

/** Runs a program to its end; one that has none is killed at the deadline. */
export async function run(program, args, options = {}) {
  const handle = start(program, args, options);
  const deadline = setTimeout(() => handle.child.kill('SIGKILL'), options.deadlineMs ?? 3 * DEADLINE_MS);
  const { code, signal } = await handle.ended;
  clearTimeout(deadline);
  return { code, signal, stdout: handle.stdout, stderr: handle.stderr };
}

/** The confined children of an ingest, which read and build. */
export function buildersOf(pid) {
  const read = (path) => {
    try { return readFileSync(`/proc/${path}`, 'utf8'); } catch { return ''; /* it is gone */ }
  };
  return read(`${pid}/task/${pid}/children`).split(' ').filter(Boolean).map(Number)
    .filter((child) => read(`${child}/cmdline`).split('\0')[1]?.startsWith('child-'));
}

/** A port for who must name one, or comes back to it. It is none of those that the kernel gives away: others have it
 *  only if they ask for it. */
export async function freePort() {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000), listener = net.createServer();
    const free = await new Promise((resolve) => { listener.on('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true)); });
    await new Promise((resolve) => { listener.close(resolve); });
    if (free) return port;
  }
}

const DAY_MS = 86_400_000, ROOM_MS = 120_000;
/** What is counted by the day, in UTC, is counted anew at midnight: just before, this waits for it. */
export const roomInDay = () => until('the day has room', () => Date.now() % DAY_MS < DAY_MS - ROOM_MS, 2 * ROOM_MS, 100);

const turn = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/** Asks `condition` again and again until it gives something true, which is returned. */
export async function until(what, condition, deadlineMs = DEADLINE_MS, everyMs = 5) {
  const end = performance.now() + deadlineMs;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (performance.now() > end) throw new Error(`gave up after ${deadlineMs} ms: ${what}`);
    await turn(everyMs);
  }
}
