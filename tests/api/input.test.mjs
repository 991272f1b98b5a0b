// Files that are not what they should be: each fails with what, where and how to mend it; the version before
// is served, and nothing is left behind.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { appendFileSync, chmodSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { Data } from '../kit/everline.mjs';
import { leftovers } from '../kit/files.mjs';

const SECRET = 'Qwertz';
const COLUMNS = { id: 'VARCHAR', n: 'SMALLINT', day: 'DATE' };
const definition = (format, more = {}) => ({
  name: format, sources: { t: { format, columns: COLUMNS, ...more } }, prepare: 'SELECT id, n, day FROM t',
  key: { fields: ['id'] }, record: { n: 'INTEGER', day: 'DATE' },
});
const CSV = 'id,n,day\na,1,2020-01-31\nb,-2,\n';
const NDJSON = '{"id":"a","n":1,"day":"2020-01-31"}\n{"id":"b","n":-2}\n';
let data, server, token;

before(async () => {
  data = await Data.make('dev');
  await data.put(definition('csv'));
  await data.put(definition('ndjson'));
  assert.equal((await data.ingest('csv', { t: data.file('good.csv', CSV) })).version, 1);
  assert.equal((await data.ingest('ndjson', { t: data.file('good.ndjson', NDJSON) })).version, 1);
  server = await data.serve();
  token = await data.token();
});
after(() => server?.stop());

/** The file is refused so, and everything is as it was. */
async function assertRefused(dataset, path, code, place) {
  const before = leftovers(data);
  const result = await data.ingestCli(dataset, { t: path });
  assert.equal(result.code, 1, `${path}: ${result.stderr}${result.stdout}`);
  assert.match(result.stderr, place, path);
  assert.ok(!result.stderr.includes(SECRET), result.stderr);
  const jobs = await data.json(['jobs', 'list', '--dataset', dataset]);
  assert.equal(jobs.items[0].error.code, code, JSON.stringify(jobs.items[0]));
  assert.ok(jobs.items[0].error.hint, `how to mend it: ${result.stderr}`);
  assert.ok(!JSON.stringify(jobs.items[0]).includes(SECRET));
  assert.deepEqual(leftovers(data), before);
  assert.equal((await server.lookup(dataset, { id: 'a' }, token)).json.version, 1);
}

const CSV_FILES = {
  'NUL bytes': [`${CSV}${SECRET}\0,1,\n`, 'CSV_NUL', /:4/],
  'UTF-16': [Buffer.from(`\ufeff${CSV}`, 'utf16le'), 'CSV_NUL', /:1/],
  'mixed line ends': [`${CSV}${SECRET},1,\r\n`, 'CSV_NEWLINE', /:4/],
  'a quote that does not end': [`${CSV}"${SECRET},1,\nd,1,\n`, 'CSV_QUOTE', /:4/],
  'text behind a quoted field': [`${CSV}"x"${SECRET},1,\n`, 'CSV_QUOTE', /:4/],
  'a field of 10 MB': [`${CSV}${'x'.repeat(10e6)},1,\n`, 'CSV_RECORD_TOO_LONG', /:4/],
  '5,000 columns': [`${Array.from({ length: 5000 }, (_, i) => `c${i}`).join(',')}\n`, 'CSV_HEADER', /more than 1,024 columns/],
  'invalid UTF-8': [Buffer.concat([Buffer.from(CSV), Buffer.from([0x63, 0xff, 0x2c, 0x31, 0x2c, 0x0a])]), 'CSV_UTF8', /:4:1/],
  'a short record': [`${CSV}${SECRET}\n`, 'CSV_SHORT_ROW', /:4:2/],
  'a wrong type': [`${CSV}c,${SECRET},\n`, 'CSV_CAST', /:4:2/],
  'a number out of range': [`${CSV}c,32768,\n`, 'CSV_CAST', /:4:2/],
  'a number that would be rounded': [`${CSV}c,1.5,\n`, 'CSV_CAST', /:4:2/],
  'a date that does not exist': [`${CSV}c,1,2021-02-29\n`, 'CSV_CAST', /:4:3/],
  'nothing in it': ['', 'CSV_HEADER', /:1/],
  'a truncated gzip': [gzipSync(CSV).subarray(0, -9), 'COMPRESSION', /gzip -t/],
  'a bomb of zeros': [gzipSync(Buffer.alloc(80 << 20, '\n')), 'CSV_HEADER', /:1/],
};
for (const [what, [content, code, place]] of Object.entries(CSV_FILES))
  test(`CSV with ${what}`, () => assertRefused('csv', data.file('bad.csv', content), code, place));

