// After something went wrong: what must hold of the directory, with fresh processes. Returns what does not.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../kit/process.mjs';
import { ingest, rollback, STRANGER } from './operations.mjs';
import { judge, judgePrivacy, judgeStranger, leftovers, look, namedSegments, tolerated } from './state.mjs';

/** Leftovers that were tolerated: name -> how many. */
export const toleratedCounts = new Map();

/* How long a running server may take to serve what is current, and to put away what is not. */
const CATCH_UP_MS = 20_000;

/** What a command that ended said of its work. `result`: of run(). */
export function said({ code, signal, stderr, accepted }) {
  if (accepted) return 'accepted';
  if (signal) return 'nothing';
  if (code === 0) return 'success';
  if (!/^everline(-ingest)?: (.{15,}|out of memory$)/m.test(stderr)) return 'no reason';
  return /whether it happened/.test(stderr) ? 'unknown' : 'failure';
}

/** The states that are right after an operation, by what was said of it. */
export function expectation(operation, past, word) {
  const before = past.people?.current ?? null, after = operation.current ?? before;
  const old = past.people?.definition.description, next = operation.description ?? old;
  const done = Array.from({ length: operation.attempts ?? 1 }, (_, i) => (after === null ? null : after + i)); /* each takes a number */
  const chosen = { success: done, accepted: done, failure: [before], 'no reason': [] }[word] ?? [before, ...done];
  const descriptions = { success: [next], failure: [old] }[word] ?? [old, next];
  const gone = operation.gone && { name: operation.gone, is: { success: true, accepted: true, failure: false }[word] };
  return { past, current: chosen, descriptions: old ? descriptions : undefined, gone, brokenOff: word !== 'success' };
}

/** Looks until what is seen is right, or the time is over. */
async function lookAgain(server, token, directory, expected) {
  let seen, problems;
  const end = performance.now() + CATCH_UP_MS;
  await until('it is served', async () => {
    try {
      seen = await look(server, token, directory);
      problems = judge(seen, expected);
    } catch (error) {
      problems = [error.message];
    }
    return problems.length === 0 || performance.now() > end;
  });
  return { seen, problems };
}

/** A server that ran all the while lives and answers as it must. */
export async function survivors(server, token, data, expected) {
  if (!server.alive) return [`the server died: ${server.log.slice(-500)}`];
  const { problems } = await lookAgain(server, token, data.directory, expected);
  return problems;
}

/** Runs commands that must succeed. */
async function commands(data, list, problems) {
  for (const args of list) {
    const { code, signal, stderr } = await data.cli(args);
    if (code !== 0) problems.push(`everline ${args.slice(0, 3).join(' ')} ended with ${code ?? signal}: ${stderr.slice(-400)}`);
  }
  return problems.length === 0;
}

async function goesOn(data, server, token, before, ahead, problems) {
  const result = await data.cli(ingest('z'));
  if (result.code !== 0) {
    problems.push(`the next ingest failed: ${result.stderr}`);
    return undefined;
  }
  const { version, outcome } = JSON.parse(result.stdout);
  if (outcome !== 'flipped') problems.push(`the next ingest is ${outcome}`);
  if (before.people.versions.some((row) => row.version >= version)) problems.push(`the next version has number ${version}, which is not new`);
  const next = await lookAgain(server, token, data.directory, { past: before, current: [version], ahead });
  problems.push(...next.problems.map((text) => `after the next ingest: ${text}`));

  if (!(await commands(data, [rollback(version)], problems))) return undefined;
  const back = await lookAgain(server, token, data.directory, { past: next.seen, current: [before.people.current], ahead });
  problems.push(...back.problems.map((text) => `after a rollback: ${text}`));
  return back.seen;
}

/** `expected`: as judge() takes it. `operation`: what was broken off. Gives [problem]. */
export async function aftermath(data, operation, expected) {
  const problems = [];
  const succeeded = !expected.brokenOff;
  let server;
  try {
    /* Where nothing was, nothing may be yet. */
    if (operation.from === 'nothing' && !succeeded && !(await commands(data, operation.repair.slice(0, 1), problems))) return problems;
    server = await data.serve();
    const token = await data.token();
    await until('no job is left', async () => (await Promise.all(['queued', 'running'].map((state) =>
      server.get(`/v1/jobs?state=${state}`, token)))).every(({ json }) => json.items.length === 0));
    let { seen, problems: first } = await lookAgain(server, token, data.directory, expected); /* a job may end before its flip is seen */
    problems.push(...first);
    if (!seen) return problems;
    if (operation.again) {
      problems.push(...await operation.again(server, token));
      const { seen: next, problems: late } = await lookAgain(server, token, data.directory, { past: seen, current: [operation.current] });
      problems.push(...late.map((text) => `done again: ${text}`));
      seen = next;
    }
    if (operation.repair) {
      if (!(await commands(data, operation.repair, problems))) return problems;
      seen = (await lookAgain(server, token, data.directory, { past: seen })).seen;
    }
    if (operation.from !== 'nothing')
      problems.push(...await judgeStranger(server, await data.token({ tenant: STRANGER })));
    const last = await goesOn(data, server, token, seen, operation.gone, problems);
    if (!last) return problems;
    const late = performance.now() + CATCH_UP_MS;
    await until('what is dead is put away', () => readdirSync(join(data.directory, 'build')).length === 0 || performance.now() > late);

    const code = await server.stop();
    if (code !== 0) problems.push(`the server ended with ${code}: ${server.log.slice(-500)}`);
    problems.push(...judgePrivacy(data.directory, server.log));
    const verified = await data.cli(['verify', '--deep', '--output', 'json']);
    if (verified.code !== 0) problems.push(`verify: ${verified.stdout}${verified.stderr}`);
    const audited = await data.cli(['audit', 'verify']);
    if (audited.code !== 0) problems.push(`audit verify: ${audited.stdout}${audited.stderr}`);
    const all = leftovers(data.directory, namedSegments(last));
    const left = all.filter((name) => !tolerated(name));
    for (const name of all.map(tolerated).filter(Boolean)) toleratedCounts.set(name, (toleratedCounts.get(name) ?? 0) + 1);
    if (left.length) problems.push(`left over: ${left.join(', ')}`);
    const missing = leftovers(data.directory, new Set()).filter((name) => name.endsWith('.mdb')).length;
    if (missing !== namedSegments(last).size) problems.push(`${namedSegments(last).size} segments are named, ${missing} are there`);
  } catch (error) {
    problems.push(String(error.stack ?? error));
  } finally {
    await server?.stop();
  }
  return problems;
}

