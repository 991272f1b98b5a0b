// Bad input to an ingest: a clear error, nothing lost, nothing left behind, the old version served.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { after, before, beforeEach, test } from 'node:test';
import { Data } from '../kit/everline.mjs';
import { filesBelow, leftovers } from '../kit/files.mjs';
import { everlinePath, start, until } from '../kit/process.mjs';
import { csv, keyOf, PEOPLE, PERSONS, THINGS, things } from '../kit/samples.mjs';

let data, server, token, state;
const HEAD = 'FIRST,LAST,BORN,SSN,ELIGIBLE,STATE,SCORE\n';
const GOOD = csv(PERSONS);
const SECRETS = ['Qwertz', 'Asdfgh', '1971-03-04', '123-45-6789', '6789'];
const person = (changes = {}) => ({ FIRST: 'Qwertz', LAST: 'Asdfgh', BORN: '1971-03-04', SSN: '123-45-6789',
  ELIGIBLE: 'yes', STATE: 'Ohio', SCORE: 1, ...changes });

before(async () => {
  data = await Data.make('dev');
  await data.put(PEOPLE);
  await data.put(THINGS);
  await data.ingest('people', { people: data.file('good.csv', GOOD) });
  await data.ingest('things', { things: data.file('things.csv', csv(things(10))) });
  server = await data.serve();
  token = await data.token();
});
after(() => server?.stop());

beforeEach(async () => {
  state = { files: leftovers(data), people: (await data.versions('people')).length, things: (await data.versions('things')).length };
});

/** Four digits stand in times and hashes by chance: they count only by themselves. */
const tells = (text, secret) =>
  /^\d+$/.test(secret) ? new RegExp(`(?<![0-9a-f])${secret}(?![0-9a-f])`).test(text) : text.includes(secret);

/** The ingest failed, said `wanted`, showed no value, and changed nothing. */
async function assertNothingChanged(result, wanted, { dataset = 'people', rowsLeft = 1, code = 1 } = {}) {
  assert.equal(result.code, code, `${result.stderr}${result.stdout}`);
  for (const pattern of [wanted].flat()) assert.match(result.stderr, pattern);
  for (const secret of SECRETS)
    assert.ok(!tells(`${result.stderr}${result.stdout}`, secret), `${secret} is in: ${result.stderr}`);
  assert.deepEqual(leftovers(data), state.files);
  const versions = await data.versions(dataset);
  assert.equal(versions.length, state[dataset] + rowsLeft);
  assert.equal(versions.find((row) => row.current).version, 1);
  if (rowsLeft) {
    const [row] = versions;
    assert.equal(row.state, 'FAILED');
    assert.ok(row.error.code && row.error.message, JSON.stringify(row.error));
    for (const secret of SECRETS) assert.ok(!tells(JSON.stringify(row), secret));
  }
  const key = dataset === 'people' ? keyOf(PERSONS[0]) : { id: 't00000' };
  assert.equal((await server.lookup(dataset, key, token)).json.version, 1);
}

const ingest = (text, name = 'bad.csv') => data.ingestCli('people', { people: data.file(name, text) });

test('a source that is missing', async () => {
  const result = await data.ingestCli('people', { people: `${data.files}/none.csv` });
  await assertNothingChanged(result, /none\.csv/, { rowsLeft: 0 });
});

test('a file whose name is not UTF-8 is not left out without a word', async () => {
  const one = data.file('latin-1.csv', csv(things(10)));
  writeFileSync(Buffer.concat([Buffer.from(one.slice(0, -5)), Buffer.of(0xe9), Buffer.from('.csv')]), csv(things(12).slice(10)));
  const result = await data.ingestCli('things', { things: one.replace('1.csv', '*') });
  await assertNothingChanged(result, /must be UTF-8/, { dataset: 'things', rowsLeft: 0 });
});

test('a source that the definition does not have', async () => {
  const result = await data.ingestCli('people', { persons: data.file('x.csv', GOOD) });
  await assertNothingChanged(result, /persons/, { rowsLeft: 0 });
});

