// Metering: every request of a tenant is counted once, over servers, restarts and kills.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { assertProblem, Data } from '../kit/everline.mjs';
import { flipEach, flipValue } from '../kit/files.mjs';
import { roomInDay, until } from '../kit/process.mjs';
import { csv, THINGS, things } from '../kit/samples.mjs';

let data, first, second, token, admin;

before(async () => {
  await roomInDay();
  data = await Data.make('dev', 'other');
  await data.put(THINGS);
  await data.ingest('things', { things: data.file('things.csv', csv(things(5))) });
  [first, second] = await Promise.all([data.serve('--usage-interval', '20ms'), data.serve('--usage-interval', '20ms')]);
  token = await data.token({ subject: 'ada, "the first"' });
  admin = await data.token({ subject: 'admin' });
});
after(() => Promise.all([first?.stop(), second?.stop()]));

const record = (to, id = 't00000') => to.get(`/v1/datasets/things/records/${id}`, token);
const rows = async (to = first, who = admin) => (await to.get('/v1/usage', who)).json.items;
const row = async (operation, to) => (await rows(to)).find((one) => one.operation === operation && one.subject?.startsWith('ada'));
const settled = (operation, requests, to) => until(`${requests} of ${operation}`, async () => {
  const found = await row(operation, to);
  return found?.requests >= requests && found;
});

test('requests, keys, matches and bytes are counted exactly, over two servers', async () => {
  let bytes = 0;
  for (let n = 0; n < 10; n++) bytes += (await record(n % 2 ? first : second)).text.length;
  bytes += (await record(first, 'nothing')).text.length;
  assert.equal((await first.request('HEAD', '/v1/datasets/things/records/t00000', { token })).text, '');
  const one = await settled('getRecord', 12);
  assert.deepEqual([one.requests, one.keys, one.matches, one.bytes], [12, 12, 11, bytes]);
  assert.equal(one.dataset, 'things');
  assert.equal(one.day, new Date().toISOString().slice(0, 10));
  await first.get('/v1/datasets/nothing/records/x', token);
  const other = await until('what names no dataset', async () => (await rows()).find((each) => each.operation === 'getRecord' && !each.dataset));
  assert.deepEqual([other.requests, other.keys, other.matches], [1, 0, 0]);
  await first.request('POST', '/v1/datasets/things/lookup/batch', { token, body: { keys: [{ id: 't00000' }, { id: 'x' }, { id: 't00001' }] } });
  const batch = await settled('lookupBatch', 1);
  assert.deepEqual([batch.requests, batch.keys, batch.matches], [1, 3, 2]);
});

test('whoever makes up names makes no rows, however the requests are refused', async () => {
  const weak = await data.token({ scope: 'analytics:read', subject: 'guesser' });
  const refused = [
    [403, 'POST', 'lookup', { body: { key: { id: 'x' } } }], [415, 'PUT', '', { body: '{}', headers: { 'content-type': 'text/plain' }, token: admin }],
    [413, 'PUT', '', { body: 'x'.repeat(400_000), token: admin }], [412, 'PUT', '', { body: { ...THINGS, name: 'made-up' }, headers: { 'if-match': '*' }, token: admin }],
  ];
  for (const [status, method, rest, options] of refused)
    assert.equal((await first.request(method, `/v1/datasets/made-up${rest && `/${rest}`}`, { token: weak, ...options })).status, status);
  await until('they are counted', async () => (await rows()).filter((one) => one.operation === 'putDataset').reduce((sum, one) => sum + one.requests, 0) === 3);
  await until('so is the lookup', async () => (await rows()).some((one) => one.subject === 'guesser' && one.operation === 'lookup'));
  assert.deepEqual((await rows()).filter((one) => one.dataset === 'made-up'), []);
});

test('a stop loses nothing, a kill what is younger than the interval; nothing is counted twice', async () => {
  const slow = await data.serve('--usage-interval', '1h');
  for (let n = 0; n < 7; n++) await slow.get('/v1/datasets', token);
  await slow.stop();
  assert.equal((await settled('listDatasets', 7)).requests, 7);
  for (let n = 0; n < 5; n++) await second.get('/v1/datasets', token);
  await settled('listDatasets', 12);
  await second.stop('SIGKILL');
  second = await data.serve('--usage-interval', '20ms');
  await second.get('/v1/datasets', token);
  assert.equal((await settled('listDatasets', 13)).requests, 13);
});

