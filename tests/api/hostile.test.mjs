// Jobs of a tenant who means harm: nothing of others or of the machine is to be learned or used up.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { assertProblem, Data } from '../kit/everline.mjs';
import { tempDir, until } from '../kit/process.mjs';
import { csv, THINGS, things } from '../kit/samples.mjs';

let data, server, token, inbox;
const CSV = { 'content-type': 'text/csv' };

before(async () => {
  data = await Data.make('dev', 'other');
  inbox = tempDir('inbox');
  for (const tenant of ['dev', 'other']) mkdirSync(join(inbox, tenant));
  await data.put(THINGS);
  server = await data.serve('--inbox', inbox);
  token = await data.token();
});
after(() => server?.stop());

const ingest = (body, headers = {}, query = '') => server.post(`/v1/datasets/things/ingests${query}`, token, body, headers);
const ended = async (reply) => {
  assert.equal(reply.status, 202, reply.text);
  return until(`${reply.json.job} has ended`, async () => {
    const row = (await server.get(`/v1/jobs/${reply.json.job}`, token)).json;
    return row.ended_at && row;
  });
};
const fromInbox = async (path) => ended(await ingest({ sources: [{ path }] }));

test('a glob finds nothing outside the tenant\'s inbox, and tells nothing of it', async () => {
  writeFileSync(join(inbox, 'other', 'their-file.csv'), csv(things(3)));
  for (const path of ['.*/other/*', '.?/other/their*', '.*/.*/.*/.*/.*/etc/pass*', '[.]*/*', '.*']) {
    const { state, error } = await fromInbox(path);
    assert.equal(state, 'failed', path);
    assert.doesNotMatch(JSON.stringify(error), /their-file|passwd|\.\.\//, path);
  }
  mkdirSync(join(inbox, 'dev', '.day'));
  writeFileSync(join(inbox, 'dev', '.day', 'a.csv'), csv(things(3)));
  assert.equal((await fromInbox('.d*/?.csv')).state, 'succeeded');
});

test('where the server keeps its files is not told', async () => {
  const bad = `${csv(things(3))}x\n`;
  writeFileSync(join(inbox, 'dev', 'bad.csv'), bad);
  mkdirSync(join(inbox, 'dev', 'directory'));
  const rows = [await fromInbox('bad.csv'), await fromInbox('*.csv'), await fromInbox('directory'), await fromInbox('none.csv'),
    await ended(await ingest(bad, CSV, '?name=up.csv'))];
  for (const { error } of rows) {
    assert.ok(error.message);
    assert.doesNotMatch(JSON.stringify(error), new RegExp(`${data.directory}|${inbox}|spool`), JSON.stringify(error));
  }
  assert.equal(rows[0].error.place, 'bad.csv:5:2');
  assert.equal(rows[4].error.place, 'up.csv:5:2');
});

test('what names a file has the length that the contract says', async () => {
  for (const item of [{ path: '' }, { path: 'x'.repeat(1001) }, { upload: '' }, { upload: 'u'.repeat(32) },
    { path: 'x', source: '' }, { path: 'x', source: 's'.repeat(64) }])
    assertProblem(await ingest({ sources: [item] }), 400, 'INVALID_VALUE');
  assertProblem(await ingest('{"sources":[{"path":"a\\u0000b"}]}', { 'content-type': 'application/json' }), 400, 'INVALID_JSON');
  assert.equal((await fromInbox('a\nb')).error.code, 'MISSING_SOURCE');
});

test('what is null where a file is named is not there, in the job either', async () => {
  const { sources } = await fromInbox('none.csv'), job = (item) => ingest({ sources: [item] });
  for (const item of [{ source: null, upload: null, path: 'none.csv' }, { upload: null, path: 'none.csv' }])
    assert.deepEqual((await ended(await job(item))).sources, sources);
});

test('a job names a bounded number of files, and a list of jobs is paged by them too', async () => {
  const sources = Array.from({ length: 1001 }, (_, i) => ({ path: `${i}` }));
  assertProblem(await ingest({ sources }), 400, 'TOO_MANY_SOURCES');
  assertProblem(await ingest({ sources: sources.map(({ path }) => ({ path: path.padStart(900, 'x') })) }), 413, 'BODY_TOO_LARGE');
  const jobs = [];
  for (let i = 0; i < 3; i++) jobs.unshift((await ended(await ingest({ sources: sources.slice(1) }))).job);
  const first = (await server.get('/v1/jobs?limit=1000', token)).json;
  assert.deepEqual(first.items.map((row) => row.job), jobs.slice(0, 2));
  assert.equal(first.complete, false);
  const rest = (await server.get(`/v1/jobs?limit=1000&cursor=${first.next}`, token)).json;
  assert.equal(rest.items[0].job, jobs[2]);
  assert.equal(rest.next, null);
  assert.equal((await data.json(['jobs', 'list', '--limit', '100'])).items.length, first.items.length + rest.items.length);
});
