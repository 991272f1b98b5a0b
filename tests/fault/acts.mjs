// What a server does while it suffers, or somebody else does beside it.
import { Server } from '../kit/everline.mjs';
import { ingest, rollback } from './operations.mjs';

const REASON = 'a test of faults';

/** What a request said, in the words of a command's end. */
async function asked(request) {
  try {
    const { status, text } = await request;
    return { code: status === 200 ? 0 : 1, signal: null, stderr: `everline: ${text}` };
  } catch {
    return { code: null, signal: 'SIGKILL', stderr: '' };
  }
}

const post = (path, body) => (server, token) => asked(server.post(`/v1/datasets/people/${path}`, token, { reason: REASON, ...body }));

/** act: what happens in the server (asked) or beside it; the rest as in operations.mjs. */
export const ACTS = [
  { name: 'a rollback that it is asked for', from: 'two', asked: true, act: post('rollback', { from: 2 }), current: 1 },
  { name: 'a promotion that it is asked for', from: 'rolled back', asked: true, act: post('versions/2/promote'), current: 2 },
  { name: 'a deletion of a version that it is asked for', from: 'rolled back', asked: true,
    act: (server, token) => asked(server.request('DELETE', '/v1/datasets/people/versions/2?reason=a+test', { token })) },
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
