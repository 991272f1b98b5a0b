// Files that are not what they should be: each fails with what, where and how to mend it; the version before
// is served, and nothing is left behind.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { appendFileSync, chmodSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { Data } from '../kit/everline.mjs';
import { leftovers } from '../kit/files.mjs';
import { everlinePath, run, sourceDir, tempDir, until } from '../kit/process.mjs';

const SECRET = 'Qwertz';
const COLUMNS = { id: 'VARCHAR', n: 'SMALLINT', day: 'DATE' };
const definition = (format, more = {}) => ({
  name: format, sources: { t: { format, columns: COLUMNS, ...more } }, prepare: 'SELECT id, n, day FROM t',
  key: { fields: ['id'] }, record: { n: 'INTEGER', day: 'DATE' },
});
const CSV = 'id,n,day\na,1,2020-01-31\nb,-2,\n';
const NDJSON = '{"id":"a","n":1,"day":"2020-01-31"}\n{"id":"b","n":-2}\n';
const sample = (name) => readFileSync(join(sourceDir, 'tests', 'kit', 'parquet', name));
const PARQUET = sample('plain-dict-uncompressed-checksum.parquet');
const inbox = tempDir('inbox');
let data, server, token;

before(async () => {
  data = await Data.make('dev');
  await data.put(definition('csv'));
  await data.put(definition('ndjson'));
  assert.equal((await data.ingest('csv', { t: data.file('good.csv', CSV) })).version, 1);
  assert.equal((await data.ingest('ndjson', { t: data.file('good.ndjson', NDJSON) })).version, 1);
  await data.put({ ...definition('parquet'), sources: { t: { format: 'parquet' } },
    prepare: "SELECT DISTINCT 'a' AS id, long_field AS n, NULL AS day FROM t" });
  assert.equal((await data.ingest('parquet', { t: data.file('good.parquet', PARQUET) })).version, 1);
  mkdirSync(join(inbox, 'dev'));
  server = await data.serve('--inbox', inbox);
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
  'a gzip that has another checksum': [((packed) => packed.fill(1, packed.length - 8, packed.length - 4))(gzipSync(CSV)), 'COMPRESSION', /gzip -t/],
  'a zip archive': ['PK\x03\x04\x14\0', 'COMPRESSION', /unpack it/],
  'other columns': [`first,last\n${SECRET},x\n`, 'CSV_HEADER', /no column "id"/],
  'nothing but a byte order mark': ['\ufeff', 'CSV_HEADER', /:1/],
  'CR alone for a line end': [CSV.replaceAll('\n', '\r'), 'CSV_NEWLINE', /:1/],
  'a zip bomb': [gzipSync(Buffer.concat([Buffer.from(CSV), Buffer.alloc(80 << 20, '\n')])), 'INFLATE_RATIO', /--inflate-ratio/],
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
  'a list of them': [`[${NDJSON.trim().replace('\n', ',')}]`, 'NDJSON_OBJECT', /jq -c/],
  'NUL bytes': [`${NDJSON}{"id":"${SECRET}\0"}\n`, 'NDJSON_SYNTAX', /:3/],
  'a text that does not end': [`${NDJSON}{"id":"${SECRET}\n`, 'NDJSON_SYNTAX', /:3/],
  'U+0000': [`${NDJSON}{"id":"\\u0000"}\n`, 'NDJSON_NUL', /:3/],
  'a line of 10 MB': [`${NDJSON}{"id":"${'x'.repeat(10e6)}"}\n`, 'NDJSON_RECORD_TOO_LONG', /:3/],
  'a truncated gzip': [gzipSync(NDJSON).subarray(0, -9), 'COMPRESSION', /gzip -t/],
  'a zip bomb': [gzipSync(Buffer.alloc(80 << 20, '\n')), 'INFLATE_RATIO', /--inflate-ratio/],
};
for (const [what, [content, code, place]] of Object.entries(NDJSON_FILES))
  test(`NDJSON with ${what}`, () => assertRefused('ndjson', data.file('bad.ndjson', content), code, place));

const PARQUET_FILES = {
  'its end cut off': [PARQUET.subarray(0, -9), 'PARQUET', /write or transfer it again/],
  'nothing in it': ['', 'PARQUET', /write or transfer it again/],
  'text in it': [CSV, 'PARQUET', /write or transfer it again/],
  'a page that is not what its checksum says': [sample('rle-dict-uncompressed-corrupt-checksum.parquet'), 'PARQUET', /the page at byte 23 .*checksum/],
};
for (const [what, [content, code, place]] of Object.entries(PARQUET_FILES))
  test(`Parquet with ${what}`, () => assertRefused('parquet', data.file('bad.parquet', content), code, place));

test('one for each code sent over HTTP: its job says the same, and the spool is empty', async () => {
  const before = leftovers(data), started = [];
  for (const [dataset, files] of Object.entries({ csv: CSV_FILES, ndjson: NDJSON_FILES, parquet: PARQUET_FILES }))
    for (const [what, [content, code]] of Object.entries(files)) {
      if (started.some((other) => other.code === code)) continue;
      const { status, text, json } = await server.post(`/v1/datasets/${dataset}/ingests?name=bad`, token, Buffer.from(content),
        { 'content-type': 'application/octet-stream' });
      assert.equal(status, 202, `${what}: ${text}`);
      started.push({ job: json.job, what: `${dataset} with ${what}`, code });
    }
  for (const { job, what, code } of started) {
    const row = await until(`${what} is judged`, async () => {
      const { json } = await server.get(`/v1/jobs/${job}`, token);
      return json.ended_at && json;
    });
    assert.deepEqual([row.state, row.error?.code], ['failed', code], `${what}: ${JSON.stringify(row)}`);
    assert.ok(row.error.hint && !JSON.stringify(row).includes(SECRET), what);
  }
  await until('all uploads are gone', () => JSON.stringify(leftovers(data)) === JSON.stringify(before));
  for (const dataset of ['csv', 'ndjson', 'parquet'])
    assert.equal((await server.lookup(dataset, { id: 'a' }, token)).json.version, 1);
});

test('a link that leads out of the inbox is not followed', async () => {
  const before = leftovers(data);
  const link = (name, to) => symlinkSync(to, join(inbox, 'dev', name));
  const wanted = data.file('wanted.csv', CSV);
  link('file.csv', wanted);
  link('dir', data.files);
  link('far.csv', '../../../../../../../../../../etc/passwd');
  for (const [path, code] of [['file.csv', 'INBOX_PATH'], ['dir/wanted.csv', 'INBOX_PATH'], ['far.csv', 'INBOX_PATH'], ['dir/*.csv', 'MISSING_SOURCE']]) {
    const { status, json } = await server.post('/v1/datasets/csv/ingests', token, { sources: [{ path }] });
    const error = status === 202 ? await until(`${path} is refused`, async () => (await server.get(`/v1/jobs/${json.job}`, token)).json.error) : json;
    assert.equal(error.code, code, JSON.stringify(error));
    assert.match(error.hint, /symbolic links/);
    assert.ok(!JSON.stringify(error).includes(data.files), JSON.stringify(error));
  }
  await until('nothing is left', () => JSON.stringify(leftovers(data)) === JSON.stringify(before));
});

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
  for (const [path, place] of [[fifo, /not a regular file/], [data.files, /not a regular file/], [loop, /loop\.csv/],
    [join(data.files, 'none.csv'), /none\.csv/]]) {
    const result = await data.ingestCli('csv', { t: path });
    assert.equal(result.code, 1, result.stderr);
    assert.match(result.stderr, place);
  }
  assert.deepEqual(leftovers(data), before);
});