test('of two sources one is missing, or has another name', async () => {
  await data.put({
    ...THINGS, name: 'pair', sources: { ...THINGS.sources, names: { format: 'csv' } },
    prepare: 'SELECT t.id, n.name AS colour, t.weight, t.made FROM things t JOIN names n ON n.colour = t.colour',
  });
  const [a, b] = [data.file('a.csv', csv(things(10))), data.file('b.csv', 'colour,name\nred,rouge\n')];
  const one = await data.ingestCli('pair', { things: a });
  await assertNothingChanged(one, /names/, { rowsLeft: 0 });
  const other = await data.ingestCli('pair', { things: a, nams: b });
  await assertNothingChanged(other, [/nams/, /names/], { rowsLeft: 0 });
  const bare = await data.cli(['ingest', 'pair', '--source', a, '--source', b], { tenant: 'dev' });
  await assertNothingChanged(bare, /names/, { rowsLeft: 0 });
  const row = await data.ingest('pair', { things: a, names: b });
  assert.equal(row.rows.accepted, things(10).filter((thing) => thing.colour === 'red').length);
  state.files = leftovers(data);
});

test('no source at all', async () => {
  const result = await data.cli(['ingest', 'people'], { tenant: 'dev' });
  await assertNothingChanged(result, /--source/, { rowsLeft: 0, code: 2 });
});

test('a dataset or tenant that is not there', async () => {
  const path = data.file('x.csv', GOOD);
  await assertNothingChanged(await data.ingestCli('nothing', { people: path }), /nothing/, { rowsLeft: 0 });
  await assertNothingChanged(await data.ingestCli('people', { people: path }, { tenant: 'nobody' }), /./, { rowsLeft: 0 });
});

test('a short row: file, line and what is wrong', async () => {
  const text = `${GOOD}Qwertz,Asdfgh,1971-03-04\n`;
  await assertNothingChanged(await ingest(text, 'short.csv'), /short\.csv.*(line |:)5/);
});

test('a long row', async () => {
  await assertNothingChanged(await ingest(`${GOOD}${'Qwertz,'.repeat(9)}\n`, 'long.csv'), /long\.csv.*(line |:)5/);
});

test('a short row behind a quoted line break is named by the line where it begins', async () => {
  const text = `${HEAD}"A\nB",C,1980-01-01,999-11-2222,yes,Ohio,1\nQwertz\n`;
  await assertNothingChanged(await ingest(text, 'broken.csv'), /broken\.csv.*(line |:)4/);
});

test('a file that ends inside a quote', async () => {
  await assertNothingChanged(await ingest(`${GOOD}"Qwertz,Asdfgh,1971-03-04\n`, 'open.csv'), /open\.csv/);
});

test('a value that is not of its column\'s declared type: file, line and column', async () => {
  const text = csv([...PERSONS, person({ SCORE: '6789x' })]);
  await assertNothingChanged(await ingest(text, 'type.csv'), [/type\.csv/, /5/, /SCORE/]);
});

test('a header without a column that prepare needs', async () => {
  await assertNothingChanged(await ingest(csv(PERSONS.map(({ SSN, ...rest }) => rest)), 'head.csv'), /SSN/, { rowsLeft: 0 });
});

test('a header without a declared column', async () => {
  await assertNothingChanged(await ingest(csv(PERSONS.map(({ SCORE, ...rest }) => rest)), 'head.csv'), /SCORE/, { rowsLeft: 0 });
});

test('an empty file, and one with a column twice or without a name', async () => {
  await assertNothingChanged(await ingest('', 'empty.csv'), /empty\.csv/, { rowsLeft: 0 });
  await assertNothingChanged(await ingest(`FIRST,LAST,FIRST\nQwertz,x,y\n`, 'double.csv'), /double\.csv:1:3/, { rowsLeft: 0 });
  await assertNothingChanged(await ingest(`FIRST,,LAST\nQwertz,x,y\n`, 'nameless.csv'), /nameless\.csv:1:2/, { rowsLeft: 0 });
});

test('a file without a header line: none of its values is told or kept', async () => {
  const headerless = csv([person(), person({ STATE: 'Iowa' })]).split('\n').slice(1).join('\n');
  await data.put({ ...PEOPLE, name: 'typeless', sources: { people: { format: 'csv' } } });
  await data.put({ ...PEOPLE, name: 'all', sources: { people: { format: 'csv' } }, prepare: 'SELECT * FROM people' });
  await data.put({ ...PEOPLE, name: 'rolled', sources: { people: { format: 'csv' } }, prepare: 'SELECT *, 1 AS first_name, 2 AS last_name, 3 AS dob, 4 AS ssn_last4, true AS eligible, 5 AS state, 6 AS score FROM people',
    rollups: { r: { dimensions: [], metrics: { m: 'sum(colour)' } } } });
  for (const [dataset, wanted] of [['people', /SCORE/], ['typeless', /FIRST/], ['all', /first_name/], ['rolled', /colour/]]) {
    const result = await data.ingestCli(dataset, { people: data.file('headerless.csv', headerless) });
    await assertNothingChanged(result, wanted, { rowsLeft: 0 });
  }
  for (const path of filesBelow(data.directory))
    for (const secret of SECRETS.slice(0, 4))
      assert.ok(!readFileSync(path).includes(secret), `${secret} is in ${path}`);
  for (const secret of SECRETS) assert.ok(!tells(server.log, secret));
});