test('exports count as the bytes that were sent, and once', async () => {
  let bytes = 0;
  for (const format of ['csv', 'ndjson', 'parquet']) {
    const reply = await first.get(`/v1/datasets/things/export?format=${format}`, token);
    assert.equal(reply.status, 200, reply.text);
    bytes += reply.sent;
    const one = await until(`the bytes of ${format}`, async () => {
      const found = await row('exportVersion');
      return found?.bytes >= bytes && found;
    });
    assert.equal(one.bytes, bytes, format);
  }
  assert.deepEqual(await row('exportVersion').then(({ dataset, requests, keys, job_seconds: seconds }) => [dataset, requests, keys, seconds]), ['things', 3, 0, 0]);
});

test('jobs count their seconds, of the subject that started them, over servers and restarts; those of commands of nobody', async () => {
  const body = csv(things(6)), worked = async (subject) => (await rows()).find((one) => one.operation === 'runJob' && (one.subject ?? null) === subject);
  let expected = 0;
  for (const [n, to] of [first, second].entries()) {
    const made = await to.post('/v1/datasets/things/ingests', token, body.replace('t00000', `new${n}`), { 'content-type': 'text/csv' });
    assert.equal(made.status, 202, made.text);
    const job = await until('the job has ended', async () => {
      const { json } = await to.get(`/v1/jobs/${made.json.job}`, token);
      return json.ended_at && json;
    });
    assert.equal(job.state, 'succeeded', JSON.stringify(job));
    expected += (Date.parse(job.ended_at) - Date.parse(job.started_at)) / 1000;
    const one = await worked('ada, "the first"');
    assert.ok(Math.abs(one.job_seconds - expected) < 0.01 * (n + 1), `${one.job_seconds} s, not ${expected}`);
    assert.deepEqual([one.dataset, one.requests, one.keys, one.bytes], ['things', 0, 0, 0]);
  }
  const before = await worked(null);
  assert.ok(before.job_seconds > 0, 'the ingest at the beginning');
  await second.stop('SIGKILL');
  second = await data.serve('--usage-interval', '20ms');
  const shown = (await rows(second)).filter((one) => one.operation === 'runJob');
  assert.deepEqual(shown.map((one) => one.job_seconds).sort(), [before.job_seconds, (await worked('ada, "the first"')).job_seconds].sort());
  await data.ingest('things', { things: data.file('again.csv', csv(things(7))) });
  assert.ok((await worked(null)).job_seconds > before.job_seconds);
});

test('subjects over the number of the tenant are not told apart, over two servers, and sums are exact', async () => {
  await data.ok(['tenant', 'put', 'crowd', '--max-usage-subjects', '2']);
  const tokens = [];
  for (const subject of ['one', 'two', 'three', 'four']) tokens.push(await data.token({ tenant: 'crowd', subject }));
  const counted = async (requests) => until(`${requests} are counted`, async () => {
    const found = (await rows(first, tokens[0])).filter((one) => one.operation === 'listDatasets');
    return found.reduce((sum, one) => sum + one.requests, 0) >= requests && found;
  });
  for (const [i, who] of tokens.entries()) {
    await until('the tenant is there', async () => (await first.get('/v1/datasets', who)).status === 200);
    await counted(2 * i + 1); // who comes first is told apart
    await second.get('/v1/datasets', who);
    await counted(2 * i + 2);
  }
  for (const who of tokens) await second.get('/v1/datasets', who);
  const found = (await counted(12)).map(({ subject, requests }) => `${subject} ${requests}`).sort();
  assert.deepEqual(found, ['* 6', 'one 3', 'two 3']);
});

test('the command line shows the same, and deletes a tenant without datasets', async () => {
  const shown = await data.json(['usage']);
  assert.ok(shown.items.some((one) => one.operation === 'listDatasets' && one.requests === 13));
  assert.match(await data.ok(['usage', '--from', '2026-01-01'], { tenant: 'dev' }), /listDatasets/);
  await data.ok(['tenant', 'put', 'short']);
  assert.match(await data.ok(['tenant', 'delete', 'short', '--reason', 'over']), /is deleted/);
  assert.equal((await data.cli(['tenant', 'get', 'short'])).code, 1);
  assert.match((await data.cli(['tenant', 'delete', 'dev', '--reason', 'x'])).stderr, /has datasets/);
});