/* root reads everything: this takes it away, where it may. */
const asOther = process.getuid() === 0
  ? ['setpriv', '--bounding-set', '-dac_override,-dac_read_search', '--inh-caps', '-dac_override,-dac_read_search'] : [];
const tried = asOther.length ? spawnSync(asOther[0], [...asOther.slice(1), 'true'], { encoding: 'utf8' }) : { status: 0 };
const allReadable = tried.status !== 0 && `root reads everything here: ${tried.error?.message ?? tried.stderr.trim()}`;

test('a data directory of another user', { skip: allReadable }, async () => {
  const other = await Data.make('dev');
  chmodSync(other.directory, 0);
  const [program, ...args] = [...asOther, everlinePath, 'versions', 'csv', '--data', other.directory, '--tenant', 'dev'];
  const result = await run(program, args);
  chmodSync(other.directory, 0o700);
  assert.equal(result.code, 1, result.stdout);
  assert.match(result.stderr, /FORMAT: Permission denied\n {2}hint: .*run this as that user/);
});

test('a file that may not be read', { skip: allReadable }, async () => {
  const before = leftovers(data), locked = data.file('locked.csv', CSV);
  chmodSync(locked, 0);
  const [program, ...args] = [...asOther, everlinePath, 'ingest', 'csv', '--data', data.directory, '--tenant', 'dev', '--source', locked];
  const result = await run(program, args);
  assert.equal(result.code, 1, result.stderr);
  assert.match(result.stderr, /locked\.csv: Permission denied\n.*chmod/);
  assert.deepEqual(leftovers(data), before);
});
