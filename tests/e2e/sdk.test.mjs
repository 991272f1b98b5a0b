// The TypeScript client: compiled as a user would, and tried against a live server with every kind of
// call and of error. The examples of its README are compiled and run as they stand there.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { cpSync, mkdirSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { ALL_SCOPES, Data } from '../kit/everline.mjs';
import { segmentPath } from '../kit/files.mjs';
import { definitionPath, sources, truth } from '../kit/lifeline.mjs';
import { roomInDay, run, sourceDir, tempDir } from '../kit/process.mjs';
import { csv, THINGS, things } from '../kit/samples.mjs';

const home = join(sourceDir, 'openapi', 'sdk', 'typescript');
const tsc = join(sourceDir, 'openapi', 'node_modules', 'typescript', 'bin', 'tsc');
const examples = [...readFileSync(join(home, 'README.md'), 'utf8').matchAll(/```ts\n([\s\S]*?)```/g)].map(([, text]) => text);
const KEY = truth(2019)[0].key;

let data, server, client, sdk, work;

const compile = async (...args) => {
  const { code, stdout } = await run(process.execPath, [tsc, ...args], { cwd: work });
  assert.equal(code, 0, stdout);
};

/** A package that uses the client, the client in its node_modules, and the README's examples. */
async function install() {
  work = tempDir('sdk');
  const at = join(work, 'node_modules', 'everline-client');
  mkdirSync(at, { recursive: true });
  cpSync(join(home, 'package.json'), join(at, 'package.json'));
  writeFileSync(join(work, 'package.json'), '{"type":"module"}');
  await compile('-p', home, '--outDir', join(at, 'dist'));
  writeFileSync(join(work, 'typed.ts'), TYPED);
  examples.forEach((text, i) => writeFileSync(join(work, `example${i}.ts`), text));
  writeFileSync(join(work, 'node.d.ts'), 'declare const process: { env: Record<string, string | undefined> };\n');
  writeFileSync(join(work, 'tsconfig.json'), JSON.stringify({ compilerOptions: {
    strict: true, target: 'ES2022', module: 'nodenext', moduleResolution: 'nodenext', lib: ['ES2022', 'DOM', 'DOM.Iterable'], types: [], skipLibCheck: true } }));
  await compile('-p', work);
  return import(pathToFileURL(join(at, 'dist', 'index.js')));
}

const example = async (i) => {
  const result = await run(process.execPath, [`example${i}.js`],
    { cwd: work, env: { EVERLINE_URL: server.url, EVERLINE_TOKEN: await data.token() } });
  assert.equal(result.code, 0, result.stderr);
  return result.stdout.trimEnd().split('\n');
};

before(async () => {
  data = await Data.make('dev');
  await data.ok(['dataset', 'put', definitionPath], { tenant: 'dev' });
  await data.put(THINGS);
  await data.put({ ...THINGS, name: 'empty' });
  await data.ingest('lifeline', sources(2020));
  await data.ingest('things', { things: data.file('things.csv', csv(things(40))) });
  sdk = await install();
  server = await data.serve();
  const token = await data.token();
  client = sdk.connect(server.url, () => token);
});
after(() => server?.stop());

test('there is a function for every operation of the contract', () => {
  const named = [...readFileSync(join(sourceDir, 'openapi', 'everline.yaml'), 'utf8').matchAll(/^ {6}operationId: (\w+)$/gm)];
  assert.ok(named.length > 20);
  assert.deepEqual(named.map(([, name]) => name).filter((name) => typeof sdk[name] !== 'function'), []);
});

test('the first example: lookups, an error as a value, pages, dimensions', async () => {
  const [found, wrong, meaning, ...cells] = await example(0);
  assert.match(found, /^match \{ eligible: (true|false), program: '[\w ]+', state: 'Alabama' \}$/);
  assert.equal(wrong, '404 UNKNOWN_DATASET');
  assert.match(meaning, /^404: there is no dataset of that name/);
  assert.equal(cells.pop(), '1');
  const token = await data.token();
  const all = (await server.get('/v1/datasets/lifeline/rollups/by_program', token)).json.items;
  assert.ok(all.length > 2, 'several pages');
  assert.deepEqual(cells, all.map(({ program, people, eligible }) => `${program} ${people} ${eligible}`));
});

test('the second example: an upload, its job followed, and a rollback', async () => {
  const served = (await server.get('/v1/datasets/things', await data.token())).json.current;
  assert.deepEqual(await example(1), [`${served + 1} flipped`, `${served}`]);
});

test('a batch answers in the order of its keys', async () => {
  const keys = truth(2020).slice(0, 50).map(({ key }) => key);
  const { data: answer } = await sdk.lookupBatch({ client, path: { dataset: 'lifeline' },
    body: { keys: [{ ...KEY, ssn_last4: '0000' }, ...keys] }, throwOnError: true });
  assert.equal(answer.results[0].outcome, 'no_match');
  assert.deepEqual(answer.results.slice(1).map(({ record }) => record), truth(2020).slice(0, 50).map(({ record }) => record));
});

