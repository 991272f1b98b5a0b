// The audit: who looked up what and who changed what, in lines that nobody removes, changes or
// reorders unnoticed; without it protected datasets are not answered.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { assertProblem, Data, everline } from '../kit/everline.mjs';
import { buildersOf, ingestPath, run, start, until } from '../kit/process.mjs';
import { csv } from '../kit/samples.mjs';

const PEOPLE = {
  name: 'people',
  sources: { people: { format: 'csv', columns: { eligible: 'BOOLEAN' } } },
  prepare: 'SELECT name, ssn, eligible FROM people',
  key: { fields: ['name', 'ssn'], normalize: { name: 'person_name', ssn: 'digits' }, protect: 'hmac-sha256' },
  record: { eligible: 'BOOLEAN' },
};
const ASKED = { ...PEOPLE, name: 'asked', require_purpose: true };
const ADA = { name: 'Ada Lovelace', ssn: '0042' }, NOBODY = { name: 'Nobody', ssn: '9999' };
let data, server, token;

before(async () => {
  data = await Data.make('dev', 'other');
  const rows = data.file('people.csv', csv([{ ...ADA, eligible: true }, { name: 'Li', ssn: '0001', eligible: false }]));
  for (const tenant of ['dev', 'other'])
    for (const definition of [PEOPLE, ASKED]) {
      await data.put(definition, { tenant });
      await data.ingest(definition.name, { people: rows }, { tenant });
    }
  server = await data.serve('--audit-interval', '5ms');
  token = await data.token();
});
after(() => server?.stop());

const lookup = (key, { dataset = 'people', headers, who = token, to = server } = {}) =>
  to.request('POST', `/v1/datasets/${dataset}/lookup`, { token: who, body: { key }, headers });

/** Lines that a query finds, all pages. */
async function audit(query, { who = token, limit = 1000, to = server } = {}) {
  const items = [];
  for (let cursor = ''; cursor !== null;) {
    const reply = await to.get(`/v1/audit?limit=${limit}&${query}${cursor && `&cursor=${encodeURIComponent(cursor)}`}`, who);
    assert.equal(reply.status, 200, reply.text);
    items.push(...reply.json.items);
    cursor = reply.json.next;
  }
  return items;
}
const line = (query, options) => until(`a line of ${query}`, async () => (await audit(query, options))[0]);
const verify = async (tenant = 'dev', directory = data) => {
  const { code, stdout } = await directory.cli(['audit', 'verify', '--tenant', tenant, '--output', 'json']);
  return { code, ...JSON.parse(stdout) };
};
const files = (tenant) => readdirSync(join(data.directory, 'audit', tenant)).map((name) => join(data.directory, 'audit', tenant, name));
const linesOf = (path) => readFileSync(path, 'utf8').split('\n').slice(0, -1);

test('a lookup is noted with who, what, which version, outcome and purpose, and without its key', async () => {
  const found = await lookup(ADA, { headers: { 'x-request-id': 'first', 'x-purpose': 'enrolment check' } });
  assert.equal(found.json.outcome, 'match');
  const one = await line('request_id=first');
  assert.deepEqual({ ...one, seq: 0, at: '', keys: one.keys.length, key_id: '', token_id: '' },
    { seq: 0, at: '', event: 'lookup', dataset: 'people', version: 1, outcome: 'match', subject: 'tester', token_id: '',
      address: '127.0.0.1', request_id: 'first', purpose: 'enrolment check', key_id: '', keys: 1, found: '1', chain: 1 });
  assert.match(one.keys[0], /^[0-9a-f]{32}$/);
  assert.ok(one.token_id && one.key_id.startsWith('hmac-'));
  const missed = await lookup(NOBODY, { headers: { 'x-request-id': 'second' } });
  assert.equal(missed.json.outcome, 'no_match');
  const other = await line('request_id=second');
  assert.deepEqual([other.outcome, other.found], ['no_match', '0']);
  assert.notEqual(other.keys[0], one.keys[0]);
});

