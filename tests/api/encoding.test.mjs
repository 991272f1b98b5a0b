// Answers in another form than the plain one: by gzip, for browsers of other origins, without a body.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { assertProblem, Data } from '../kit/everline.mjs';
import { tempDir, until } from '../kit/process.mjs';
import { csv, keyOf, PEOPLE, PERSONS, THINGS, things } from '../kit/samples.mjs';

const config = join(tempDir('config'), 'everline.conf');
const APP = 'https://app.example', OTHER = 'http://localhost:5173';
const CELLS = '/v1/datasets/things/rollups/by_colour';
let data, server, token;

const gzip = (path, headers = {}) => server.get(path, token, { 'accept-encoding': 'gzip', ...headers });

before(async () => {
  data = await Data.make('dev');
  await data.put(THINGS);
  await data.put({ ...PEOPLE, rollups: { by_state: { dimensions: ['state', 'score'], metrics: { people: 'count(*)' } } } });
  await data.ingest('things', { things: data.file('t.csv', csv(things(300))) });
  const persons = Array.from({ length: 300 }, (_, i) => ({ ...PERSONS[0], SSN: `999-11-${1000 + i}`, SCORE: i }));
  await data.ingest('people', { people: data.file('p.csv', csv([...PERSONS, ...persons])) });
  writeFileSync(config, `[serve]\ncors-origin = ${APP}\ncors-origin = ${OTHER}\n`);
  server = await data.serve('--config', config);
  token = await data.token();
});
after(() => server?.stop());

test('a large answer comes by gzip to who takes it, and is the same', async () => {
  for (const path of [CELLS, '/openapi.json', '/metrics', '/docs/rapidoc.js']) {
    const plain = await server.get(path, token), packed = await gzip(path);
    assert.equal(packed.headers['content-encoding'], 'gzip', path);
    assert.equal(plain.headers['content-encoding'], undefined, path);
    assert.ok(packed.sent < plain.sent / 2, `${path}: ${packed.sent} of ${plain.sent} bytes`);
    if (path !== '/metrics') assert.equal(packed.text, plain.text);
    for (const reply of [plain, packed]) assert.match(reply.headers.vary, /\bAccept-Encoding\b/);
    assert.equal(Number(packed.headers['content-length']), packed.sent);
  }
  assert.equal((await gzip(CELLS, { 'accept-encoding': 'br, gzip;q=0.2' })).headers['content-encoding'], 'gzip');
});

test('nothing is compressed for who does not take it, nor what is small, a problem or changes something', async () => {
  for (const encoding of ['gzip;q=0', 'identity', 'br', '*;q=0'])
    assert.equal((await gzip(CELLS, { 'accept-encoding': encoding })).headers['content-encoding'], undefined, encoding);
  for (const path of ['/v1/datasets/things/records/t00001', '/livez', '/v1/datasets?colour=red'])
    assert.equal((await gzip(path)).headers['content-encoding'], undefined, path);
  const keys = things(200).map(({ id }) => ({ id }));
  const batch = await server.post('/v1/datasets/things/lookup/batch', token, { keys }, { 'accept-encoding': 'gzip' });
  assert.ok(batch.sent > 5000);
  assert.equal(batch.headers['content-encoding'], undefined);
});

test('answers of protected datasets are never compressed', async () => {
  const path = '/v1/datasets/people/rollups/by_state';
  const reply = await gzip(path);
  assert.ok(reply.sent > 2000, `${reply.sent}`);
  assert.equal(reply.headers['cache-control'], 'no-store');
  assert.equal(reply.headers['content-encoding'], undefined);
  const keys = PERSONS.concat(PERSONS, PERSONS, PERSONS, PERSONS).map(keyOf);
  const batch = await server.post('/v1/datasets/people/lookup/batch', token, { keys }, { 'accept-encoding': 'gzip' });
  assert.equal(batch.headers['content-encoding'], undefined);
});

