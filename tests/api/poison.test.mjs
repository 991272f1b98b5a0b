// What a tenant's records and definitions may hold, and that it stays data: in JSON, CSV and NDJSON, in headers,
// the log, the audit and the metrics.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { assertProblem, Data } from '../kit/everline.mjs';
import { csv } from '../kit/samples.mjs';

const NOTES = {
  name: 'notes',
  description: '</script><img src=x onerror=alert(1)> \x1b]0;own\x07\x9b2J \u202e=cmd|"/c calc"!A1\r\nSet-Cookie: a=b',
  sources: { notes: { format: 'ndjson', columns: { id: 'VARCHAR', text: 'VARCHAR' } } },
  prepare: 'SELECT id, text FROM notes',
  key: { fields: ['id'], protect: 'none' },
  record: { text: 'VARCHAR' },
  rollups: { by_text: { dimensions: ['text'], metrics: { notes: 'count(*)' } } },
};
const POISON = {
  controls: Array.from({ length: 31 }, (_, i) => String.fromCharCode(i + 1)).join('') + '\x7f\x80\x85\x9b31m',
  bidi: '\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c admin\u202etxt.exe',
  formula: '=HYPERLINK("http://x/?"&A1,"y")', plus: '+1+cmd|x', minus: '-2+3', at: '@SUM(A1)', wide: '\uff1d1', tab: '\t=1',
  header: 'x\r\nSet-Cookie: a=b\r\n\r\nHTTP/1.1 200 OK', lines: 'a\u2028b\u2029c\u0085d',
  html: '</script><script>alert(1)</script><img src=x onerror=alert(1)>', template: '${7*7}{{7*7}}%s%n%x', json: '"},{"x":"',
  noncharacters: '\uffff\ufffe\ufdd0\u{10ffff}\u{1fffe}', joined: 'e\u0301\u200d\u200b\ufeff\u00ad', long: 'x'.repeat(400),
};
const rows = Object.entries(POISON).map(([id, text]) => ({ id, text }));

let data, server, token;

before(async () => {
  data = await Data.make('dev');
  await data.put(NOTES);
  await data.ingest('notes', { notes: data.file('notes.ndjson', rows.map((row) => JSON.stringify(row)).join('\n')) });
  server = await data.serve();
  token = await data.token();
});
after(() => server?.stop());

const get = (path, headers) => server.get(path, token, headers);

/** RFC 4180 with LF, as it is exported. */
function parseCsv(text) {
  const records = [[]];
  for (const [, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\n]*))(,|\n)/g)) {
    records.at(-1).push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end === '\n') records.push([]);
  }
  return records.slice(1, -1);
}

test('every value comes out as it went in, by key, in exports and in rollups', async () => {
  for (const { id, text } of rows) {
    const reply = await server.lookup('notes', { id }, token);
    assert.deepEqual([reply.status, reply.json.record.text], [200, text], id);
  }
  const ndjson = (await get('/v1/datasets/notes/export?format=ndjson')).text;
  const lines = ndjson.trimEnd().split('\n').map((line) => JSON.parse(line));
  assert.deepEqual(new Map(lines.map(({ id, text }) => [id, text])), new Map(rows.map(({ id, text }) => [id, text])));
  const exported = parseCsv((await get('/v1/datasets/notes/export?format=csv')).text);
  assert.deepEqual(new Map(exported), new Map(rows.map(({ id, text }) => [id, text])));
  const cells = (await get('/v1/datasets/notes/rollups/by_text')).json.items;
  assert.deepEqual(cells.map(({ text }) => text).sort(), rows.map(({ text }) => text).sort());
});

test('no control character is in JSON or NDJSON as it is, and no line but its own', async () => {
  for (const path of ['records/controls', 'records/header', 'export?format=ndjson', 'rollups/by_text', '']) {
    const reply = await get(`/v1/datasets/notes${path && `/${path}`}`);
    assert.equal(reply.status, 200, `${path}: ${reply.text}`);
    assert.ok(!/[\x00-\x09\x0b-\x1f]/.test(reply.text), path);
  }
});