test('the same key is found again, and is another in another dataset and tenant', async () => {
  await lookup(ADA, { headers: { 'x-request-id': 'a1' } });
  const [{ keys: [key] }] = [await line('request_id=a1')];
  await lookup({ ssn: '0042', name: 'ADA lovelace' }, { headers: { 'x-request-id': 'a2' } });
  await lookup(ADA, { dataset: 'asked', headers: { 'x-request-id': 'a3', 'x-purpose': 'x' } });
  const who = await data.token({ tenant: 'other' });
  await lookup(ADA, { who, headers: { 'x-request-id': 'a4' } });
  assert.deepEqual((await line('request_id=a2')).keys, [key]);
  assert.notEqual((await line('request_id=a3')).keys[0], key);
  assert.notEqual((await line('request_id=a4', { who })).keys[0], key);
  const ids = (await audit(`key=${key}`)).map((one) => one.request_id);
  assert.ok(ids.includes('a1') && ids.includes('a2') && !ids.includes('a3'));
});

test('a batch is one line with every key', async () => {
  const reply = await server.request('POST', '/v1/datasets/people/lookup/batch',
    { token, body: { keys: [ADA, NOBODY, ADA] }, headers: { 'x-request-id': 'batch' } });
  assert.equal(reply.status, 200);
  const one = await line('request_id=batch');
  assert.deepEqual([one.outcome, one.found, one.keys.length], ['batch', '101', 3]);
  assert.equal(one.keys[0], one.keys[2]);
});

test('the command finds what the server finds, by each filter, here and on a server', async () => {
  await lookup(ADA, { headers: { 'x-request-id': 'told', 'x-purpose': 'a "purpose", twice' } });
  await lookup(ADA, { headers: { 'x-request-id': 'after' } });
  const { at: to } = await line('request_id=after'), one = await line('request_id=told'), all = await audit('');
  const far = { EVERLINE_URL: server.url, EVERLINE_TOKEN: token };
  const both = async (...args) => {
    const near = await data.cli(['audit', 'search', ...args], { tenant: 'dev' }), there = await everline(['audit', 'search', ...args], { env: far });
    assert.deepEqual([there.code, there.stdout], [near.code, near.stdout], there.stderr + near.stderr);
    return near;
  };
  const filters = { dataset: one.dataset, event: one.event, outcome: one.outcome, subject: one.subject, token_id: one.token_id,
    request_id: 'told', key: one.keys[0], from: one.at };
  for (const [name, value] of Object.entries(filters)) {
    const { code, stdout, stderr } = await both(`--${name.replace('_', '-')}`, value, '--to', to, '--limit', '5000', '--output', 'json');
    assert.equal(code, 0, stderr);
    const { items } = JSON.parse(stdout);
    assert.ok(items.some(({ request_id: id }) => id === 'told') && items.length < all.length, name);
    assert.deepEqual(items, await audit(new URLSearchParams({ [name]: value, to })), name);
  }
  assert.equal(JSON.parse((await both('--to', to, '--limit', '2', '--output', 'json')).stdout).items.length, 2);
  const [heading, row, ...more] = (await both('--request-id', 'told')).stdout.trimEnd().split('\n');
  assert.match(heading, /^AT +EVENT +OUTCOME +DATASET +VERSION +SUBJECT +ACTOR +PURPOSE +REASON +REQUEST$/);
  assert.match(row, /^\S+Z +lookup +match +people +1 +tester +- +a "purpose", twice +- +told$/);
  assert.deepEqual(more, []);
  const { stdout: text } = await both('--request-id', 'told', '--output', 'csv');
  assert.equal(text, 'at,chain,seq,event,dataset,version,status,outcome,target,actor,subject,token_id,address,request_id,purpose,reason,key_id,keys,found\n'
    + `${one.at},${one.chain},${one.seq},lookup,people,1,,match,,,tester,${one.token_id},127.0.0.1,told,"a ""purpose"", twice",,${one.key_id},${one.keys[0]},1\n`);
  assert.ok((await both('--outcome', 'batch', '--output', 'csv')).stdout.split('\n')[1].endsWith(',101'));
  // what a client writes is neither a formula nor obeyed by a terminal; JSON has it exactly
  const subject = '@SUM(1)\u001b[31m\u009b\n', purpose = '=HYPERLINK("http://x.example","y")\tz';
  await lookup(ADA, { who: await data.token({ subject }), headers: { 'x-request-id': '-2.3', 'x-purpose': purpose } });
  await line('request_id=-2.3');
  const [odd] = JSON.parse((await both('--request-id=-2.3', '--output', 'json')).stdout).items;
  assert.deepEqual([odd.subject, odd.purpose, odd.request_id], [subject, purpose, '-2.3']);
  assert.match((await both('--request-id=-2.3', '--output', 'csv')).stdout, /,'@SUM\(1\) \[31m {3},[^,]+,127\.0\.0\.1,'-2\.3,"'=HYPERLINK\(""http:\/\/x\.example"",""y""\) z",,/);
  await both('--request-id=-2.3');
  assert.deepEqual((await data.cli(['audit', 'search', '--request-id', 'told'], { tenant: 'other' })).stdout.split('\n').length, 2);
  for (const [args, code, says] of [[['--output', 'xml'], 2, /table, json or csv/], [['--limit', '0'], 2, /--limit/], [['--limit', '10001'], 2, /--limit/],
    [['--key', 'zz'], 2, /--key: 32 hex/], [['--event', ''], 2, /--event is empty/], [['--outcome', 'nonsense'], 2, /one of match, no_match/], [['--from', 'yesterday'], 2, /--from: not an RFC 3339 time/]])
    for (const run of [data.cli(['audit', 'search', ...args], { tenant: 'dev' }), everline(['audit', 'search', ...args], { env: far })]) {
      const wrong = await run;
      assert.deepEqual([wrong.code, wrong.stdout], [code, ''], args.join(' '));
      assert.match(wrong.stderr, says);
    }
  assert.match((await data.cli(['audit', 'search'], { tenant: 'nobody' })).stderr, /no tenant/);
  const reader = await everline(['audit', 'search'], { env: { ...far, EVERLINE_TOKEN: await data.token({ scope: 'data:read' }) } });
  assert.equal(reader.code, 1, reader.stderr);
  assert.match(reader.stderr, /audit:read/);
});