const NDJSON_FILES = {
  'a line that is no object': [`${NDJSON}["${SECRET}"]\n`, 'NDJSON_OBJECT', /:3/],
  'a line that is not JSON': [`${NDJSON}{"id":"${SECRET}"\n`, 'NDJSON_SYNTAX', /:3/],
  'a member twice': [`${NDJSON}{"id":"c","id":"${SECRET}"}\n`, 'NDJSON_DUPLICATE', /:3:1/],
  'a wrong type': [`${NDJSON}{"id":"c","n":"${SECRET}"}\n`, 'NDJSON_CAST', /:3:2/],
  'a list for a number': [`${NDJSON}{"id":"c","n":[1]}\n`, 'NDJSON_CAST', /:3:2/],
  'a number out of range': [`${NDJSON}{"id":"c","n":-32769}\n`, 'NDJSON_CAST', /:3:2/],
  'a date that does not exist': [`${NDJSON}{"id":"c","day":"2021-02-29"}\n`, 'NDJSON_CAST', /:3:3/],
  'invalid UTF-8': [Buffer.from(`${NDJSON}{"id":"\xff"}\n`, 'latin1'), 'NDJSON_UTF8', /:3/],
  'U+0000': [`${NDJSON}{"id":"\\u0000"}\n`, 'NDJSON_NUL', /:3/],
  'a line of 10 MB': [`${NDJSON}{"id":"${'x'.repeat(10e6)}"}\n`, 'NDJSON_RECORD_TOO_LONG', /:3/],
  'a truncated gzip': [gzipSync(NDJSON).subarray(0, -9), 'COMPRESSION', /gzip -t/],
  'a zip bomb': [gzipSync(Buffer.alloc(80 << 20, '\n')), 'INFLATE_RATIO', /--inflate-ratio/],
};
for (const [what, [content, code, place]] of Object.entries(NDJSON_FILES))
  test(`NDJSON with ${what}`, () => assertRefused('ndjson', data.file('bad.ndjson', content), code, place));

test('a byte order mark is no part of the first name, nor of the first member', async () => {
  assert.equal((await data.ingest('csv', { t: data.file('mark.csv', `\ufeff${CSV}`) })).outcome, 'identical');
  assert.equal((await data.ingest('ndjson', { t: data.file('mark.ndjson', `\ufeff${NDJSON}`) })).outcome, 'identical');
});

test('a header and nothing else, and no lines at all, are held back: there were records before', async () => {
  for (const [dataset, content] of [['csv', 'id,n,day\n'], ['ndjson', '\n']]) {
    const result = await data.ingestCli(dataset, { t: data.file('none', content) });
    assert.equal(result.code, 4, result.stderr);
    assert.match(result.stderr, /not_empty/);
  }
});

test('a file that grows while it is read', async () => {
  const path = data.file('grows.csv', CSV + Array.from({ length: 400_000 }, (_, i) => `x${i},1,2020-01-31\n`).join(''));
  const before = leftovers(data);
  const writer = setInterval(() => appendFileSync(path, `y${Date.now()},1,\n`), 1);
  const result = await data.ingestCli('csv', { t: path });
  clearInterval(writer);
  assert.equal(result.code, 1, result.stdout);
  assert.match(result.stderr, /grows\.csv changed while it was read/);
  assert.match(result.stderr, /rename them into place/);
  assert.deepEqual(leftovers(data), before);
});

test('what is no file, or cannot be read', async () => {
  const before = leftovers(data);
  const fifo = join(data.files, 'fifo.csv'), loop = join(data.files, 'loop.csv');
  execFileSync('mkfifo', [fifo]);
  symlinkSync(loop, loop);
  const locked = data.file('locked.csv', CSV);
  chmodSync(locked, 0);
  const root = process.getuid() === 0; // reads everything
  for (const [path, place] of [[fifo, /not a regular file/], [data.files, /not a regular file/], [loop, /loop\.csv/],
    ...(root ? [] : [[locked, /locked\.csv/]])]) {
    const result = await data.ingestCli('csv', { t: path });
    assert.equal(result.code, 1, result.stderr);
    assert.match(result.stderr, place);
  }
  assert.deepEqual(leftovers(data), before);
});