test('it is CSV for who wants that, in pages, by days, and of the own tenant only', async () => {
  await first.get('/v1/jobs', await data.token({ subject: '=1+1' }));
  await until('the formula is counted', async () => (await rows(first)).some((one) => one.subject === '=1+1'));
  const reply = await first.request('GET', '/v1/usage', { token: admin, headers: { accept: 'text/csv' } });
  assert.match(reply.headers['content-type'], /^text\/csv/);
  const lines = reply.text.trimEnd().split('\n');
  assert.equal(lines[0], 'day,dataset,operation,subject,requests,keys,matches,bytes,job_seconds');
  assert.ok(lines.some((line) => line.includes(',listDatasets,"ada, ""the first""",13,0,0,') && line.endsWith(',0.000')), reply.text);
  assert.ok(lines.some((line) => line.includes(`,listJobs,'=1+1,1,`)), reply.text);
  assert.ok(lines.some((line) => /^[\d-]+,things,runJob,,0,0,0,0,\d+\.\d{3}$/.test(line)), reply.text);
  const seen = [];
  for (let cursor = ''; cursor !== null;) {
    const { json } = await first.get(`/v1/usage?limit=1${cursor && `&cursor=${encodeURIComponent(cursor)}`}`, admin);
    seen.push(...json.items);
    cursor = json.next;
  }
  const name = (one) => JSON.stringify([one.day, one.dataset, one.operation, one.subject]);
  assert.equal(new Set(seen.map(name)).size, seen.length);
  assert.ok(seen.length >= 4);
  assert.deepEqual((await first.get('/v1/usage?to=2020-01-01', admin)).json.items, []);
  assert.deepEqual((await first.get('/v1/usage?from=2999-01-01', admin)).json.items, []);
  for (const [wrong, code, says] of [['from=2026-13-01', 'INVALID_TIME', /not a day such as/], ['to=yesterday-', 'INVALID_TIME', /not a day such as/],
    ['from=2026-1-1', 'INVALID_PARAMETER', /must have 10 bytes$/], ['cursor=x', 'INVALID_CURSOR', /cursor/], ['cursor=2026-01-01%2Fx', 'INVALID_CURSOR', /cursor/]])
    assert.match(assertProblem(await first.get(`/v1/usage?${wrong}`, admin), 400, code).detail, says);
  const stranger = await data.token({ tenant: 'other' });
  assert.deepEqual((await rows(first, stranger)).filter((one) => one.subject?.startsWith('ada')), []);
});

test('a damaged row of usage begins anew and says so, a damaged number of subjects names no more, and all others go on', async () => {
  const own = await Data.make('dev', 'other'), catalog = join(own.directory, 'catalog.mdb');
  const one = await own.serve('--usage-interval', '20ms');
  const [ada, li, theirs] = await Promise.all([own.token({ subject: 'ada' }), own.token({ subject: 'li' }), own.token({ tenant: 'other' })]);
  const all = async (who) => (await one.get('/v1/usage', who)).json.items;
  const counted = (who, operation, requests, subject) => until(`${requests} of ${operation} of ${subject}`, async () =>
    (await all(who)).find((row) => row.operation === operation && row.subject === subject && row.requests === requests));
  try {
    for (let n = 0; n < 3; n++) await one.get('/v1/datasets', ada);
    /* The command is not counted: nothing is written any more while bytes are changed. */
    await until('all are counted', async () => (await own.json(['usage'])).items.find((row) => row.operation === 'listDatasets')?.requests === 3);
    flipEach(catalog, '"operation":"listDatasets"', 1);
    flipValue(catalog, `usage/dev/${new Date().toISOString().slice(0, 10)}`);
    const damaged = (await all(ada)).filter((row) => row.incomplete);
    assert.deepEqual(damaged.map(({ operation, subject, requests }) => [operation, subject, requests]), [['unreadable', undefined, 0]]);
    await one.get('/v1/jobs', theirs);
    await counted(theirs, 'listJobs', 1, 'tester');
    for (let n = 0; n < 2; n++) await one.get('/v1/datasets', ada);
    await one.get('/v1/jobs', ada);
    await one.get('/v1/jobs', li);
    assert.equal((await counted(ada, 'listDatasets', 2, 'ada')).incomplete, true);
    assert.equal((await counted(ada, 'listJobs', 1, 'ada')).incomplete, undefined);
    await counted(ada, 'listJobs', 1, '*');
    await one.logged('"event":"usage_damaged","message":"what tenant dev has used');
  } finally {
    assert.equal(await one.stop(), 0, one.log);
  }
});
