// A version as a file for analysts: what comes out is what went in, and its recount is what rollups say.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import http from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ALL_SCOPES, assertProblem, Data, everline } from '../kit/everline.mjs';
import { everlinePath, ingestPath, run, start, tempDir, until } from '../kit/process.mjs';
import { cellsByColour, csv, PEOPLE, PERSONS, THINGS, things, totals } from '../kit/samples.mjs';

const TYPES = {
  ok: 'BOOLEAN', small: 'TINYINT', big: 'BIGINT', unsigned: 'UINTEGER', real: 'DOUBLE', price: 'DECIMAL(12,2)',
  text: 'VARCHAR', day: 'DATE', moment: 'TIMESTAMP', numbers: 'INTEGER[]', words: 'VARCHAR[]',
};
const NOTES = {
  name: 'notes',
  sources: { notes: { format: 'ndjson', columns: { id: 'VARCHAR', ...TYPES } } },
  prepare: 'SELECT * FROM notes',
  key: { fields: ['id'] },
  record: TYPES,
};
const FULL = {
  id: 'a,b', ok: true, small: -128, big: 9007199254740991, unsigned: 4294967295, real: 0.1, price: 12.5,
  text: 'say "no",\nor \u00e9', day: '1969-12-31', moment: '2026-01-31T08:00:00.000001Z', numbers: [1, -2], words: ['x', 'y,"z"'],
};
const NULLS = { id: 'b', ...Object.fromEntries(Object.keys(TYPES).map((name) => [name, null])) };
const EMPTY = { ...NULLS, id: 'c', text: '', words: [] };

const first = things(3000), second = things(3100).slice(40).map((row, i) => (i % 5 ? row : { ...row, weight: 77 }));
let data, server, token;

before(async () => {
  data = await Data.make('dev', 'other');
  await data.put(THINGS);
  for (const rows of [first, second]) await data.ingest('things', { things: data.file('things.csv', csv(rows)) });
  await data.put(NOTES);
  await data.ingest('notes', { notes: data.file('notes.ndjson', [FULL, NULLS, EMPTY].map((row) => JSON.stringify(row)).join('\n')) });
  await data.put({ ...PEOPLE, require_promotion: true });
  await data.ingestCli('people', { people: data.file('people.csv', csv(PERSONS)) });
  server = await data.serve();
  token = await data.token();
});
after(() => server?.stop());

const lines = (text) => text.trimEnd().split('\n').map((line) => JSON.parse(line));
const byId = (rows) => rows.slice().sort((a, b) => (a.id < b.id ? -1 : 1));
const url = (dataset, query = '') => `/v1/datasets/${dataset}/export${query}`;

/** What RFC 4180 says, and null is nothing. */
function parseCsv(text) {
  const records = [];
  let record = [];
  for (const [, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\n]*))(,|\n)/g)) {
    record.push(quoted === undefined ? plain || null : quoted.replaceAll('""', '"'));
    if (end === '\n') { records.push(record); record = []; }
  }
  const [names, ...rows] = records;
  return rows.map((row) => Object.fromEntries(names.map((name, i) => [name, row[i]])));
}

async function exported(dataset, format, ...more) {
  const path = join(data.files, `${dataset}.${format}`);
  await data.ok(['export', dataset, '--format', format, '--output', path, ...more], { tenant: 'dev' });
  return path;
}

/** Parquet over HTTP. */
async function download(dataset) {
  const reply = await fetch(`${server.url}${url(dataset, '?format=parquet')}`, { headers: { authorization: `Bearer ${token}` } });
  assert.equal(reply.status, 200);
  assert.equal(reply.headers.get('content-type'), 'application/vnd.apache.parquet');
  assert.deepEqual(readdirSync(join(data.directory, 'spool', 'incoming')), [], 'its file has no name any more');
  return data.file(`${dataset}.parquet`, Buffer.from(await reply.arrayBuffer()));
}