test('a filter whose value can be none is refused', async () => {
  const reader = await data.token();
  for (const [filter, why] of [['outcome=nonsense', /one of match, no_match, batch, limited, done, refused, unknown, repeated, begun/], ['outcome=', /one of match/],
    ['from=yesterday!', /from/], ['to=2026-13-01T00:00:00Z', /to/], ['key=short', /32 bytes/], ['limit=0', /limit/], ['what=ever', /what/]]) {
    const refused = await server.get(`/v1/audit?${filter}`, reader);
    assert.equal(refused.status, 400, `${filter}: ${refused.text}`);
    assert.match(refused.json.detail, why, filter);
  }
});

test('a dataset that requires a purpose is not answered without one', async () => {
  assertProblem(await lookup(ADA, { dataset: 'asked' }), 400, 'PURPOSE_REQUIRED');
  assertProblem(await lookup(ADA, { dataset: 'asked', headers: { 'x-purpose': 'x'.repeat(201) } }), 400);
  assert.equal((await lookup(ADA, { dataset: 'asked', headers: { 'x-purpose': 'why' } })).status, 200);
});

test('acts are noted with their reasons, over HTTP and from the command line, also when refused', async () => {
  const rows = data.file('more.csv', csv([{ ...ADA, eligible: false }]));
  await data.ingest('people', { people: rows });
  const reply = await server.request('POST', '/v1/datasets/people/rollback', { token, body: { reason: 'wrong file', from: 2 } });
  assert.equal(reply.status, 200, reply.text);
  const act = await line('event=rollBack&outcome=done');
  assert.deepEqual([act.dataset, act.reason, act.subject, act.status], ['people', 'wrong file', 'tester', 200]);
  await data.ok(['promote', 'people', '2', '--reason', 'it was right'], { tenant: 'dev' });
  for (const outcome of ['begun', 'done']) {
    const typed = await line(`event=promoteVersion&outcome=${outcome}`);
    assert.deepEqual([typed.reason, typed.version, typed.outcome], ['it was right', 2, outcome]);
    assert.match(typed.actor, /^cli:/);
  }
  const reader = await data.token({ scope: 'data:read', subject: 'reader' });
  assertProblem(await server.request('POST', '/v1/datasets/people/rollback', { token: reader, body: { reason: 'x', from: 2 } }), 403);
  const refused = await line('event=rollBack&outcome=refused&subject=reader');
  assert.equal(refused.status, 403);
});

