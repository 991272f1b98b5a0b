// The catalog is not a single point of ruin: when it is lost or damaged every command says so and how to
// go on, none dies of it, and the head files give it back.
import assert from 'node:assert/strict';
import { closeSync, cpSync, existsSync, openSync, readFileSync, renameSync, rmSync, statSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { assertProblem, Data, everline } from '../kit/everline.mjs';
import { flipByte, flipEach, flipValue } from '../kit/files.mjs';
import { tempDir, until } from '../kit/process.mjs';
import { csv, keyOf, PEOPLE, PERSONS, THINGS, things } from '../kit/samples.mjs';

const PAGE = 4096;
const rows = things(200);
const KEYS = rows.map(({ id }) => ({ id }));

let made;
/** Two datasets, one with three versions, of which the second is served; a copy for each test. */
async function prepared() {
  made ??= (async () => {
    const data = await Data.make('dev');
    await data.put(THINGS);
    await data.put(PEOPLE);
    for (const count of [100, 200, 150])
      await data.ingest('things', { things: data.file(`${count}.csv`, csv(rows.slice(0, count))) });
    await data.ingest('people', { people: data.file('p.csv', csv(PERSONS)) });
    await data.ok(['rollback', 'things', '--reason', 'a test'], { tenant: 'dev' });
    const server = await data.serve();
    const answers = await answersOf(server, await data.token());
    await server.stop();
    assert.equal(answers.things.version, 2);
    return { original: data, answers };
  })();
  const { original, answers } = await made;
  const data = original.copy();
  return { data, answers, catalog: join(data.directory, 'catalog.mdb') };
}

/** Everything that the two datasets answer. */
async function answersOf(server, token) {
  const answers = {};
  for (const [name, keys] of [['things', KEYS], ['people', PERSONS.map(keyOf)]]) {
    const reply = await server.batch(name, keys, token);
    assert.equal(reply.status, 200, reply.text);
    answers[name] = reply.json;
  }
  const rollup = await server.get('/v1/datasets/things/rollups/by_colour', token);
  assert.equal(rollup.status, 200, rollup.text);
  answers.rollup = rollup.json;
  return answers;
}

function overwrite(path, page, byte) {
  const fd = openSync(path, 'r+');
  writeSync(fd, Buffer.alloc(PAGE, byte), 0, PAGE, page * PAGE);
  closeSync(fd);
}

/** The number of a page that is in use: the root of the main table, as the newer meta page says. */
function rootPage(path) {
  const file = readFileSync(path);
  const meta = (page) => ({ root: Number(file.readBigUInt64LE(page * PAGE + 128)), txn: file.readBigUInt64LE(page * PAGE + 144) });
  return [meta(0), meta(1)].sort((a, b) => (a.txn < b.txn ? 1 : -1))[0].root;
}

const damages = {
  deleted: (path) => rmSync(path),
  emptied: (path) => truncateSync(path, 0),
  'cut to one page': (path) => truncateSync(path, PAGE),
  'cut at a page': (path) => truncateSync(path, 4 * PAGE),
  'cut at an odd byte': (path) => truncateSync(path, Math.floor(statSync(path).size / 3) + 77),
  'a meta page zeroed': (path) => overwrite(path, 0, 0),
  'a page zeroed': (path) => overwrite(path, rootPage(path), 0),
  'a page overwritten': (path) => overwrite(path, rootPage(path), 0xa5),
  'a bit of a page number flipped': (path) => flipByte(path, rootPage(path) * PAGE),
  'a bit of a length flipped': (path) => flipByte(path, rootPage(path) * PAGE + 12),
  'other bytes under its name': (path) => { truncateSync(path, 0); truncateSync(path, 64 * PAGE); },
};
const COMMANDS = [['versions', 'things', '--tenant', 'dev'], ['tenant', 'list'], ['tenant', 'put', 'other'], ['verify'],
  ['rollback', 'things', '--tenant', 'dev', '--reason', 'x'], ['backup', '--to', join(tempDir('backups'), 'x')],
  ['ingest', 'things', '--tenant', 'dev', '--source', 'none.csv'],
  ['serve', '--listen', '127.0.0.1:0'], ['get', '/v1/datasets', '--tenant', 'dev']];
for (const [name, damage] of Object.entries(damages))
  test(`${name}: every command says so, and a rebuild brings everything that was served back`, async () => {
    const { data, answers, catalog } = await prepared();
    damage(catalog);
    for (const command of COMMANDS) {
      const result = await data.cli(command);
      assert.equal(result.signal, null, `${command.join(' ')}: ${result.stderr}`);
      assert.equal(result.code, 1, `${command.join(' ')}: ${result.stdout}${result.stderr}`);
      assert.match(result.stderr, /the catalog is damaged/, command.join(' '));
      assert.ok(result.stderr.includes(`everline catalog rebuild --data ${data.directory}`), result.stderr);
    }
    const report = await data.json(['catalog', 'rebuild'], { tenant: null });
    assert.deepEqual([report.rebuilt, report.tenants, report.datasets, report.made, report.damaged],
      [true, 1, 2, [], []]);
    assert.ok(report.not_restored.length > 0);
    if (name === 'deleted') assert.equal(report.aside, null);
    else assert.ok(existsSync(report.aside), 'the old one is kept');
    assert.equal((await data.cli(['verify', '--deep'])).code, 0);
    assert.deepEqual((await data.versions('things')).map((row) => [row.version, row.state, row.rows.accepted]),
      [[3, 'QUARANTINED', 150], [2, 'SUCCEEDED', 200], [1, 'SUCCEEDED', 100]]);
    const server = await data.serve();
    try {
      const token = await data.token();
      assert.deepEqual(await answersOf(server, token), answers);
      const [event] = (await server.get('/v1/datasets/things/events', token)).json.items;
      assert.equal(event.event, 'rebuilt');
      // And life goes on: the next version has the next number.
      const row = await data.ingest('things', { things: data.file('next.csv', csv(rows)) });
      assert.deepEqual([row.version, row.outcome], [4, 'identical']);
    } finally {
      assert.equal(await server.stop(), 0, server.log);
    }
  });

/* What is done to the catalog of a running server. */
const whileOpen = {
  'cut to nothing': (path) => truncateSync(path, 0),
  'cut to its two beginnings': (path) => truncateSync(path, 2 * PAGE),
  'cut at an odd byte': (path) => truncateSync(path, Math.floor(statSync(path).size / 2) + 77),
  deleted: (path) => rmSync(path),
  'replaced by a copy': (path) => { cpSync(path, `${path}.copy`); renameSync(`${path}.copy`, path); },
};
for (const [name, damage] of Object.entries(whileOpen))
  test(`${name} while a server runs: it serves on, says so and moves nothing; then a rebuild`, async () => {
    const { data, answers, catalog } = await prepared();
    let server = await data.serve();
    try {
      const token = await data.token();
      damage(catalog);
      for (const [path, body] of [['rollback', { from: 2 }], ['versions/3/promote', {}]])
        assertProblem(await server.post(`/v1/datasets/things/${path}`, token, { reason: 'x', ...body }), 503, 'DAMAGED');
      await until('it is noticed', async () => (await server.get('/readyz?verbose')).json.catalog === 'damaged');
      assert.equal((await server.get('/readyz')).status, 200);
      assert.match((await server.get('/metrics')).text, /^everline_catalog_damaged 1$/m);
      assert.deepEqual(await answersOf(server, token), answers);
      await server.logged(`everline catalog rebuild --data ${data.directory}`);
      if (name !== 'replaced by a copy') {
        const { code, stderr } = await data.cli(['versions', 'things', '--tenant', 'dev']);
        assert.equal(code, 1);
        assert.match(stderr, /the catalog is damaged/);
      }
      assert.deepEqual(await answersOf(server, token), answers);
    } finally {
      assert.equal(await server.stop(), 0, server.log);
    }
    const rebuilt = await data.cli(['catalog', 'rebuild']);
    if (rebuilt.code !== 0) assert.match(rebuilt.stderr, /nothing is wrong with the catalog/);
    server = await data.serve();
    try {
      assert.deepEqual(await answersOf(server, await data.token()), answers);
    } finally {
      assert.equal(await server.stop(), 0, server.log);
    }
  });

test('a catalog that was away for a moment is used again', async () => {
  const { data, answers, catalog } = await prepared();
  const server = await data.serve();
  try {
    const token = await data.token();
    const state = async () => (await server.get('/readyz?verbose')).json.catalog;
    renameSync(catalog, `${catalog}.away`);
    await until('it is missed', async () => (await state()) === 'damaged');
    renameSync(`${catalog}.away`, catalog);
    await until('it is there again', async () => (await state()) === 'ok');
    const reply = await server.post('/v1/datasets/things/rollback', token, { reason: 'a test', from: 2 });
    assert.equal(reply.status, 200, reply.text);
    assert.notDeepEqual((await server.batch('things', KEYS, token)).json, answers.things);
  } finally {
    assert.equal(await server.stop(), 0, server.log);
  }
});

test('what fails again and again is said less and less often, and answers go on', async () => {
  const { data, answers, catalog } = await prepared();
  const server = await data.serve();
  try {
    const token = await data.token();
    flipEach(catalog, '"updated_at"', 1); /* every definition, too */
    const said = () => [...server.log.matchAll(/"ts":"([^"]+)".*"event":"upkeep"/g)].map(([, time]) => Date.parse(time));
    await until('it was said four times', () => said().length >= 4);
    const [first, second, third, fourth] = said();
    assert.ok(fourth - third > 1.5 * (second - first), `${first} ${second} ${third} ${fourth}`);
    assert.deepEqual(await answersOf(server, token), answers);
  } finally {
    assert.equal(await server.stop(), 0, server.log);
  }
});

/** The entry of the head of dev/things, wherever the file has it. */
const damageHead = (catalog) => flipEach(catalog, '"tenant":"dev","dataset":"things","sequence"', 1);

/** What a server answers while that head is damaged, whether it was before the server began or not. */
async function assertOnlyThatIsOut(server, data, token, answers) {
  const path = '/v1/datasets/things';
  assert.deepEqual((await server.batch('people', PERSONS.map(keyOf), token)).json, answers.people);
  for (const [method, where, body] of [['POST', '/lookup', { key: KEYS[0] }], ['GET', '/records/t00001?version=1'],
    ['GET', '/rollups/total'], ['GET', ''], ['GET', '/versions'], ['PUT', '', THINGS], ['DELETE', '?reason=x'],
    ['POST', '/rollback', { reason: 'x', from: 2 }], ['POST', '/ingests', { sources: [{ source: 'things', path: 'x.csv' }] }]]) {
    const problem = assertProblem(await server.request(method, `${path}${where}`, { token, body }), 503);
    assert.match(problem.hint, /everline catalog rebuild/, `${method} ${where}`);
  }
  const ready = await server.get('/readyz?verbose');
  assert.deepEqual([ready.status, ready.json.late, ready.json.unavailable, ready.json.reasons], [200, 0, 1, { CATALOG_DAMAGED: 1 }]);
  assert.match((await server.get('/metrics')).text, /^everline_datasets_unavailable 1$/m);
  await server.logged(/"event":"unavailable".*dev\/things: the catalog is damaged/);
  const seen = (list) => list.map(({ name, current, problem }) => [name, current, problem]);
  const listed = [['people', 1, undefined], ['things', null, 'CATALOG_DAMAGED']];
  assert.deepEqual(seen((await server.get('/v1/datasets', token)).json.items), listed);
  assert.deepEqual(seen((await data.json(['dataset', 'list'])).items), listed);
  assert.match(await data.ok(['dataset', 'list'], { tenant: 'dev' }), /^things .*CATALOG_DAMAGED$/m);
}

test('a damaged head takes out its dataset: the server starts, serves the others, and says what mends it', async () => {
  const { data, answers, catalog } = await prepared();
  await data.ok(['tenant', 'put', 'other']);
  await data.put(THINGS, { tenant: 'other' });
  damageHead(catalog);
  const server = await data.serve();
  try {
    await assertOnlyThatIsOut(server, data, await data.token(), answers);
    assert.equal((await data.ingestCli('things', { things: data.file('more.csv', csv(rows)) })).code, 1);
    for (const [name, tenant, source] of [['people', 'dev', { people: data.file('two.csv', csv(PERSONS.slice(1))) }],
      ['things', 'other', { things: data.file('theirs.csv', csv(rows)) }]])
      assert.equal((await data.ingest(name, source, { tenant })).outcome, 'flipped');
  } finally {
    assert.equal(await server.stop(), 0, server.log);
  }
  for (const more of [[], ['--deep']]) {
    const { code, stdout } = await data.cli(['verify', ...more, '--output', 'json']);
    const report = JSON.parse(stdout);
    assert.deepEqual([code, report.versions, report.problems.map((one) => `${one.tenant}/${one.dataset}`)], [1, 3, ['dev/things']]);
    assert.match(report.problems[0].hint, /everline catalog rebuild/);
  }
  await data.ok(['catalog', 'rebuild']);
  assert.equal((await data.cli(['verify', '--deep'])).code, 0);
  assert.deepEqual((await data.versions('things')).map((row) => row.state), ['QUARANTINED', 'SUCCEEDED', 'SUCCEEDED']);
});

test('a head that is damaged while a server runs takes out its dataset, and the server stays ready', async () => {
  const { data, answers, catalog } = await prepared();
  const server = await data.serve();
  try {
    const token = await data.token();
    assert.deepEqual(await answersOf(server, token), answers);
    damageHead(catalog);
    await data.ok(['tenant', 'put', 'other']); // a commit, after which servers look
    await until('it is noticed', async () => (await server.get('/readyz?verbose')).json.unavailable === 1);
    await assertOnlyThatIsOut(server, data, token, answers);
  } finally {
    assert.equal(await server.stop(), 0, server.log);
  }
});

/** The row of the tenant "other", wherever the file has it. */
const damageTenant = (catalog) => flipEach(catalog, '"tenant":"other","enabled"', 1);

async function assertOnlyThatTenantIsOut(server, data, token, theirs) {
  for (const [method, path, body] of [['POST', '/v1/datasets/things/lookup', { key: KEYS[0] }], ['GET', '/v1/datasets'],
    ['PUT', '/v1/datasets/things', THINGS], ['GET', '/v1/tenants']]) {
    const problem = assertProblem(await server.request(method, path, { token: theirs, body }), 503, 'TENANT_UNAVAILABLE');
    assert.match(problem.hint, /everline catalog rebuild/);
  }
  const forged = `${theirs.split('.').slice(0, 2).join('.')}.${token.split('.')[2]}`;
  assertProblem(await server.get('/v1/datasets', forged), 401, 'UNAUTHORIZED');
  const ready = await server.get('/readyz?verbose');
  assert.deepEqual([ready.status, ready.json.late, ready.json.unavailable, ready.json.reasons], [200, 0, 1, { CATALOG_DAMAGED: 1 }]);
  await server.logged(/"event":"tenant_damaged".*tenant other is not served/);
  assert.equal(server.log.match(/"event":"tenant_damaged"/g).length, 1, 'said once');
  assert.deepEqual((await server.get('/v1/tenants', token)).json.items.map(({ tenant, problem }) => [tenant, problem]),
    [['dev', undefined], ['other', 'CATALOG_DAMAGED']]);
  assert.match(await data.ok(['tenant', 'list']), /^other .*CATALOG_DAMAGED$/m);
  for (const [method, body] of [['GET'], ['PUT', {}], ['DELETE']]) {
    const problem = assertProblem(await server.request(method, `/v1/tenants/other${body || method === 'GET' ? '' : '?reason=x'}`, { token, body }), 503);
    assert.match(problem.hint, /everline catalog rebuild/);
  }
  const job = await server.post('/v1/datasets/things/ingests', token, { sources: [{ source: 'things', upload: await upload(server, token) }] });
  assert.equal(job.status, 202, job.text);
  const ended = await until('its turn comes', async () => {
    const { json } = await server.get(job.headers.location, token);
    return ['succeeded', 'failed'].includes(json.state) && json;
  });
  assert.equal(ended.state, 'succeeded', JSON.stringify(ended));
  await until('the new version is served', async () => (await server.lookup('things', KEYS[0], token)).json.version === ended.version);
}

const upload = async (server, token) => (await server.post('/v1/uploads', token, csv(rows.slice(0, 120)), { 'content-type': 'text/csv' })).json.upload;

async function withOther() {
  const { data, catalog } = await prepared();
  await data.ok(['tenant', 'put', 'other', '--max-datasets', '7']);
  await data.put(THINGS, { tenant: 'other' });
  await data.ingest('things', { things: data.file('theirs.csv', csv(rows)) }, { tenant: 'other' });
  return { data, catalog, token: await data.token(), theirs: await data.token({ tenant: 'other' }) };
}

test('a damaged row of a tenant takes out that tenant: the server starts, and serves, builds and refreshes the others', async () => {
  const { data, catalog, token, theirs } = await withOther();
  const quiet = await data.serve('--ingest-workers', '0');
  const waiting = await quiet.post('/v1/datasets/things/ingests', theirs, { sources: [{ source: 'things', upload: await upload(quiet, theirs) }] });
  assert.equal(waiting.status, 202, waiting.text);
  await quiet.stop();
  damageTenant(catalog);
  const server = await data.serve();
  try {
    await assertOnlyThatTenantIsOut(server, data, token, theirs);
    assert.ok(!server.log.includes('"event":"upkeep"'), server.log);
  } finally {
    assert.equal(await server.stop(), 0, server.log);
  }
  const { code, stdout } = await data.cli(['verify', '--output', 'json']);
  assert.deepEqual([code, JSON.parse(stdout).problems.map((one) => [one.tenant, one.dataset])], [1, [['other', null]]]);
  assert.match((await data.cli(['verify'])).stdout, /^tenant other: the catalog is damaged: .+\n {2}stop what uses it/m);
  await data.ok(['catalog', 'rebuild']);
  assert.equal((await data.cli(['verify', '--deep'])).code, 0);
  assert.equal((await data.json(['tenant', 'get', 'other'], { tenant: null })).limits.max_datasets, 7);
  const again = await data.serve();
  try {
    assert.equal((await again.lookup('things', KEYS[0], await data.token({ tenant: 'other' }))).json.outcome, 'match');
  } finally {
    await again.stop();
  }
});

test('a row of a tenant that is damaged while a server runs takes out that tenant', async () => {
  const { data, catalog, token, theirs } = await withOther();
  const server = await data.serve();
  try {
    assert.equal((await server.lookup('things', KEYS[0], theirs)).json.outcome, 'match');
    damageTenant(catalog);
    await data.put({ ...PEOPLE, description: 'a commit, after which servers look' });
    await until('it is noticed', async () => (await server.get('/readyz?verbose')).json.unavailable === 1);
    await assertOnlyThatTenantIsOut(server, data, token, theirs);
  } finally {
    assert.equal(await server.stop(), 0, server.log);
  }
});

test('a damaged revocation refuses what it may be of, and keeps nothing else from being taken in', async () => {
  const { data, answers, catalog } = await prepared();
  const [mine, ada, other] = [await data.token(), await data.token({ subject: 'ada' }), await data.token({ subject: 'li' })];
  const revoke = (...what) => data.ok(['token', 'revoke', ...what, '--reason', 'a test'], { tenant: 'dev' });
  const status = async (server, token) => (await server.get('/v1/datasets', token)).status;
  let server = await data.serve();
  try {
    await revoke('--subject', 'ada');
    await until('ada is refused', async () => (await status(server, ada)) === 401);
    flipEach(catalog, '{"until_s":', 2);
    await revoke('--subject', 'li');
    await until('the next one is known', async () => (await status(server, other)) === 401);
    await server.logged(/"event":"revocation_damaged","message":"tokens of tenant dev/);
    for (let round = 0; round < 2; round++) {
      const later = await data.token({ subject: 'ada' });
      assert.deepEqual([await status(server, ada), await status(server, later), await status(server, mine)], [401, 401, 200]);
      assert.deepEqual(await answersOf(server, mine), answers);
      if (round === 1) break;
      assert.equal(await server.stop(), 0, server.log);
      server = await data.serve();
    }
  } finally {
    await server.stop();
  }
});

test('a damaged counter of revocations keeps nothing from being taken in, and the next one mends it', async () => {
  const { data, catalog } = await prepared();
  const [mine, ada, other] = [await data.token(), await data.token({ subject: 'ada' }), await data.token({ subject: 'li' })];
  const revoke = (...what) => data.ok(['token', 'revoke', ...what, '--reason', 'a test'], { tenant: 'dev' });
  const status = async (token) => (await server.get('/v1/datasets', token)).status;
  const described = async () => (await server.get('/v1/datasets/people', mine)).json.description;
  let server = await data.serve();
  try {
    await revoke('--subject', 'ada');
    await until('ada is refused', async () => (await status(ada)) === 401);
    flipValue(catalog, 'revocations');
    await data.put({ ...PEOPLE, description: 'a commit, after which servers look' });
    const { version } = await data.ingest('things', { things: data.file('more.csv', csv(rows.slice(0, 180))) });
    await until('the new version is served', async () => (await server.lookup('things', KEYS[0], mine)).json.version === version);
    await server.logged('"event":"revocations_damaged"');
    assert.equal(server.log.match(/"event":"revocations_damaged"/g).length, 1, 'said once');
    assert.deepEqual([await status(ada), await status(other), await status(mine)], [401, 200, 200]);
    assert.equal(await server.stop(), 0, server.log);
    server = await data.serve();
    assert.deepEqual([await status(ada), await status(other), await status(mine)], [401, 200, 200]);
    assert.equal(await described(), 'a commit, after which servers look');
    await revoke('--subject', 'li');
    await until('the next one is known', async () => (await status(other)) === 401);
    await revoke('--jti', 'nobody');
    assert.deepEqual([await status(ada), await status(mine), (await data.cli(['verify', '--deep'])).code], [401, 200, 0]);
  } finally {
    await server.stop();
  }
});

test('a damaged tally of jobs keeps no job from ending, and begins again with it', async () => {
  const { data, catalog } = await prepared();
  const server = await data.serve();
  const metric = async (name) => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec((await server.get('/metrics')).text)?.[1]);
  const succeeded = 'everline_jobs_total\\{state="succeeded"\\}';
  try {
    assert.equal(await metric('everline_job_tally_damaged'), 0);
    flipValue(catalog, 'jobs_ended');
    await data.put({ ...PEOPLE, description: 'a commit, after which servers look' });
    await until('it is told', async () => await metric('everline_job_tally_damaged') === 1);
    const reply = await server.post('/v1/datasets/things/ingests?name=more.csv', await data.token(), csv(rows.slice(0, 180)), { 'content-type': 'text/csv' });
    assert.equal(reply.status, 202, reply.text);
    await until('the job has ended, and is counted', async () => await metric(succeeded) === 1 && await metric('everline_job_tally_damaged') === 0);
    const { stdout } = await data.cli(['jobs', 'show', reply.json.job, '--output', 'json'], { tenant: 'dev' });
    assert.equal(JSON.parse(stdout).state, 'succeeded', stdout);
    await server.logged('"event":"tally_damaged"');
  } finally {
    await server.stop();
  }
  assert.equal((await data.cli(['verify', '--deep'])).code, 0);
});

test('damaged counters keep no job from being taken, leased and ended: they go on from the time', async () => {
  const { data, catalog } = await prepared();
  const server = await data.serve(), token = await data.token();
  const ingest = async (count) => (await server.post('/v1/datasets/things/ingests?name=more.csv', token, csv(rows.slice(0, count)), { 'content-type': 'text/csv' })).json;
  const ended = (id) => until(`${id} has ended`, async () => {
    const { json } = await server.get(`/v1/jobs/${id}`, token);
    return !['queued', 'running'].includes(json.state) && json;
  });
  try {
    const before = await ended((await ingest(120)).job);
    for (const counter of ['job_order', 'turns']) flipValue(catalog, counter);
    const jobs = [await ingest(130), await ingest(140)];
    for (const { job } of jobs) assert.deepEqual([(await ended(job)).state, job.length > before.job.length], ['succeeded', true]);
    assert.equal((await ended(jobs[1].job)).version, before.version + 2);
    assert.deepEqual((await server.get('/v1/jobs', token)).json.items.map(({ job }) => job).slice(0, 3), [jobs[1].job, jobs[0].job, before.job]);
    await server.logged(/"event":"counter_damaged","message":"the counter .*job_order/);
  } finally {
    await server.stop();
  }
  assert.equal((await data.cli(['verify', '--deep'])).code, 0);
});

test('verify goes past an entry of the catalog that is damaged, and says so', async () => {
  const { data, catalog } = await prepared();
  flipEach(catalog, '"reason":"a test"', 1); // an event's
  assert.equal((await data.cli(['verify'])).code, 0);
  const report = await data.cli(['verify', '--deep', '--output', 'json']);
  const { versions, problems } = JSON.parse(report.stdout);
  assert.deepEqual([report.code, versions, problems.map((one) => [one.tenant, one.dataset])], [1, 4, [[null, null]]]);
  assert.match((await data.cli(['verify', '--deep'])).stdout, /^the catalog is damaged: .+\n {2}stop what uses it/);
});

test('nothing is rebuilt while a server runs, nor what is whole', async () => {
  const { data, answers, catalog } = await prepared();
  const whole = await data.cli(['catalog', 'rebuild']);
  assert.equal(whole.code, 1);
  assert.match(whole.stderr, /nothing is wrong with the catalog/);
  const server = await data.serve();
  try {
    const token = await data.token();
    const busy = await data.cli(['catalog', 'rebuild']);
    assert.equal(busy.code, 1);
    assert.match(busy.stderr, /another process uses/);
    assert.deepEqual(await answersOf(server, token), answers);
  } finally {
    await server.stop();
  }
  rmSync(catalog);
  assert.equal((await data.cli(['catalog', 'rebuild'])).code, 0);
});

test('a rebuild says what it is for', async () => {
  const { stdout } = await everline(['catalog', 'rebuild', '--help']);
  assert.match(stdout, /everline catalog rebuild --data DIR/);
});

test('a head file that is damaged is told by verify, and mended by the next change', async () => {
  const { data } = await prepared();
  const path = join(data.directory, 'heads', 'dev', 'things.json');
  flipByte(path, Math.floor(statSync(path).size / 2));
  const report = await data.cli(['verify', '--output', 'json']);
  assert.equal(report.code, 1);
  const { problems } = JSON.parse(report.stdout);
  assert.deepEqual(problems.map((one) => [one.tenant, one.dataset, one.version]), [['dev', 'things', null]]);
  assert.match((await data.cli(['verify'])).stdout, /^dev\/things: .+\n {2}it is written anew/);
  await data.put(THINGS);
  assert.equal((await data.cli(['verify'])).code, 0);
});