for (const [version, rows] of [[2, second], [1, first]])
  test(`version ${version}: every row is there once, and their recount is what the rollups say`, async () => {
    for (const query of [`?version=${version}&format=ndjson`, ...(version === 2 ? ['?format=ndjson'] : [])]) {
      const reply = await server.get(url('things', query), token);
      assert.equal(reply.status, 200, reply.text);
      assert.equal(reply.headers['everline-version'], String(version));
      assert.equal(reply.headers['content-disposition'], `attachment; filename="things.${version}.ndjson"`);
      const items = lines(reply.text);
      assert.deepEqual(byId(items), rows);
      const cells = (await server.get(`/v1/datasets/things/rollups/by_colour?version=${version}&limit=1000`, token)).json.items;
      const recount = cellsByColour(items);
      assert.equal(cells.length, recount.length);
      cells.forEach((cell, i) => {
        for (const name of ['colour', 'made', 'things', 'weighed', 'weight', 'lightest', 'heaviest'])
          assert.equal(cell[name], recount[i][name]);
      });
      const all = (await server.get(`/v1/datasets/things/rollups/total?version=${version}`, token)).json.items;
      assert.deepEqual(all, totals(items));
    }
  });

test('CSV has the same rows, by the command line as over HTTP', async () => {
  const reply = await server.get(url('things'), token);
  assert.match(reply.headers['content-type'], /^text\/csv/);
  const rows = parseCsv(reply.text).map((row) => ({ ...row, weight: row.weight === null ? null : Number(row.weight) }));
  assert.deepEqual(byId(rows), second);
  assert.equal(readFileSync(await exported('things', 'csv'), 'utf8'), reply.text);
  assert.equal(await data.ok(['export', 'things'], { tenant: 'dev' }), reply.text);
  assert.equal((await data.ok(['get', url('things')], { tenant: 'dev' })).trimEnd(), reply.text.trimEnd());
});

test('one of the command line that is interrupted leaves no file', async () => {
  const out = tempDir('exports');
  await data.put({ ...THINGS, name: 'many' });
  await data.ingest('many', { things: data.file('many.csv', csv(things(100_000))) });
  for (const format of ['ndjson', 'parquet'])
    await until(`one of ${format} was interrupted`, async () => {
      const one = start(ingestPath, ['export', 'many', '--format', format, '--output', join(out, 'x'), '--data', data.directory, '--tenant', 'dev']);
      await until('it writes', () => readdirSync(out).some((name) => name.endsWith('.tmp')) || one.exited, undefined, 1);
      one.child.kill('SIGINT');
      const { code, signal } = await one.ended;
      assert.equal(signal, null);
      assert.deepEqual(readdirSync(out), code ? [] : ['x'], one.stderr);
      rmSync(join(out, 'x'), { force: true });
      return code === 1 && /cancelled by signal 2/.test(one.stderr); /* otherwise it was done */
    });
});

test('the file of an export is its owner\'s alone, whatever the umask', async () => {
  const path = (format) => join(data.files, `remote.${format}`);
  for (const format of ['csv', 'parquet']) {
    assert.equal(statSync(await exported('things', format)).mode & 0o777, 0o600, format);
    const remote = { EVERLINE_URL: server.url, EVERLINE_TOKEN: token };
    assert.equal((await everline(['export', 'things', '--format', format, '--output', path(format)], { env: remote })).code, 0);
    assert.equal(statSync(path(format)).mode & 0o777, 0o600, `remote ${format}`);
  }
});

test('without a format, Accept says which', async () => {
  for (const [accept, type] of [['application/x-ndjson', 'application/x-ndjson'], ['text/csv;q=0.4, application/*', 'application/x-ndjson'],
    ['application/vnd.apache.parquet', 'application/vnd.apache.parquet'], ['*/*', 'text/csv'], ['text/html', 'text/csv']]) {
    const reply = await server.request('GET', url('notes'), { token, headers: { accept } });
    assert.deepEqual([reply.status, reply.headers['content-type'], reply.headers.vary], [200, type, 'Accept'], accept);
  }
  const named = await server.request('GET', url('notes', '?format=csv'), { token, headers: { accept: 'application/x-ndjson' } });
  assert.deepEqual([named.headers['content-type'], named.headers.vary], ['text/csv', undefined]);
});

test('every type keeps its value, and null is not the empty text', async () => {
  assert.deepEqual(byId(lines(readFileSync(await exported('notes', 'ndjson'), 'utf8'))), [FULL, NULLS, EMPTY]);
  const [full, nulls, empty] = byId(parseCsv(readFileSync(await exported('notes', 'csv'), 'utf8')));
  assert.deepEqual(nulls, NULLS);
  assert.deepEqual([empty.text, empty.words, empty.day], ['', '[]', null]);
  assert.deepEqual({ ...full, numbers: JSON.parse(full.numbers), words: JSON.parse(full.words) },
                   { ...Object.fromEntries(Object.entries(FULL).map(([name, value]) => [name, Array.isArray(value) ? value : String(value)])),
                     price: '12.50' });
});