test('no header, log line or metric is made of what a tenant wrote', async () => {
  const hostile = encodeURIComponent('x\r\nSet-Cookie: a=b');
  const paths = ['', '/records/header', `/records/${hostile}`, '/export?format=csv', '/rollups/by_text?limit=2', '/versions/1',
    `/rollups/by_text?text=${encodeURIComponent(POISON.header)}`, `/rollups/${hostile}`, `/export?format=${hostile}`];
  for (const path of paths) {
    const reply = await get(`/v1/datasets/notes${path}`, { 'x-purpose': 'a "purpose"' });
    assert.ok(reply.status < 500, `${path}: ${reply.text}`);
    assert.equal(reply.headers['set-cookie'], undefined, path);
    for (const [name, value] of Object.entries(reply.headers)) assert.match(String(value), /^[\x20-\x7e]*$/, name);
    assert.equal(reply.headers['x-content-type-options'] ?? 'nosniff', 'nosniff');
    assert.doesNotMatch(reply.headers['content-type'] ?? '', /html/, path);
  }
  const { text } = await server.get('/metrics');
  assert.ok(!/Set-Cookie|onerror|alert|notes"/.test(text));
  for (const line of server.log.split('\n').filter((one) => one.startsWith('{'))) JSON.parse(line);
  assert.ok(!/onerror|alert\(|\n *Set-Cookie/.test(server.log), server.log);
});

test('what is not UTF-8, has a NUL or is too large is told, with its place and without its value', async () => {
  const put = (name, extra = {}) => data.put({ ...NOTES, name, description: '', sources: { notes: { format: 'csv', columns: { id: 'VARCHAR', text: 'VARCHAR' } } }, ...extra });
  await put('sheets');
  const good = csv([{ id: 'a', text: 'b' }]);
  const secret = 'SecretValue';
  const bad = {
    utf8: Buffer.concat([Buffer.from(`${good}b,${secret}`), Buffer.from([0xff, 0xc0, 0x80, 0x0a])]),
    surrogate: Buffer.concat([Buffer.from(`${good}b,${secret}`), Buffer.from([0xed, 0xa0, 0x80, 0x0a])]),
    nul: Buffer.from(`${good}b,${secret}\0x\n`),
    cell: Buffer.from(`${good}b,${secret}${'x'.repeat(8 << 20)}\n`),
    quote: Buffer.from(`${good}b,"${secret}${'x'.repeat(2 << 20)}\n`),
  };
  for (const [what, bytes] of Object.entries(bad)) {
    const result = await data.ingestCli('sheets', { notes: data.file(`${what}.csv`, bytes) });
    assert.notEqual(result.code, 0, what);
    assert.ok(!(result.stdout + result.stderr).includes(secret), `${what}: ${result.stderr.slice(0, 500)}`);
    assert.match(result.stdout + result.stderr, /CSV_|REJECT|TOO_LARGE|TOO_LONG/, what);
  }
  for (const [what, line] of Object.entries({ nul: `{"id":"n","text":"${secret}\\u0000x"}`, lone: `{"id":"n","text":"${secret}\\ud800"}`, twice: `{"id":"n","id":"m","text":"${secret}"}`, deep: `{"id":"n","text":${'['.repeat(5000)}${']'.repeat(5000)}}` })) {
    const result = await data.ingestCli('notes', { notes: data.file(`${what}.ndjson`, `${line}\n`) });
    assert.ok(!(result.stdout + result.stderr).includes(secret), `${what}: ${result.stderr.slice(0, 500)}`);
    assert.notEqual(result.code, 0, what);
  }
});

test('keys as long as may be are found, and longer ones are no fault of the server', async () => {
  const longest = ['k'.repeat(1 << 10), '\u{1f600}'.repeat(1 << 8)];
  const made = await data.ingest('notes', { notes: data.file('keys.ndjson', longest.map((id) => JSON.stringify({ id, text: 'found' })).join('\n')) });
  assert.equal(made.outcome, 'flipped');
  for (const id of longest) {
    const reply = await server.lookup('notes', { id }, token);
    assert.deepEqual([reply.status, reply.json?.record?.text], [200, 'found'], reply.text.slice(0, 300));
  }
  for (const size of [1 << 19, (1 << 20) + 1]) {
    const reply = await server.lookup('notes', { id: 'z'.repeat(size) }, token);
    assert.ok([200, 404, 400, 413].includes(reply.status), `${size}: ${reply.status} ${reply.text.slice(0, 200)}`);
  }
  for (const raw of ['{"key":{"id":"a\\u0000b"}}', '{"key":{"id":"\\ud800"}}'])
    assertProblem(await server.post('/v1/datasets/notes/lookup', token, raw, { 'content-type': 'application/json' }), 400);
});

test('nothing that a tenant wrote moves a cursor of who runs a command', async () => {
  const ESC = '\x1b]0;own\x07', NAMES = `"${ESC}id","${ESC}text"\na,b\n`;
  const column = { ...NOTES, name: 'escapes', sources: { notes: { format: 'csv', columns: { id: 'VARCHAR' } } } };
  const shown = [];
  await data.put({ ...NOTES, name: 'escapes', description: '', sources: { notes: { format: 'csv', columns: { id: 'VARCHAR' } } } });
  const run = async (args, options) => { const { stdout, stderr } = await data.cli(args, options); shown.push([args.join(' '), stdout + stderr]); };
  await run(['ingest', 'escapes', '--source', `notes=${data.file('names.csv', NAMES)}`], { tenant: 'dev' });
  for (const bad of [{ ...column, prepare: `SELECT "${ESC}" FROM notes` }, { ...column, prepare: `SELECT error('${ESC}')` }, { ...column, name: `a${ESC}` },
    { ...column, [`x${ESC}`]: 1 }, { ...column, key: { fields: [ESC] } }, { ...column, record: { text: ESC } }])
    await run(['dataset', 'put', data.file('bad.json', JSON.stringify(bad))], { tenant: 'dev' });
  await run(['ingest', 'escapes', '--source', `notes=${data.file(`e${ESC.replace('/', '')}.csv`, 'x\n')}`], { tenant: 'dev' });
  for (const args of [['dataset', 'list'], ['versions', 'notes'], ['versions', 'escapes'], ['jobs', 'list'], ['rejects', 'escapes', '1'], ['jobs', 'show', 'job-000000000003'], ['jobs', 'show', 'job-000000000002']])
    await run(args, { tenant: 'dev' });
  for (const [command, text] of shown) assert.ok(!/[\x00-\x09\x0b-\x1f\x7f\u0080-\u009f]/.test(text), `${JSON.stringify(command)}: ${JSON.stringify(text)}`);
});