test('text of a request that is not UTF-8 takes nothing else of its line, and stops nobody', async () => {
  const reader = await data.token({ tenant: 'other', scope: 'data:read', subject: 'odd' });
  const odd = { token: reader, body: { reason: 'x' }, headers: { 'x-request-id': 'odd' } };
  assertProblem(await server.request('POST', '/v1/datasets/%FF/rollback', odd), 403, 'SCOPE_MISSING');
  assertProblem(await server.request('POST', '/v1/jobs/%FF/cancel', odd), 403, 'SCOPE_MISSING');
  const key = { ...odd, body: Buffer.from(JSON.stringify({ key: ADA })) }; // beside bytes, headers are sent as Latin-1
  await server.request('POST', '/v1/datasets/people/lookup', { ...key, headers: { ...odd.headers, 'x-purpose': 'caf\u00e9' } });
  const lines = await until('they are written', async () => {
    const found = await audit('request_id=odd', { who: await data.token({ tenant: 'other' }) });
    return found.length === 3 && found;
  });
  const GONE = '(not UTF-8)';
  assert.deepEqual(lines.map(({ event, dataset, target, purpose, subject }) => [event, dataset, target, purpose, subject]).sort(),
    [['cancelJob', undefined, GONE, undefined, 'odd'], ['lookup', 'people', undefined, GONE, 'odd'], ['rollBack', GONE, undefined, undefined, 'odd']]);
});

test('an ingest and an export of the command line are noted: begun, and what came of it', async (t) => {
  const mine = await Data.make('dev');
  await mine.put(PEOPLE);
  const rows = mine.file('people.csv', csv([{ ...ADA, eligible: true }]));
  await mine.ingest('people', { people: rows });
  await mine.ok(['export', 'people', '--output', join(mine.files, 'people.csv.out')], { tenant: 'dev' });
  await mine.ok(['get', '/v1/datasets/people/export?format=csv'], { tenant: 'dev' });
  const wrong = await mine.ingestCli('people', { people: mine.file('wrong.csv', 'name,ssn,eligible\nAda,1,perhaps\n') });
  assert.equal(wrong.code, 1, wrong.stderr);
  assert.equal((await mine.ingestCli('nobody', { people: rows })).code, 1, 'nothing was begun');
  const slow = mine.file('slow.csv', csv(Array.from({ length: 100_000 }, (_, i) => ({ name: 'x', ssn: i, eligible: true }))));
  const killed = start(ingestPath, ['ingest', 'people', '--data', mine.directory, '--tenant', 'dev', '--source', slow]);
  await until('it works', () => killed.exited || buildersOf(killed.pid).length > 0, undefined, 0);
  killed.child.kill('SIGKILL');
  assert.equal((await killed.ended).signal, 'SIGKILL');

  const one = await mine.serve('--audit-interval', '5ms');
  t.after(() => one.stop());
  const who = await mine.token();
  assert.equal((await one.get('/v1/datasets/people/export?format=parquet', who)).status, 200);
  await line('event=exportVersion&subject=tester', { who, to: one });
  const noted = await audit('', { who, to: one });
  const of = (event, also) => noted.filter((each) => each.event === event && also(each)).reverse()
    .map(({ outcome, version = 0, actor = '' }) => [outcome, version, actor.slice(0, 4)]);
  assert.deepEqual(of('createIngest', () => true), [['begun', 0, 'cli:'], ['done', 1, 'cli:'], ['begun', 0, 'cli:'],
    ['refused', 2, 'cli:'], ['begun', 0, 'cli:'], ['unknown', 0, 'cli:']]);
  assert.deepEqual(of('exportVersion', ({ subject }) => !subject),
    [['begun', 1, 'cli:'], ['done', 1, 'cli:'], ['begun', 1, 'cli:'], ['done', 1, 'cli:']]);
  assert.deepEqual(of('exportVersion', ({ subject }) => subject), [['done', 1, '']], 'by HTTP: once, whoever writes the file');
  assert.equal((await verify('dev', mine)).ok, true);
});