test('Parquet, ingested again, is the same version', async () => {
  for (const [definition, source] of [[NOTES, 'notes'], [THINGS, 'things']]) {
    const path = source === 'notes' ? await exported(source, 'parquet') : await download(source);
    const again = { ...definition, name: `${source}_again`, sources: { [source]: { format: 'parquet' } } };
    await data.put(again);
    const version = await data.ingest(again.name, { [source]: path });
    assert.equal(version.rows.accepted, source === 'notes' ? 3 : second.length);
    const [before, after] = await Promise.all([source, again.name].map(async (name) =>
      byId(lines(readFileSync(await exported(name, 'ndjson'), 'utf8')))));
    assert.deepEqual(after, before);
  }
});

test('of protected keys only hashes come out, and what is held needs versions:write', async () => {
  assertProblem(await server.get(url('people', '?version=1'), await data.token({ scope: 'data:read analytics:read' })), 403, 'SCOPE_MISSING');
  assertProblem(await server.get(url('people'), token), 404, 'NO_VERSION');
  const reply = await server.get(url('people', '?version=1&format=ndjson'), token);
  assert.equal(reply.headers['cache-control'], 'no-store');
  assert.equal(reply.headers['everline-version-state'], 'HELD');
  const items = lines(reply.text);
  assert.deepEqual(items.map(({ score }) => score).sort(), PERSONS.map((person) => person.SCORE).sort());
  assert.equal(new Set(items.map(({ key_hash: hash }) => hash)).size, PERSONS.length);
  for (const item of items) {
    assert.match(item.key_hash, /^[0-9a-f]{32}$/);
    assert.deepEqual(Object.keys(item), ['key_hash', 'eligible', 'state', 'score']);
  }
  await exported('people', 'parquet', '--version', '1');
});

/** The head of an answer, whose body nobody reads. */
const hold = (dataset, query = '') => new Promise((resolve, reject) => {
  const headers = { authorization: `Bearer ${token}` };
  http.get(`${server.url}${url(dataset, query)}`, { headers, agent: false }, resolve).on('error', reject);
});

test('who does not read holds up nobody else, and a tenant sends four at a time', async () => {
  const text = () => randomBytes(450_000).toString('hex'); /* what Parquet cannot make small */
  await data.put({ name: 'large', sources: NOTES.sources, prepare: 'SELECT id, text FROM notes', key: { fields: ['id'] }, record: { text: 'VARCHAR' } });
  await data.ingest('large', { notes: data.file('large.ndjson', Array.from({ length: 24 }, (_, i) => JSON.stringify({ id: `${i}`, text: text() })).join('\n')) });
  await until('the server has it', async () => (await server.get('/v1/datasets/large', token)).json.current === 1);
  const held = [];
  while (held.length < 4) held.push(await hold('large', held.length % 2 ? '?format=parquet' : ''));
  assert.deepEqual(held.map((reply) => reply.statusCode), [200, 200, 200, 200]);
  for (const query of ['', '?format=parquet']) assertProblem(await server.get(url('large', query), token), 503, 'BUSY');
  assert.equal((await server.lookup('things', { id: second[0].id }, token)).json.outcome, 'match');
  for (const reply of held) reply.destroy();
  await until('there is room again', async () => (await server.get(url('large'), token)).status === 200);
});