test('a record with its ETag, and 304 when it is unchanged', async () => {
  const path = { dataset: 'things', key: things(1)[0].id };
  const first = await sdk.getRecord({ client, path, query: { version: 1 } });
  assert.equal(first.response.status, 200);
  const again = await sdk.getRecord({ client, path, query: { version: 1 }, headers: { 'If-None-Match': first.response.headers.get('etag') } });
  assert.equal(again.response.status, 304);
});

test('what lookups and moves are refused with is a typed problem', async () => {
  const path = { dataset: 'lifeline' }, body = { key: KEY };
  const only = (scope, options) => data.token({ scope, ...options }).then((token) => sdk.connect(server.url, token));
  const cases = {
    'UNKNOWN_FIELD 400': sdk.lookup({ client, path, body: { keys: [] } }),
    'UNAUTHORIZED 401': sdk.lookup({ client: sdk.connect(server.url, 'x.y.z'), path, body }),
    'SCOPE_MISSING 403': sdk.lookup({ client: await only('audit:read'), path, body }),
    'UNKNOWN_DATASET 404': sdk.lookup({ client, path: { dataset: 'none' }, body }),
    'UNKNOWN_VERSION 404': sdk.getVersion({ client, path: { ...path, version: 99 } }),
    'HEAD_MOVED 412': sdk.rollBack({ client, path: { dataset: 'things' }, body: { reason: 'x', from: 999 } }),
    'NOT_ALLOWED 409': sdk.promoteVersion({ client, path: { dataset: 'things', version: 1 }, body: { reason: 'x' } }),
    'FROM_REQUIRED 428': sdk.rollBack({ client, path: { dataset: 'things' }, body: { reason: 'x' } }),
    'NO_VERSION 404': sdk.lookup({ client, path: { dataset: 'empty' }, body: { key: { id: 'x' } } }),
  };
  const seen = [];
  for (const reply of await Promise.all(Object.values(cases))) {
    assert.equal(reply.data, undefined);
    assert.ok(reply.error.detail && reply.error.request_id);
    seen.push(`${reply.error.code} ${reply.error.status}`);
    assert.equal(reply.error.status, reply.response.status);
  }
  assert.deepEqual(seen, Object.keys(cases));
  await assert.rejects(sdk.lookup({ client, path: { dataset: 'none' }, body, throwOnError: true }), { code: 'UNKNOWN_DATASET' });
  await assert.rejects(async () => { for await (const item of sdk.all((cursor) => sdk.listVersions({ client,
    path: { dataset: 'none' }, query: { cursor }, throwOnError: true }))) assert.fail(`${item}`); }, { code: 'UNKNOWN_DATASET' });
});

/** What a caller may write of an error, as its types say: compiled in install(). */
const TYPED = `import { connect, getRecord, lookup, putTenant, rollBack, type Problem } from 'everline-client';
const client = connect('http://127.0.0.1:1');
const one: Problem | undefined = (await lookup({ client, path: { dataset: 'x' }, body: { key: {} } })).error;
const two: Problem | undefined = (await rollBack({ client, path: { dataset: 'x' }, body: { reason: 'x' } })).error;
const three: Problem | undefined = (await putTenant({ client, path: { tenant: 'x' }, body: {} })).error;
const code: string = one!.code, status: number = two!.status, id: string = three!.request_id, hint: string | undefined = one!.hint;
const places: Array<{ pointer: string; detail: string }> | undefined = one!.errors;
const record: { [name: string]: unknown } | null | undefined = (await getRecord({ client, path: { dataset: 'x', key: 'x' } })).data?.record;
// @ts-expect-error: there is no such member
one!.message;
// @ts-expect-error: a rollback has a reason
await rollBack({ client, path: { dataset: 'x' }, body: {} });
export { code, status, id, hint, places, record };
`;