test('each form has its own entity tag, and either is known again', async () => {
  for (const path of [CELLS, '/docs/rapidoc.js']) {
    const plain = await server.get(path, token), packed = await gzip(path);
    assert.equal(packed.headers.etag, plain.headers.etag.replace(/"$/, '-gzip"'));
    for (const { headers: { etag } } of [plain, packed]) {
      const again = await gzip(path, { 'if-none-match': `"x", ${etag}` });
      assert.equal(again.status, 304);
      assert.equal(again.headers.etag, etag);
    }
    assert.equal((await gzip(path, { 'if-none-match': '"x-gzip"' })).status, 200);
  }
});

/** RFC 4180: [{column: text}]. */
function parse(text) {
  const rows = [[]];
  assert.match(text, /\r\n$/);
  for (const [, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/g)) {
    rows.at(-1).push(quoted?.replaceAll('""', '"') ?? plain);
    if (end !== ',') rows.push([]);
  }
  const [names, ...cells] = rows.slice(0, -1);
  return cells.map((row) => Object.fromEntries(names.map((name, i) => [name, row[i]])));
}
const asText = (item) => Object.fromEntries(Object.entries({ suppressed: false, ...item }).map(([name, value]) => [name, value === null ? '' : String(value)]));

test('a rollup is CSV for who would rather have that, page by page', async () => {
  const json = (await server.get(`${CELLS}?limit=1000`, token)).json.items;
  assert.ok(json.some(({ colour }) => colour === 'say "white"') && json.some(({ colour }) => colour === null));
  const rows = [];
  let cursor = '', pages = 0;
  do {
    const page = await server.get(`${CELLS}?limit=7${cursor && `&cursor=${cursor}`}`, token, { accept: 'text/csv, application/json;q=0.9' });
    assert.equal(page.status, 200, page.text);
    assert.equal(page.headers['content-type'], 'text/csv; charset=utf-8');
    assert.equal(page.headers['everline-version'], '1');
    rows.push(...parse(page.text));
    cursor = page.headers['everline-next'] ?? '';
    assert.equal(page.headers['everline-complete'], String(!cursor));
    pages++;
  } while (cursor);
  assert.equal(pages, Math.ceil(json.length / 7));
  assert.deepEqual(rows.map((row) => ({ ...row })), json.map((item) => asText(item)).map(({ suppressed, ...rest }) => ({ ...rest, suppressed })));
  for (const accept of ['application/json', '*/*', 'text/html, */*;q=0.8', 'text/csv;q=0.5, application/json', 'image/png'])
    assert.match((await server.get(CELLS, token, { accept })).headers['content-type'], /^application\/json/, accept);
});

test('what Accept decides is told to caches, and each form has its tag', async () => {
  const [csvPage, jsonPage] = [await server.get(CELLS, token, { accept: 'text/csv' }), await server.get(CELLS, token)];
  for (const { headers } of [csvPage, jsonPage]) assert.match(headers.vary, /\bAccept\b(?!-)/);
  assert.notEqual(csvPage.headers.etag, jsonPage.headers.etag);
  const again = await server.get(CELLS, token, { accept: 'text/csv', 'if-none-match': csvPage.headers.etag });
  assert.equal(again.status, 304);
  const packed = await gzip(CELLS, { accept: 'text/csv' });
  assert.equal(packed.headers['content-encoding'], 'gzip');
  assert.equal(packed.text, csvPage.text);
});

test('a hidden cell and an empty page are CSV too', async () => {
  const none = await server.get(`${CELLS}?colour=none`, token, { accept: 'text/csv' });
  assert.deepEqual(parse(none.text), []);
  assert.match(none.text, /^colour,made,things,.*,suppressed\r\n$/);
});

test('HEAD has the headers of GET and no body', async () => {
  for (const path of [CELLS, '/v1/datasets', '/livez', '/v1/datasets/none', '/docs'])
    for (const encoding of ['identity', 'gzip']) {
      const headers = { 'accept-encoding': encoding, 'x-request-id': 'same' };
      const [get, head] = [await server.get(path, token, headers), await server.request('HEAD', path, { token, headers })];
      assert.equal(head.status, get.status);
      assert.equal(head.sent, 0);
      for (const reply of [get, head]) delete reply.headers.date;
      assert.deepEqual(head.headers, get.headers, path);
    }
});

test('OPTIONS says what a path takes, without a token', async () => {
  for (const [path, allow] of [['/v1/datasets/things/lookup', 'POST, OPTIONS'], ['/livez', 'GET, HEAD, OPTIONS'],
    ['/v1/datasets/anything/versions/7', 'GET, HEAD, DELETE, OPTIONS']]) {
    const reply = await server.request('OPTIONS', path);
    assert.equal(reply.status, 204);
    assert.equal(reply.headers.allow, allow);
    assert.equal(reply.headers['access-control-allow-origin'], undefined);
  }
  assertProblem(await server.request('OPTIONS', '/none'), 404, 'NO_ROUTE');
  const all = await server.request('OPTIONS', '*');
  assert.deepEqual([all.status, all.headers.allow.split(', ').sort().join()], [204, 'DELETE,GET,HEAD,OPTIONS,POST,PUT']);
  const proxied = await server.raw('OPTIONS http://x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  assert.match(proxied, /^HTTP\/1\.1 204 [^]*DELETE/);
  for (const [method, target] of [['GET', '*'], ['OPTIONS', '**'], ['OPTIONS', '*/v1'], ['OPTIONS', '*?x']])
    assert.match(await server.raw(`${method} ${target} HTTP/1.1\r\nHost: x\r\n\r\n`, (text) => text.includes('request_id')), /^HTTP\/1\.1 400 [^]*INVALID_TARGET/);
});

const preflight = (origin, path = '/v1/datasets/things/lookup') => server.request('OPTIONS', path,
  { headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization,content-type' } });

test('pages of origins that are listed may ask, others may not', async () => {
  for (const origin of [APP, OTHER]) {
    const asked = await preflight(origin);
    assert.equal(asked.status, 204);
    assert.equal(asked.headers['access-control-allow-origin'], origin);
    assert.match(asked.headers['access-control-allow-methods'], /\bPOST\b/);
    assert.match(asked.headers['access-control-allow-headers'], /\bAuthorization\b.*\bContent-Type\b/);
    for (const path of ['/v1/datasets', '/v1/datasets/none', CELLS]) {
      const reply = await server.get(path, token, { origin });
      assert.equal(reply.headers['access-control-allow-origin'], origin, path);
      assert.match(reply.headers['access-control-expose-headers'], /\bEverline-Version\b/);
      assert.equal(reply.headers['access-control-allow-credentials'], undefined);
    }
    assert.equal((await server.get('/v1/datasets', undefined, { origin })).headers['access-control-allow-origin'], origin, 'a refusal can be read');
  }
  for (const origin of ['https://app.example.evil', 'https://evil.example', 'http://app.example', 'https://app.example:8443', 'null', '', '*'])
    for (const reply of [await preflight(origin), await server.get('/v1/datasets', token, { origin })]) {
      assert.ok(reply.status < 300);
      assert.ok(!Object.keys(reply.headers).some((name) => name.startsWith('access-control')), origin);
      assert.match(reply.headers.vary, /\bOrigin\b/, 'a cache must not give one the answer of the other');
    }
});

test('the list of origins is taken by a reload; without one nobody may', async () => {
  const reload = async (text) => {
    const from = server.log.length;
    writeFileSync(config, text);
    server.process.child.kill('SIGHUP');
    await until('it has reloaded', () => /"event":"reload","message":"(nothing of|configuration)/.test(server.log.slice(from)));
    return server.log.slice(from);
  };
  await reload('[serve]\ncors-origin = *\n');
  assert.equal((await preflight('https://anybody.example')).headers['access-control-allow-origin'], '*');
  for (const wrong of ['https://app.example/', 'app.example', 'HTTPS://App.example', 'https://'])
    assert.match(await reload(`[serve]\ncors-origin = ${wrong}\n`), new RegExp(`is not an origin.*"place":"${config}:2"`));
  assert.equal((await preflight('https://anybody.example')).headers['access-control-allow-origin'], '*');
  await reload('[serve]\n');
  const reply = await preflight(APP);
  assert.deepEqual([reply.headers['access-control-allow-origin'], reply.headers.vary], [undefined, undefined]);
});