test('a key field that is empty or not what its normaliser takes', async () => {
  for (const changes of [{ BORN: null }, { BORN: '1971-02-30' }, { BORN: '04.03.1971' }])
    await assertNothingChanged(await ingest(csv([...PERSONS, person(changes)])), /dob/)
      .then(async () => { state.people += 1; });
});

test('two records that share a key and differ', async () => {
  const text = csv([...PERSONS, person(), person({ STATE: 'Iowa', FIRST: 'QWERTZ' })]);
  await assertNothingChanged(await ingest(text, 'twice.csv'), /key/i);
});

test('the same record twice is one record, and is counted', async () => {
  const path = data.file('same.csv', csv([...things(10), things(10)[3]]));
  const row = await data.ingest('things', { things: path });
  const { read, prepared, accepted, rejected, duplicates } = row.rows;
  assert.deepEqual([read, prepared, accepted, rejected, duplicates], [11, 11, 10, 0, 1]);
  assert.equal(row.outcome, 'identical');
});

test('bytes that are not UTF-8', async () => {
  const text = Buffer.concat([Buffer.from(GOOD), Buffer.from('Qwertz\xff,Asdfgh,1971-03-04,123-45-6789,yes,Ohio,1\n', 'latin1')]);
  await assertNothingChanged(await ingest(text, 'latin1.csv'), /latin1\.csv/);
});

test('a Parquet source that is none', async () => {
  const definition = { ...THINGS, name: 'parquet', sources: { things: { format: 'parquet' } } };
  await data.put(definition);
  const result = await data.ingestCli('parquet', { things: data.file('x.parquet', 'PAR1 not really') });
  assert.equal(result.code, 1);
  assert.match(result.stderr, /x\.parquet cannot be read as a Parquet file/);
  assert.deepEqual(leftovers(data), state.files);
});

test('a gzip file is read as what is in it, whatever its name is', async () => {
  await data.put({ ...THINGS, name: 'zipped' });
  const text = csv(things(2000));
  const plain = await data.ingest('zipped', { things: data.file('plain.csv', text) });
  const packed = gzipSync(text);
  const zipped = await data.ingest('zipped', { things: data.file('zipped.csv', packed) });
  assert.equal(zipped.outcome, 'identical');
  assert.equal(zipped.rows.read, 2000);
  assert.equal(zipped.sources[0].bytes, packed.length);
  assert.equal(zipped.sources[0].sha256, createHash('sha256').update(packed).digest('hex'));
  const half = text.indexOf('\n', text.length / 2) + 1; // two members, as after cat a.gz b.gz
  const members = Buffer.concat([gzipSync(text.slice(0, half)), gzipSync(text.slice(half))]);
  assert.equal((await data.ingest('zipped', { things: data.file('members.csv.gz', members) })).segments[0].sha256,
               plain.segments[0].sha256);
  state.files = leftovers(data);
});

test('a gzip file that is cut or damaged', async () => {
  const zipped = gzipSync(GOOD);
  await assertNothingChanged(await ingest(zipped.subarray(0, zipped.length - 6), 'cut.csv.gz'), [/cut\.csv\.gz/, /ends within/]);
  const last = (await data.versions('people')).length;
  const damaged = Buffer.from(zipped);
  damaged[zipped.length - 6] ^= 1; // its checksum
  const result = await ingest(damaged, 'damaged.csv.gz');
  assert.equal(result.code, 1);
  assert.match(result.stderr, /damaged\.csv\.gz is a damaged gzip file/);
  assert.equal((await data.versions('people')).length, last); // found out with the header already
});