test('without the audit nothing is ingested or exported', async () => {
  const mine = await Data.make('dev');
  await mine.put(PEOPLE);
  const rows = mine.file('people.csv', csv([{ ...ADA, eligible: true }])), out = join(mine.files, 'out.csv');
  await mine.ingest('people', { people: rows });
  renameSync(join(mine.directory, 'audit'), join(mine.directory, 'away'));
  writeFileSync(join(mine.directory, 'audit'), 'in the way');
  for (const args of [['ingest', 'people', '--source', rows], ['export', 'people', '--output', out],
    ['get', '/v1/datasets/people/export?format=csv']]) {
    const result = await mine.cli(args, { tenant: 'dev' });
    assert.equal(result.code, 1);
    assert.match(result.stderr, /the audit cannot be written, and nothing was done/);
    assert.equal(result.stdout, '');
  }
  assert.ok(!existsSync(out));
  assert.equal((await mine.versions('people')).length, 1);
});

test('without the audit no tenant is made; one is there with all that was said of it, or not at all', async () => {
  const mine = await Data.make('dev');
  renameSync(join(mine.directory, 'audit'), join(mine.directory, 'away'));
  writeFileSync(join(mine.directory, 'audit'), 'in the way');
  const refused = await mine.cli(['tenant', 'put', 'new', '--disable', '--max-datasets', '1']);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /the audit cannot be written, and nothing was done/);
  assert.deepEqual((await mine.json(['tenant', 'list'], { tenant: null })).items.map((one) => one.tenant), ['dev']);
  rmSync(join(mine.directory, 'audit'));
  renameSync(join(mine.directory, 'away'), join(mine.directory, 'audit'));
  await mine.ok(['tenant', 'put', 'new', '--disable', '--max-datasets', '1']);
  const { enabled, limits } = await mine.json(['tenant', 'get', 'new'], { tenant: null });
  assert.deepEqual([enabled, limits.max_datasets], [false, 1]);
  assert.equal((await verify('new', mine)).ok, true);
});

test('a search narrows by dataset and time, pages through everything once, and is bound to its tenant and datasets', async () => {
  const all = await audit('');
  const paged = await audit('', { limit: 2 });
  const name = (one) => `${one.chain}.${one.seq}`;
  const known = new Set(paged.map(name));
  assert.equal(known.size, paged.length);
  for (const one of all) assert.ok(known.has(name(one)), name(one));
  for (let i = 1; i < all.length; i++) assert.ok(all[i - 1].at >= all[i].at);
  const asked = await audit('dataset=asked');
  assert.ok(asked.length > 0 && asked.every((one) => one.dataset === 'asked'));
  const middle = all[all.length >> 1].at, [older, newer] = [await audit(`to=${middle}`), await audit(`from=${middle}`)];
  assert.ok(older.every((one) => one.at < middle));
  assert.ok(newer.every((one) => one.at >= middle));
  assert.ok(older.length + newer.length >= all.length);
  for (const wrong of ['x', '2026-01-31T00:00:00.000000Z', '2026-01-31T00:00:00.000000Z.1.x'])
    assertProblem(await server.get(`/v1/audit?cursor=${wrong}`, token), 400, 'INVALID_CURSOR');
  const narrow = await data.token({ datasets: ['asked'] });
  const seen = await audit('', { who: narrow });
  assert.ok(seen.length >= asked.length && seen.every((one) => one.dataset === 'asked'));
  const stranger = await data.token({ tenant: 'other' });
  assert.equal((await audit('request_id=first', { who: stranger })).length, 0);
  assertProblem(await server.get('/v1/audit', await data.token({ scope: 'data:read' })), 403);
});