test('the statuses of the contract, each as a typed problem', async (t) => {
  await roomInDay();
  const own = await Data.make('dev', 'slow', 'small');
  await own.ok(['tenant', 'put', 'slow', '--requests-per-day', '1']);
  await own.ok(['tenant', 'put', 'small', '--max-datasets', '1']);
  await own.put(THINGS, { tenant: 'small' });
  const rows = things(30), file = (count) => ({ things: own.file(`${count}.csv`, csv(rows.slice(0, count))) });
  for (const name of ['things', 'broken']) await own.put({ ...THINGS, name });
  for (const count of [10, 20, 30]) await own.ingest('things', file(count));
  unlinkSync(segmentPath(own, await own.ingest('broken', file(30))));
  const live = await own.serve();
  t.after(() => live.stop());
  const of = async (tenant) => own.token({ tenant }).then((token) => sdk.connect(live.url, token));
  const [dev, slow, small] = [await of('dev'), await of('slow'), await of('small')];
  const path = { dataset: 'things' }, body = { key: { id: rows[0].id } }, key = rows[0].id;
  assert.equal((await sdk.retireVersion({ client: dev, path: { ...path, version: 1 }, query: { reason: 'old' } })).response.status, 200);
  const upload = await sdk.createUpload({ client: dev, body: new Blob([csv(rows)]), throwOnError: true });
  const ingest = (more) => sdk.createIngest({ client: dev, path, headers: { 'Idempotency-Key': 'once' },
    body: { sources: [{ source: 'things', upload: upload.data.upload, ...more }] } });
  assert.equal((await ingest()).response.status, 202);
  assert.equal((await sdk.listDatasets({ client: slow })).response.status, 200);

  const cases = {
    '400 INVALID_PARAMETER': () => sdk.listVersions({ client: dev, path, query: { limit: -1 } }),
    '401 UNAUTHORIZED': () => sdk.lookup({ client: sdk.connect(live.url), path, body }),
    '403 SCOPE_MISSING': async () => sdk.listTenants({ client: sdk.connect(live.url, await own.token({ scope: 'data:read' })) }),
    '404 UNKNOWN_TENANT': () => sdk.getTenant({ client: dev, path: { tenant: 'nobody' } }),
    '405 METHOD_NOT_ALLOWED': () => dev.put({ url: '/v1/datasets/things/lookup' }),
    '409 TENANT_NOT_EMPTY': () => sdk.deleteTenant({ client: dev, path: { tenant: 'small' }, query: { reason: 'x' } }),
    '410 VERSION_RETIRED': () => sdk.getRecord({ client: dev, path: { ...path, key }, query: { version: 1 } }),
    '412 TENANT_CHANGED': () => sdk.putTenant({ client: dev, path: { tenant: 'small' }, body: {}, headers: { 'If-Match': '"old"' } }),
    '413 BODY_TOO_LARGE': () => sdk.lookup({ client: dev, path, body: { key: { id: 'x'.repeat(100_000) } } }),
    '415 MEDIA_TYPE': () => sdk.lookup({ client: dev, path, body, headers: { 'Content-Type': 'text/plain' } }),
    '422 IDEMPOTENCY_KEY_REUSED': () => ingest({ upload: 'up-other' }),
    '428 FROM_REQUIRED': () => sdk.rollBack({ client: dev, path, body: { reason: 'x' } }),
    '429 DAY_LIMIT': () => sdk.listDatasets({ client: slow }),
    '500 INTERNAL_ERROR': () => {
      rmSync(join(own.directory, 'spool'), { recursive: true });
      writeFileSync(join(own.directory, 'spool'), 'in the way');
      return sdk.createUpload({ client: dev, body: new Blob([csv(rows)]) });
    },
    '503 VERSION_UNAVAILABLE': () => sdk.lookup({ client: dev, path: { dataset: 'broken' }, body }),
    '507 QUOTA': () => sdk.putDataset({ client: small, path: { dataset: 'more' }, body: { ...THINGS, name: 'more' } }),
  };
  const seen = [];
  for (const ask of Object.values(cases)) {
    const { data: none, error, response } = await ask();
    assert.equal(none, undefined);
    assert.ok(error.title && error.detail && error.request_id, JSON.stringify(error));
    assert.equal(error.status, response.status);
    if (response.status === 429) assert.match(response.headers.get('retry-after'), /^[1-9]\d*$/);
    seen.push(`${error.status} ${error.code}`);
  }
  assert.deepEqual(seen, Object.keys(cases));
  const named = readFileSync(join(sourceDir, 'openapi', 'everline.yaml'), 'utf8').matchAll(/^ +'([45]\d\d)':/gm);
  assert.deepEqual([...new Set([...named].map(([, status]) => status))].filter((status) => !seen.some((one) => one.startsWith(status))), []);
});

test('a server that is not there is no problem document: the call fails as fetch does', async () => {
  const taken = net.connect(server.port, '127.0.0.1'); /* has a port that is nobody else's, and does not listen */
  await once(taken, 'connect');
  const nowhere = sdk.connect(`http://127.0.0.1:${taken.localPort}`);
  await assert.rejects(sdk.livez({ client: nowhere }), ({ name, cause }) => name === 'TypeError' && cause.code === 'ECONNREFUSED');
  taken.destroy();
});

test('a token that ends is fetched again', async () => {
  const tokens = ['x.y.z', await data.token({ scope: ALL_SCOPES })];
  const renewing = sdk.connect(server.url, () => tokens.shift());
  const path = { dataset: 'lifeline' }, body = { key: KEY };
  assert.equal((await sdk.lookup({ client: renewing, path, body })).response.status, 401);
  assert.equal((await sdk.lookup({ client: renewing, path, body })).response.status, 200);
});
