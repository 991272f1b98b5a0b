// What a server does while it suffers, or somebody else does beside it.
import { readFileSync } from 'node:fs';
import { Server } from '../kit/everline.mjs';
import { until } from '../kit/process.mjs';
import { FEWER, ingest, put, rollback } from './operations.mjs';
import { batchFile } from './samples.mjs';

const REASON = 'a test of faults';

const NEVER_HEARD = { code: null, signal: 'SIGKILL', stderr: '' };
const STILL_RUNNING = { code: 1, signal: null, stderr: 'everline: the disk stays full: whether it happened is open' };

/** Nothing can be written down, the end of a job neither, and the server has said so again and again. */
const staysFull = (server) => (server.log.match(/"code":"FULL"|was full or could only be read/g) ?? []).length >= 5;

/** What a request said, in the words of a command's end. */
async function asked(request) {
  try {
    const { status, text } = await request;
    return { code: status === 200 ? 0 : 1, signal: null, stderr: `everline: ${text}` };
  } catch {
    return NEVER_HEARD;
  }
}

const post = (path, body) => (server, token) => asked(server.post(`/v1/datasets/people/${path}`, token, { reason: REASON, ...body }));

/** A batch as the body of a request, followed to the end of its job. Who was answered 202 may rely on it. */
async function ingestOver(server, token, told) {
  const body = readFileSync(batchFile('people', 'b'));
  let accepted = false;
  try {
    const reply = await server.post('/v1/datasets/people/ingests?name=people-b.csv', token, body, { 'content-type': 'text/csv' });
    if (reply.status !== 202) return { code: 1, signal: null, stderr: `everline: ${reply.text}` };
    accepted = true;
    told?.('accepted');
    const job = await until('the job has ended', async () => {
      const { status, json } = await server.get(`/v1/jobs/${reply.json.job}`, token);
      return status === 200 && (!['queued', 'running'].includes(json.state) || staysFull(server)) && json;
    });
    if (['queued', 'running'].includes(job.state)) return STILL_RUNNING;
    return { code: job.state === 'succeeded' ? 0 : 1, signal: null, stderr: `everline: the job: ${JSON.stringify(job.error)}` };
  } catch (error) {
    if (!['ECONNRESET', 'ECONNREFUSED', 'EPIPE'].includes(error.code)) throw error;
    return { ...NEVER_HEARD, accepted };
  }
}

/** Retention is the server's own business: it is told how many versions are kept from now on. */
async function retires(server, token, data, told, env) {
  await data.ok(put('people', FEWER), { env });
  try {
    const retired = await until('a version is retired', async () => {
      const { status, json } = await server.get('/v1/datasets/people/versions', token);
      return (status === 200 && json.items.some((row) => row.state === 'RETIRED')) || (staysFull(server) && 'not yet');
    });
    return retired === true ? { code: 0, signal: null, stderr: '' } : STILL_RUNNING;
  } catch (error) {
    if (!['ECONNRESET', 'ECONNREFUSED', 'EPIPE'].includes(error.code)) throw error;
    return NEVER_HEARD;
  }
}

/** A rollback with an Idempotency-Key. Whatever became of it, sending it again is answered as if it had
 *  succeeded, and it is done once: what was done and the answer to it are in the catalog together. */
const withKey = (server, token) => server.post('/v1/datasets/people/rollback', token, { reason: REASON, from: 2 }, { 'idempotency-key': 'once' });

async function sentAgain(server, token) {
  const replies = [await withKey(server, token), await withKey(server, token)];
  const { items } = (await server.get('/v1/datasets/people/events', token)).json;
  const done = items.filter((item) => item.event === 'rolled_back').length;
  return [
    ...replies.filter(({ status, json }) => status !== 200 || json.current !== 1).map(({ text }) => `sent again it is answered ${text}`),
    ...(replies[0].text === replies[1].text ? [] : ['sent again and again it is answered differently']),
    ...(done === 1 ? [] : [`it was done ${done} times`]),
  ];
}

/** act(server, token, data, told, env): what happens in the server (asked) or beside it; told: called with what
 *  is answered meanwhile; env: of a command that is recorded with it. again: [problem] of doing it again
 *  afterwards; the rest as in operations.mjs. */
export const ACTS = [
  { name: 'a rollback that it is asked for', from: 'two', asked: true, act: post('rollback', { from: 2 }), current: 1 },
  { name: 'a rollback with a key', from: 'two', asked: true, act: (server, token) => asked(withKey(server, token)), current: 1, again: sentAgain },
  { name: 'a promotion that it is asked for', from: 'rolled back', asked: true, act: post('versions/2/promote'), current: 2 },
  { name: 'a deletion of a version that it is asked for', from: 'rolled back', asked: true,
    act: (server, token) => asked(server.request('DELETE', '/v1/datasets/people/versions/2?reason=a+test', { token })) },
  { name: 'an ingest that it is asked for', from: 'one', asked: true, act: (server, token, data, told) => ingestOver(server, token, told), current: 2, attempts: 3 },
  { name: 'retention of its own', from: 'three', asked: true, act: retires },
  { name: 'an ingest beside it', from: 'one', act: (server, token, data) => data.cli([...ingest('b'), '--adopt-timeout', '1s']), current: 2 },
  { name: 'a rollback beside it', from: 'two', act: (server, token, data) => data.cli(rollback(2)), current: 1 },
];

/** Starts a server with the faults of `run`; null when it ended instead. */
export async function serve(data, run) {
  const server = new Server(data, [], { env: run.env });
  try {
    await server.ready();
    return { server, result: null };
  } catch (error) {
    if (server.alive) throw error;
    return { server, result: { ...(await server.process.ended), stderr: server.log } };
  }
}