test('when it cannot be written, protected datasets are not answered; what was taken is written later', async (t) => {
  const mine = await Data.make('dev');
  await mine.put(PEOPLE);
  await mine.ingest('people', { people: mine.file('people.csv', csv([{ ...ADA, eligible: true }])) });
  renameSync(join(mine.directory, 'audit'), join(mine.directory, 'away'));
  writeFileSync(join(mine.directory, 'audit'), 'in the way');
  const one = await mine.serve('--audit-interval', '5ms');
  t.after(() => one.stop());
  const who = await mine.token();
  await until('it is noticed', async () => (await lookup(ADA, { who, to: one })).status === 503);
  assertProblem(await lookup(ADA, { who, to: one }), 503, 'AUDIT_UNAVAILABLE');
  assertProblem(await one.request('POST', '/v1/datasets/people/rollback', { token: who, body: { reason: 'x', from: 1 } }), 503, 'AUDIT_UNAVAILABLE');
  assert.match((await one.get('/metrics')).text, /^everline_audit_failing 1$/m);
  assert.equal((await one.get('/v1/datasets', who)).status, 200);
  const refused = await mine.cli(['promote', 'people', '1', '--reason', 'x'], { tenant: 'dev' });
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /nothing was done/);
  rmSync(join(mine.directory, 'audit'));
  renameSync(join(mine.directory, 'away'), join(mine.directory, 'audit'));
  await until('it is written again', async () => (await lookup(ADA, { who, to: one })).status === 200);
  await line('event=lookup', { who, to: one });
  await one.stop();
  assert.equal((await verify('dev', mine)).ok, true);
});