test('zstd, NDJSON and a dialect give what plain CSV gives', async () => {
  await data.put({ ...THINGS, name: 'formats' });
  const rows = things(500);
  const plain = await data.ingest('formats', { things: data.file('plain.csv', csv(rows)) });
  execFileSync('zstd', ['-q', '-f', join(data.files, 'plain.csv'), '-o', join(data.files, 'packed.csv')]);
  const packed = await data.ingest('formats', { things: join(data.files, 'packed.csv') });
  const columns = Object.fromEntries(Object.keys(rows[0]).map((name) => [name, 'VARCHAR']));
  await data.put({ ...THINGS, name: 'formats', sources: { things: { format: 'ndjson', columns } } });
  const lines = rows.map((row) => JSON.stringify(row)).join('\n');
  const json = await data.ingest('formats', { things: data.file('things.ndjson.gz', gzipSync(lines)) });
  await data.put({ ...THINGS, name: 'formats', sources: { things: { format: 'csv', delimiter: '\t', quote: '', null: '-',
    header: false, names: Object.keys(rows[0]) } } });
  const tabs = rows.map((row) => Object.values(row).map((value) => value ?? '-').join('\t')).join('\r\n');
  const dialect = await data.ingest('formats', { things: data.file('things.tsv', tabs) });
  for (const row of [packed, json, dialect]) {
    assert.equal(row.rows.read, 500);
    assert.equal(row.outcome, 'identical');
    assert.equal(row.segments[0].sha256, plain.segments[0].sha256);
  }
  state.files = leftovers(data);
});

test('a zip bomb', async () => {
  const bomb = gzipSync(Buffer.concat([Buffer.from('FIRST,LAST\n'), Buffer.alloc(90 << 20, '\n')]));
  await data.put({ ...PEOPLE, name: 'bomb', sources: { people: { format: 'csv', header: false, names: ['FIRST'] } },
    prepare: "SELECT FIRST AS first_name, FIRST AS last_name, FIRST AS dob, FIRST AS ssn_last4, true AS eligible, FIRST AS state, 1 AS score FROM people" });
  const result = await data.ingestCli('bomb', { people: data.file('bomb.gz', bomb) });
  await assertNothingChanged(result, [/bomb\.gz inflates to more than 200 times/, /--inflate-ratio/], { rowsLeft: 0 });
});

test('a line in a gzip file is named as in what is in it', async () => {
  await assertNothingChanged(await ingest(gzipSync(`${GOOD}Qwertz,Asdfgh,1971-03-04\n`), 'short.csv.gz'), /short\.csv\.gz.*(line |:)5/);
});