/** The programs of the server that write Parquet, by their process numbers. */
const writers = () => readdirSync(`/proc/${server.process.pid}/task`)
  .flatMap((thread) => readFileSync(`/proc/${server.process.pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean))
  .filter((pid) => { try { return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')[1] === 'spool'; } catch { return false; } });
const isStopped = (pid) => { try { return /\) T /.test(readFileSync(`/proc/${pid}/stat`, 'utf8')); } catch { return false; } };

/** A request for a file that is not written to its end before `pid` is continued; one that was too quick is made again. */
async function stopWriter(ask, stopped) {
  for (;;) {
    let over = false;
    const reply = ask().finally(() => { over = true; });
    const pid = await until('it is being written', () => over || writers().find((one) => !stopped.includes(one)), undefined, 0);
    if (pid === true) continue;
    try { process.kill(pid, 'SIGSTOP'); } catch { /* it is done */ }
    await until('it has stopped', () => over || isStopped(pid), undefined, 0);
    if (!over) return { pid, reply };
  }
}

test('a Parquet file that takes long holds up neither another tenant nor all of its own', async () => {
  await data.put({ ...THINGS, name: 'others' }, { tenant: 'other' });
  await data.ingest('others', { things: data.file('others.csv', csv(first)) }, { tenant: 'other' });
  const who = await data.token({ tenant: 'other' }), stopped = [];
  await until('the server has it', async () => (await server.get('/v1/datasets/others', who)).json.current === 1);
  const get = (path, by = token) => server.request('GET', path, { token: by, agent: false });
  const slow = [];
  try {
    while (stopped.length < 2) {
      const { pid, reply } = await stopWriter(() => get(url('large', '?format=parquet')), stopped);
      stopped.push(pid);
      slow.push(reply);
    }
    assertProblem(await get(url('things', '?format=parquet')), 503, 'BUSY');
    assert.equal((await get(url('others', '?format=parquet'), who)).status, 200);
    assert.equal((await get('/v1/datasets/others/versions/1/diff?from=1', who)).status, 200);
    assert.equal((await server.lookup('things', { id: second[0].id }, token)).json.outcome, 'match');
  } finally {
    for (const pid of stopped) process.kill(pid, 'SIGCONT');
  }
  assert.deepEqual((await Promise.all(slow)).map((reply) => reply.status), [200, 200]);
});

test('an export at a terminal shows how far it is, and then how much it was', async () => {
  for (const format of ['csv', 'parquet']) {
    const path = join(data.files, `terminal.${format}`);
    const command = [everlinePath, 'export', 'things', '--format', format, '--output', path, '--data', data.directory, '--tenant', 'dev'];
    const { code, stdout } = await run('script', ['-qec', command.map((word) => `'${word}'`).join(' '), '/dev/null']);
    assert.equal(code, 0, stdout);
    const shown = stdout.split(/[\r\n]+/).filter(Boolean).map((line) => line.replace('\x1b[K', ''));
    assert.ok(shown.some((line) => /^things exporting +\[#* *\] \d+ rows$|^things exporting +\d+s$/.test(line)), stdout);
    assert.equal(shown.at(-1), `things version 2: ${second.length} records in ${path}`);
    assert.ok(existsSync(path));
  }
  const quiet = await run(everlinePath, ['export', 'things', '--format', 'csv', '--output', join(data.files, 'quiet.csv'), '--data', data.directory, '--tenant', 'dev']);
  assert.deepEqual([quiet.code, quiet.stdout, quiet.stderr], [0, '', `things version 2: ${second.length} records in ${join(data.files, 'quiet.csv')}\n`]);
});

test('an export whose file is cut meanwhile has no end, and the server goes on', async () => {
  const { segments: [{ sha256 }] } = (await server.get('/v1/datasets/large/versions/1', token)).json;
  const reply = await hold('large');
  truncateSync(join(data.directory, 'segments', sha256.slice(0, 2), `${sha256}.mdb`), 2 * 4096);
  await assert.rejects(async () => { for await (const chunk of reply) assert.ok(chunk.length); }, { code: 'ECONNRESET' });
  assert.equal((await server.lookup('things', { id: second[0].id }, token)).json.outcome, 'match');
  await server.logged('version 1 of large was cut short');
});

test('a dataset that is deleted while it is exported and compared is sent whole, or not at all, and leaves no file', async () => {
  const dying = { ...THINGS, name: 'dying' }, at = '/v1/datasets/dying', many = things(20_000);
  await data.put(dying);
  for (const count of [10_000, 20_000]) await data.ingest('dying', { things: data.file('dying.csv', csv(many.slice(0, count))) });
  await until('the server has it', async () => (await server.get(at, token)).json.current === 2);
  const files = (await data.versions('dying')).flatMap(({ segments }) => segments.map(({ sha256 }) => join(data.directory, 'segments', sha256.slice(0, 2), `${sha256}.mdb`)));
  assert.ok(files.length === 2 && files.every((path) => existsSync(path)));
  const slow = await hold('dying'); // its head is here, the rest is not read yet
  const asked = [...['parquet', 'parquet', 'ndjson'].map((format) => fetch(`${server.url}${url('dying', `?format=${format}`)}`, { headers: { authorization: `Bearer ${token}` } })
    .then(async (reply) => [format, reply.status, Buffer.from(await reply.arrayBuffer())])),
  ...[1, 2].map(() => server.get(`${at}/versions/2/diff?from=1`, token).then((reply) => ['diff', reply.status, reply.text]))];
  const gone = await server.request('DELETE', `${at}?reason=over`, { token });
  assert.equal(gone.status, 204, gone.text);
  for (const [what, status, body] of await Promise.all(asked)) {
    assert.ok([200, 404, 410].includes(status) || (status === 503 && JSON.parse(body).code === 'BUSY'), `${what}: ${status} ${body}`);
    if (status !== 200) continue;
    if (what === 'diff') assert.equal(JSON.parse(body).records.added, 10_000);
    else if (what === 'ndjson') assert.equal(lines(body.toString()).length, 20_000);
    else assert.deepEqual([body.subarray(0, 4).toString(), body.subarray(-4).toString()], ['PAR1', 'PAR1']);
  }
  let text = '';
  for await (const chunk of slow) text += chunk;
  assert.equal(text.split('\n').length, 20_000 + 2);
  await until('its files are gone', () => files.every((path) => !existsSync(path)));
  const spool = join(data.directory, 'spool', 'incoming');
  await until('the spool is empty', () => !existsSync(spool) || readdirSync(spool).length === 0);
  assert.ok(server.alive);
});

test('an export is in the audit, and says what for where that is required', async () => {
  await data.put({ ...THINGS, name: 'asked', require_purpose: true });
  await data.ingest('asked', { things: data.file('asked.csv', csv(first)) });
  await until('the server has it', async () => (await server.get('/v1/datasets/asked', token)).json.current === 1);
  assertProblem(await server.get(url('asked'), token), 400, 'PURPOSE_REQUIRED');
  assert.equal((await server.get(url('asked'), token, { 'x-purpose': 'a study', 'x-request-id': 'export-1' })).status, 200);
  const line = await until('the line is there', async () => (await server.get('/v1/audit?request_id=export-1', token)).json.items[0]);
  const { event, dataset, version, outcome, purpose } = line;
  assert.deepEqual({ event, dataset, version, outcome, purpose }, { event: 'exportVersion', dataset: 'asked', version: 1, outcome: 'done', purpose: 'a study' });
});

test('both scopes are needed', async () => {
  for (const lacking of ['data:read', 'analytics:read']) {
    const scope = ALL_SCOPES.split(' ').filter((one) => one !== lacking).join(' ');
    const problem = assertProblem(await server.get(url('things'), await data.token({ scope })), 403, 'SCOPE_MISSING');
    assert.ok(problem.detail.includes(lacking));
  }
});

test('what cannot be exported is refused with the reason, and no file is left', async () => {
  assertProblem(await server.get(url('things', '?version=9'), token), 404, 'UNKNOWN_VERSION');
  assertProblem(await server.get(url('things', '?as_of=1970-01-01T00:00:00Z'), token), 404, 'NO_VERSION');
  assertProblem(await server.get(url('none'), token), 404, 'UNKNOWN_DATASET');
  assertProblem(await server.get(url('things'), await data.token({ tenant: 'other' })), 404, 'UNKNOWN_DATASET');
  assertProblem(await server.get(url('things', '?format=xls'), token), 400, 'INVALID_PARAMETER');
  const local = await data.cli(['get', url('things', '?format=parquet')], { tenant: 'dev' });
  assert.equal(local.code, 1);
  assert.match(local.stdout, /everline export things --format parquet/);
  const path = join(data.files, 'not-there', 'x.csv');
  for (const [args, code] of [[['export', 'things', '--format', 'xls'], 2], [['export', 'things', '--format', 'parquet'], 2],
    [['export', 'things', '--version', '9'], 1], [['export', 'things', '--output', path], 1],
    [['export', 'things', '--format', 'parquet', '--output', path], 1]])
    assert.equal((await data.cli(args, { tenant: 'dev' })).code, code, args.join(' '));
  assert.ok(!existsSync(path));
  assert.deepEqual(readdirSync(data.files).filter((name) => name.endsWith('.tmp')), []);
});