test('a line that was removed, changed, reordered or cut off is found', async () => {
  for (let i = 0; i < 20; i++) await lookup(ADA, { headers: { 'x-request-id': `n${i}` } });
  await line('request_id=n19');
  await server.stop(); /* anchors what it wrote */
  const whole = await verify();
  assert.deepEqual([whole.code, whole.ok], [0, true], JSON.stringify(whole));
  const path = files('dev').find((one) => linesOf(one).length > 20);
  const right = readFileSync(path), lines = linesOf(path), n = lines.length;
  const write = (list) => writeFileSync(path, list.map((one) => `${one}\n`).join(''));
  const wrong = {
    removed: [...lines.slice(0, 5), ...lines.slice(6)],
    'the first removed': lines.slice(1),
    'a run removed': [...lines.slice(0, 3), ...lines.slice(9)],
    changed: lines.map((one, i) => (i === 4 ? one.replace('"outcome":"', '"outcome":"un') : one)),
    'changed at its end': lines.map((one, i) => (i === n - 1 ? one.replace('"event":"', '"event":"x') : one)),
    reordered: [lines[1], lines[0], ...lines.slice(2)],
    doubled: [...lines.slice(0, 7), ...lines.slice(6)],
    inserted: [...lines.slice(0, 2), lines[2].replace('"seq":3', '"seq":2'), ...lines.slice(2)],
    'cut off': lines.slice(0, n - 1),
    'cut off to nothing': [],
    'renumbered hash': lines.map((one, i) => (i === 6 ? one.replace(/[0-9a-f]{64}"}$/, `${'0'.repeat(64)}"}`) : one)),
  };
  for (const [what, list] of Object.entries(wrong)) {
    assert.notDeepEqual(list, lines, what);
    write(list);
    const report = await verify();
    assert.deepEqual([report.code, report.ok], [1, false], what);
    assert.ok(report.problems.length > 0 && report.problems[0].tenant === 'dev', what);
  }
  rmSync(path);
  assert.equal((await verify()).ok, false, 'the file removed');
  writeFileSync(path, right);
  chmodSync(path, 0o600);
  assert.equal((await verify()).ok, true);
  assert.equal((await verify('other')).ok, true);
});

test('a server goes on with the chain, behind half a line that a crash has left', async () => {
  const path = files('dev').find((one) => linesOf(one).length > 20);
  writeFileSync(path, '{"seq":99,"at":"20', { flag: 'a' });
  const before = linesOf(path).length;
  const next = await data.serve('--audit-interval', '5ms');
  await lookup(ADA, { headers: { 'x-request-id': 'after' }, to: next });
  await line('request_id=after', { to: next });
  await next.stop();
  assert.ok(linesOf(path).length > before);
  assert.equal((await verify()).ok, true);
  assert.ok(existsSync(path));
});

test('the lines that a server has written are counted', async () => {
  const one = await data.serve('--audit-interval', '5ms');
  const written = async () => Number((await one.get('/metrics')).text.match(/^everline_audit_lines_total (\d+)$/m)[1]);
  try {
    assert.equal(await written(), 0);
    for (const key of [ADA, NOBODY, ADA]) await lookup(key, { to: one, headers: { 'x-request-id': 'counted' } });
    await until('they are written', async () => (await written()) >= 3);
    assert.equal(await written(), 3);
    assert.equal((await audit('request_id=counted', { to: one })).length, 3);
  } finally {
    await one.stop();
  }
});

test('a server that is killed has written what is older than the interval', async () => {
  const next = await data.serve('--audit-interval', '5ms');
  await lookup(ADA, { headers: { 'x-request-id': 'killed' }, to: next });
  await line('request_id=killed', { to: next });
  await next.stop('SIGKILL');
  assert.equal((await verify()).ok, true);
  const again = await data.serve();
  assert.equal((await audit('request_id=killed', { to: again })).length, 1);
  await again.stop();
});

/** Lines of a chain as a server would have written them: `hash` is that of the line before. */
function writeChain(directory, chain, files, tenant = 'dev') {
  mkdirSync(join(directory, 'audit', tenant), { recursive: true, mode: 0o700 });
  let hash = createHash('sha256').update(`everline audit 1\n${tenant}\n${chain}\n`).digest(), seq = 0;
  for (const { days, lines } of files) {
    const at = new Date(Date.now() - days * 86400_000), path = join(directory, 'audit', tenant, `${chain}-${String(seq + 1).padStart(12, '0')}.jsonl`);
    writeFileSync(path, lines.map((id) => {
      const body = `{"seq":${seq += 1},"at":"${at.toISOString().replace('Z', '000Z')}","event":"lookup","request_id":"${id}"`;
      hash = createHash('sha256').update(hash).update(body).digest();
      return `${body},"hash":"${hash.toString('hex')}"}\n`;
    }).join(''), { mode: 0o600 });
    utimesSync(path, at, at);
  }
}

test('what is too old is put away, and the oldest when there is too much, and what is left is whole', async (t) => {
  const mine = await Data.make('dev', 'other'), who = await mine.token();
  writeChain(mine.directory, 7, [{ days: 20, lines: ['a1', 'a2', 'a3'] }, { days: 5, lines: ['b1'] }, { days: 0, lines: ['c1'] }]);
  writeChain(mine.directory, 8, [{ days: 6, lines: ['d1'] }, { days: 0, lines: ['e1'] }]);
  writeChain(mine.directory, 9, [{ days: 30, lines: ['f1'] }, { days: 20, lines: ['f2', 'f3'] }]); // whose processes are no more
  assert.deepEqual(await verify('dev', mine).then(({ code, ok }) => [code, ok]), [0, true]);
  const left = async (to) => (await audit('event=lookup', { who, to })).map((one) => one.request_id).filter((id) => /^[a-f]\d$/.test(id)).sort().join(' ');

  const one = await mine.serve('--audit-retention', '10d');
  await until('what is too old is gone', async () => (await left(one)) === 'b1 c1 d1 e1');
  await one.logged('tenant dev: 3 files are put away');
  await one.stop();
  assert.deepEqual(await verify('dev', mine).then(({ code, ok }) => [code, ok]), [0, true]);

  await mine.ok(['tenant', 'put', 'dev', '--max-audit-bytes', '1']);
  const two = await mine.serve('--audit-retention', '10d');
  t.after(() => two.stop());
  await until('the newest file of each chain is left', async () => (await left(two)) === 'c1 e1');
  assert.deepEqual(await verify('dev', mine).then(({ code, ok }) => [code, ok]), [0, true]);
  assert.equal((await verify('other', mine)).ok, true);
});

test('what a server puts away while it is verified is no fault, and a fault beside it is one', async () => {
  const mine = await Data.make('dev'), directory = join(mine.directory, 'audit', 'dev'), first = join(directory, '5-000000000001.jsonl');
  writeChain(mine.directory, 5, [{ days: 0, lines: ['a1', 'a2'] }]);
  const right = readFileSync(first, 'utf8');
  for (const [chain, text, expected] of [[7, right, [0, true, []]], [8, right.replace('"a2"', '"a3"'), [1, false, ['5-000000000001.jsonl']]]]) {
    writeChain(mine.directory, chain, [{ days: 20, lines: ['b1'] }, { days: 0, lines: ['b2'] }]);
    rmSync(first);
    assert.equal((await run('mkfifo', [first])).code, 0);
    const verifying = mine.cli(['audit', 'verify', '--output', 'json']);
    const pipe = await open(first, 'w'); // it knows the files, and waits for this one
    const server = await mine.serve('--audit-retention', '10d');
    await until('what is too old is gone', () => !existsSync(join(directory, `${chain}-000000000001.jsonl`)));
    await server.stop();
    writeFileSync(`${first}.new`, text, { mode: 0o600 });
    renameSync(`${first}.new`, first);
    await pipe.writeFile(text);
    await pipe.close();
    const { code, stdout, stderr } = await verifying;
    const { ok, problems } = JSON.parse(stdout || '{}');
    assert.deepEqual([code, ok, problems?.map(({ file }) => file)], expected, stdout + stderr);
  }
});

test('a copy beside it, and a directory of the file system, are nobody\'s audit', async () => {
  const mine = await Data.make('dev'), beside = join(mine.directory, 'audit');
  writeChain(mine.directory, 7, [{ days: 5, lines: ['a1'] }]);
  cpSync(join(beside, 'dev'), join(beside, 'dev.bak'), { recursive: true });
  mkdirSync(join(beside, 'lost+found'));
  writeFileSync(join(beside, 'lost+found', '7-000000000001.jsonl'), 'x\n');
  const { code, stdout } = await mine.cli(['audit', 'verify']);
  assert.equal(code, 0, stdout);
  assert.match(stdout, /^\d+ lines read, 0 problems$/m);
});

test('the audit of a deleted tenant stays, is verified, and goes when it is too old', async (t) => {
  const mine = await Data.make('dev', 'gone'), directory = join(mine.directory, 'audit', 'gone');
  writeChain(mine.directory, 7, [{ days: 20, lines: ['a1', 'a2'] }, { days: 5, lines: ['b1'] }], 'gone');
  await mine.ok(['tenant', 'delete', 'gone', '--reason', 'over']);
  const whole = async (...more) => (await mine.cli(['audit', 'verify', ...more])).code === 0;
  assert.ok(await whole() && await whole('--tenant', 'gone'));
  const newest = join(directory, '7-000000000003.jsonl'), right = readFileSync(newest, 'utf8');
  const changed = (text) => { writeFileSync(newest, text); utimesSync(newest, Date.now() / 1000, Date.now() / 1000 - 5 * 86400); };
  changed(right.replace('b1', 'b2'));
  assert.ok(!(await whole()) && !(await whole('--tenant', 'gone')));
  changed(right);
  const deletion = readdirSync(directory).find((name) => readFileSync(join(directory, name), 'utf8').includes('"deleteTenant"'));

  const server = await mine.serve('--audit-retention', '10d');
  t.after(() => server.stop());
  const left = () => readdirSync(directory).sort();
  await until('what is too old is gone', () => left().length === 2);
  assert.deepEqual(left(), ['7-000000000003.jsonl', deletion].sort());
  assert.ok(await whole());
  renameSync(directory, join(mine.directory, 'gone.away'));
  const missing = await mine.cli(['audit', 'verify']);
  assert.equal(missing.code, 1, 'the catalog knows of it');
  assert.match(missing.stdout, /^gone\/.*the files of this chain are missing/m);
  assert.match((await mine.cli(['audit', 'verify', '--tenant', 'never'])).stderr, /there is no tenant "never"/);
});