test('several files of one source are one source', async () => {
  const rows = things(30);
  await data.put({ ...THINGS, name: 'parts' });
  for (const [i, name] of ['a', 'b', 'c'].entries()) data.file(`part-${name}.csv`, csv(rows.slice(10 * i, 10 * i + 10)));
  const row = await data.ingest('parts', { things: `${data.files}/part-*.csv` });
  assert.equal(row.rows.accepted, 30);
  assert.deepEqual(row.rows.sources, [{ name: 'things', read: 30, parsed: 30, unparsable: 0 }]);
  assert.deepEqual(row.sources, ['a', 'b', 'c'].map((name) => {
    const bytes = readFileSync(join(data.files, `part-${name}.csv`));
    return { name: 'things', file: `part-${name}.csv`, bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
  }));
  const all = await data.ingest('parts', { things: data.file('whole.csv', csv([...rows].reverse())) });
  assert.equal(all.outcome, 'identical', 'the same records in another order give the same bytes');
});

test('ingests of one dataset at the same time wait for each other, in order', async () => {
  await data.put({ ...THINGS, name: 'burst' });
  const begin = (name, rows) => start(everlinePath, ['ingest', 'burst', '--data', data.directory, '--tenant', 'dev',
    '--output', 'json', '--source', data.file(name, csv(rows))]);
  const build = join(data.directory, 'build');
  const first = begin('first.csv', things(200_000));
  await until('the first builds', () => readdirSync(build).length > 0 || first.exited);
  first.child.kill('SIGSTOP');
  const others = [];
  try {
    assert.ok(!first.exited, first.stderr);
    for (const name of ['second.csv', 'third.csv']) {
      const other = begin(name, things(10, others.length + 2));
      others.push(other);
      await until(`${name} waits`, () => /waiting/.test(other.stderr) || other.exited);
      assert.equal(readFileSync(`/proc/${other.pid}/limits`, 'utf8').match(/Max core file size +(\d+)/)[1], '0');
    }
    const last = begin('fourth.csv', things(5));
    await until('the fourth waits', () => /waiting/.test(last.stderr) || last.exited);
    last.child.kill('SIGINT');
    assert.equal((await last.ended).code, 1, last.stderr);
    const [job] = (await data.json(['jobs', 'list', '--dataset', 'burst'])).items;
    assert.deepEqual([job.state, job.error.code, job.error.message], ['canceled', 'CANCELED', 'cancelled by signal 2']);
  } finally {
    first.child.kill('SIGCONT');
  }
  for (const [i, job] of [first, ...others].entries()) {
    assert.equal((await job.ended).code, 0, job.stderr);
    const row = JSON.parse(job.stdout);
    assert.equal(row.version, i + 1);
    assert.equal(row.outcome, 'flipped');
    assert.equal(/waiting/.test(job.stderr), i > 0, job.stderr);
  }
});

test('limits that cannot be are wrong usage', async () => {
  const path = data.file('x.csv', GOOD);
  for (const flags of [['--threads', '0'], ['--threads', '4294967297'], ['--inflate-ratio', '0'], ['--memory', '0'], ['--memory', '1'],
    ['--memory', '9999999TiB'], ['--adopt-timeout', '99999999d']]) {
    const result = await data.cli(['ingest', 'people', '--source', path, ...flags], { tenant: 'dev' });
    await assertNothingChanged(result, new RegExp(flags[0]), { rowsLeft: 0, code: 2 });
  }
});

const broken = [
  ['an unknown column in prepare', { prepare: PEOPLE.prepare.replace('STATE', 'STAT') , sources: { people: { ...PEOPLE.sources.people, columns: { FIRST: 'VARCHAR', LAST: 'VARCHAR', BORN: 'VARCHAR', SSN: 'VARCHAR', ELIGIBLE: 'VARCHAR', STATE: 'VARCHAR', SCORE: 'INTEGER' }, columns_complete: true } } }, [/prepare/, /STAT/]],
  ['SQL that does not parse', { prepare: 'SELEC x FROM people' }, [/prepare/, /SELEC/]],
  ['two statements', { prepare: 'SELECT 1; SELECT 2' }, /prepare/],
  ['something else than SELECT', { prepare: 'CREATE TABLE x(a INTEGER)' }, /prepare/],
  ['a file in SQL', { prepare: "SELECT * FROM read_csv('/etc/passwd')" }, /prepare/],
  ['a volatile function', { prepare: 'SELECT random() AS first_name FROM people' }, /random/],
  ['a type that is none', { record: { eligible: 'BOOLEEN', state: 'VARCHAR' } }, [/record\/eligible/]],
  ['a record field that prepare does not give', { record: { ...PEOPLE.record, colour: 'VARCHAR' }, sources: { people: { ...PEOPLE.sources.people, columns: { FIRST: 'VARCHAR', LAST: 'VARCHAR', BORN: 'VARCHAR', SSN: 'VARCHAR', ELIGIBLE: 'VARCHAR', STATE: 'VARCHAR', SCORE: 'INTEGER' }, columns_complete: true } } }, /colour/],
  ['a key field in the record', { record: { ...PEOPLE.record, dob: 'VARCHAR' } }, /dob/],
  ['an unknown member', { colour: 'red' }, /colour/],
  ['an unknown normaliser', { key: { ...PEOPLE.key, normalize: { dob: 'dates' } } }, /normalize\/dob/],
  ['a reserved name', { record: { ...PEOPLE.record, version: 'VARCHAR' } }, /version/],
  ['a metric outside the list', { rollups: { r: { dimensions: ['state'], metrics: { m: 'median(score)' } } } }, /rollups\/r\/metrics\/m/],
  ['a name that cannot be', { name: 'No Name' }, /name/],
];
for (const [name, changes, wanted] of broken)
  test(`a definition with ${name} is refused with its place, and nothing changes`, async () => {
    const result = await data.putCli({ ...PEOPLE, ...changes });
    assert.equal(result.code, 1, result.stderr);
    for (const pattern of [wanted].flat()) assert.match(result.stderr, pattern);
    assert.deepEqual(JSON.parse(await data.ok(['dataset', 'get', 'people'], { tenant: 'dev' })).definition, PEOPLE);
  });

test('a definition that is not JSON is refused with line and column', async () => {
  const result = await data.cli(['dataset', 'put', data.file('x.json', '{\n  "name": "x",,\n}')], { tenant: 'dev' });
  assert.equal(result.code, 1);
  assert.match(result.stderr, /line 2/);
});

test('taking away what clients read needs force', async () => {
  const { score, ...record } = PEOPLE.record;
  const next = { ...PEOPLE, name: 'people', record };
  const refused = await data.putCli(next);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /record\/score/);
  await data.put(next, { force: true });
  const other = await data.ingest('people', { people: data.file('again.csv', GOOD) });
  assert.equal(other.outcome, 'flipped');
});
