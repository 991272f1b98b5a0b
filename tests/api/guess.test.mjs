// What callers may do at most: requests a second and a day, by tenant and subject, and guesses at a
// key. The attacker knows a name and a birth date, and tries every end of the number.
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { assertProblem, Data } from '../kit/everline.mjs';
import { segmentPath } from '../kit/files.mjs';
import { roomInDay, until } from '../kit/process.mjs';
import { csv } from '../kit/samples.mjs';

const PEOPLE = {
  name: 'people',
  sources: { people: { format: 'csv', columns: { eligible: 'BOOLEAN' } } },
  prepare: 'SELECT name, dob, ssn_last4, eligible FROM people',
  key: { fields: ['name', 'dob', 'ssn_last4'], normalize: { name: 'person_name', dob: 'date', ssn_last4: 'digits' },
    protect: 'hmac-sha256', guess: { fields: ['ssn_last4'], limit: 5, per: 'day' } },
  record: { eligible: 'BOOLEAN' },
};
const person = (i) => ({ name: `Person ${String.fromCharCode(65 + i)}`, dob: '1980-02-29', ssn_last4: '7777' });
let data, first, second, token;

before(async () => {
  await roomInDay();
  data = await Data.make('dev', 'other');
  const rows = data.file('people.csv', csv([...Array(9).keys()].map((i) => ({ ...person(i), eligible: true }))));
  for (const tenant of ['dev', 'other']) {
    await data.put(PEOPLE, { tenant });
    await data.ingest('people', { people: rows }, { tenant });
  }
  [first, second] = await Promise.all([data.serve('--audit-interval', '5ms'), data.serve('--audit-interval', '5ms')]);
  token = await data.token();
});
after(() => Promise.all([first?.stop(), second?.stop()]));

const tail = (i, n) => ({ ...person(i), ssn_last4: String(n).padStart(4, '0') });
const lookup = (key, { to = first, who = token } = {}) => to.request('POST', '/v1/datasets/people/lookup', { token: who, body: { key } });
const batch = (keys, { to = first, who = token } = {}) => to.request('POST', '/v1/datasets/people/lookup/batch', { token: who, body: { keys } });
const untilTomorrow = () => 86400 - (Date.now() / 1000) % 86400;

function assertGuess(reply) {
  assertProblem(reply, 429, 'GUESS_LIMIT');
  assert.ok(Math.abs(Number(reply.headers['retry-after']) - untilTomorrow()) < 60, reply.headers['retry-after']);
  assert.ok(!/\d{4}-\d\d-\d\d|Person/.test(reply.text), reply.text);
}

test('who tries tails one by one, on two servers, has five, and then nothing, not even the right one', async () => {
  for (let n = 0; n < 5; n++) assert.equal((await lookup(tail(0, n), { to: n % 2 ? second : first })).json.outcome, 'no_match');
  for (let n = 5; n < 12; n++) assertGuess(await lookup(tail(0, n), { to: n % 2 ? second : first }));
  assertGuess(await lookup(person(0)));
  for (let n = 0; n < 5; n++) assert.equal((await lookup(tail(0, n), { to: second })).status, 200, 'those that were asked for');
});

test('spelling the name otherwise, another order or another token makes no new person', async () => {
  const other = await data.token({ subject: 'another' });
  for (let n = 0; n < 5; n++) assert.equal((await lookup(tail(1, n))).status, 200);
  assertGuess(await lookup({ ssn_last4: '0009', dob: '1980-02-29', name: '  PERSON  b ' }, { who: other }));
  assertGuess(await lookup({ ...tail(1, 6), dob: '1980-02-29' }, { who: other, to: second }));
});

test('a batch has no more, and is refused whole', async () => {
  assertGuess(await batch([...Array(1000).keys()].map((n) => tail(2, n))));
  assertGuess(await lookup(person(2)));
  const mixed = await batch([person(3), person(4), person(3), tail(4, 1)]);
  assert.deepEqual(mixed.json.results.map((one) => one.outcome), ['match', 'match', 'match', 'no_match']);
});

test('two tokens at once, on two servers, have five together', async () => {
  const other = await data.token({ subject: 'another' });
  const replies = await Promise.all([...Array(60).keys()].map((n) =>
    lookup(tail(5, n), { to: n % 2 ? second : first, who: n % 3 ? token : other })));
  assert.equal(replies.filter((one) => one.status === 200).length, 5);
  assert.ok(replies.every((one) => one.status === 200 || one.status === 429));
});

test('the right one counts as one, asked for ever so often', async () => {
  for (let n = 0; n < 20; n++) assert.equal((await lookup(person(6))).json.outcome, 'match');
  for (let n = 0; n < 4; n++) assert.equal((await lookup(tail(6, n))).status, 200);
  assertGuess(await lookup(tail(6, 5)));
});

test('another tenant has its own five, and the audit of this one has the attack', async () => {
  const who = await data.token({ tenant: 'other' });
  assert.equal((await lookup(person(0), { who })).json.outcome, 'match');
  const items = await until('the audit has it', async () => {
    const { json } = await first.get('/v1/audit?event=keyGuessed', token);
    return json.items.length && json.items;
  });
  assert.deepEqual([items[0].dataset, items[0].outcome, items[0].keys.length], ['people', 'limited', 1]);
  assert.equal((await first.get('/v1/audit?event=keyGuessed', who)).json.items.length, 0);
});

test('what was tried is known to a server that starts again', async () => {
  await second.stop('SIGKILL');
  second = await data.serve();
  assertGuess(await lookup(person(0), { to: second }));
});

test('a dataset that is deleted and made again brings no fresh five', async () => {
  const rows = () => data.file('again.csv', csv([{ ...person(0), eligible: true }]));
  const make = async () => {
    await data.put(PEOPLE, { tenant: 'again' });
    await data.ingest('people', { people: rows() }, { tenant: 'again' });
    const who = await data.token({ tenant: 'again' });
    await until('it is served', async () => (await lookup(tail(0, 0), { who })).status === 200); // the first of the five
    return who;
  };
  await data.ok(['tenant', 'put', 'again']);
  let who = await make();
  for (let n = 1; n < 5; n++) assert.equal((await lookup(tail(0, n), { who })).status, 200);
  assertGuess(await lookup(person(0), { who }));
  await data.ok(['dataset', 'delete', 'people', '--reason', 'a test'], { tenant: 'again' });
  who = await make();
  assertGuess(await lookup(person(0), { who }));
  assertGuess(await lookup(person(0), { who, to: second }));
});

/** One whose older versions can differ in each part of the key alone. */
const WIDER = {
  ...PEOPLE,
  prepare: 'SELECT ssn_last4, name, name AS maiden_name, dob, eligible FROM people',
  key: { ...PEOPLE.key, fields: ['ssn_last4', 'name', 'maiden_name', 'dob'], normalize: { ...PEOPLE.key.normalize, maiden_name: 'person_name' } },
  retention: { keep_versions: 20 },
};
const guess = (changes) => ({ ...WIDER.key, guess: { ...WIDER.key.guess, ...changes } });
const AROUND = {
  'without a limit': { ...WIDER.key, guess: undefined },
  'with a higher limit': guess({ limit: 70 }),
  'that guesses another field': guess({ fields: ['dob'] }),
  'that guesses one field more': guess({ fields: ['dob', 'ssn_last4'] }),
  'with a field less in its key': { ...WIDER.key, fields: ['ssn_last4', 'name', 'maiden_name'], normalize: { ...WIDER.key.normalize, dob: undefined } },
  'with another order of fields': { ...WIDER.key, fields: ['ssn_last4', 'maiden_name', 'name', 'dob'] },
  'with another normaliser': { ...WIDER.key, normalize: { ...WIDER.key.normalize, name: 'exact' } },
};

test('an older version is no way around the limit: one that counts otherwise is for who may write versions', async () => {
  const keys = [...Object.values(AROUND), guess({ limit: 3 }), WIDER.key], lower = keys.length - 1, since = [];
  await data.ok(['tenant', 'put', 'older']);
  for (const [n, key] of keys.entries()) {
    await data.put({ ...WIDER, key }, { tenant: 'older' });
    await data.ingest('people', { people: data.file('older.csv', csv([{ ...person(n), eligible: true }])) }, { tenant: 'older' });
    since.push(new Date().toISOString());
  }
  const [reader, writer] = [await data.token({ tenant: 'older', scope: 'data:read' }), await data.token({ tenant: 'older', scope: 'data:read versions:write' })];
  const at = (query, who, body, what = 'lookup') => first.request('POST', `/v1/datasets/people/${what}?${query}`, { token: who, body });
  const keyAt = (version, one) => ({ key: Object.fromEntries(keys[version - 1].fields.map((name) => [name, one[name] ?? one.name])) });
  const newest = (n) => at('', reader, keyAt(keys.length, tail(1, n)));
  await until('it is served', async () => (await newest(0)).json.version === keys.length);
  for (const [n, name] of Object.keys(AROUND).entries()) {
    const body = keyAt(n + 1, tail(0, 1));
    for (const query of [`version=${n + 1}`, `as_of=${since[n]}`]) {
      assert.equal((await at(query, writer, body)).json.version, n + 1, name);
      assertProblem(await at(query, reader, body), 403, 'SCOPE_MISSING');
      assertProblem(await at(query, reader, { keys: [body.key] }, 'lookup/batch'), 403, 'SCOPE_MISSING');
    }
  }
  const lowerAt = (n) => at(`version=${lower}`, reader, keyAt(lower, tail(1, n)));
  for (let n = 0; n < 3; n++) assert.equal((await lowerAt(n)).json.version, lower);
  assertGuess(await lowerAt(3));
  for (let n = 3; n < 5; n++) assert.equal((await newest(n)).status, 200, 'two are left of the five');
  assertGuess(await newest(5));
});

test('nor is one under another HMAC key; a current version that is damaged keeps nobody from the others', async () => {
  const own = await Data.make('dev'), keys = join(own.directory, 'keys', 'dev', 'hmac');
  const ingest = (n) => own.ingest('people', { people: own.file('own.csv', csv([{ ...person(n), eligible: true }])) });
  await own.put(PEOPLE);
  await ingest(0);
  writeFileSync(join(keys, 'new.key'), `${'5e'.repeat(32)}\n`);
  for (const file of ['catalog.mdb', 'heads/dev.json']) rmSync(join(own.directory, file)); // who makes the tenant anew takes the last key
  await own.ok(['catalog', 'rebuild']);
  await own.ok(['tenant', 'put', 'dev', '--enable']);
  await own.put(PEOPLE);
  await ingest(1);
  const current = await ingest(2);
  const reader = await own.token({ scope: 'data:read' });
  const serve = async (use) => {
    const server = await own.serve(), at = (version) => server.request('POST', `/v1/datasets/people/lookup?version=${version}`, { token: reader, body: { key: tail(0, 1) } });
    try { await use(at); } finally { assert.equal(await server.stop(), 0, server.log); }
  };
  await serve(async (at) => {
    assertProblem(await at(1), 403, 'SCOPE_MISSING');
    for (const version of [2, 3]) assert.equal((await at(version)).status, 200);
  });
  rmSync(segmentPath(own, current));
  await serve(async (at) => {
    assertProblem(await at(3), 503, 'VERSION_UNAVAILABLE');
    assertProblem(await at(1), 403, 'SCOPE_MISSING');
    assert.equal((await at(2)).status, 200);
  });
});

test('a wrong guess of a definition is refused', async () => {
  for (const guess of [{ fields: [] }, { fields: ['name', 'dob', 'ssn_last4'] }, { fields: ['x'] }, { fields: ['ssn_last4'], limit: 0 },
    { fields: ['ssn_last4'], limit: 71 }, { fields: ['ssn_last4'], per: 'hour' }, { fields: ['ssn_last4'], of: 1 }, 5])
    assert.equal((await data.putCli({ ...PEOPLE, key: { ...PEOPLE.key, guess } })).code, 1, JSON.stringify(guess));
});

/* ---- requests ---- */

const list = (who, to = first) => to.get('/v1/datasets', who);

test('a tenant without limits hears of none; one with a limit is told, and refused over it, on both servers', async () => {
  const who = await data.token({ tenant: 'other' });
  assert.equal((await list(who)).headers.ratelimit, undefined);
  await data.ok(['tenant', 'put', 'other', '--requests-per-second', '1', '--requests-burst', '10']);
  await until('they have heard', async () => (await list(who)).headers.ratelimit && (await list(who, second)).headers.ratelimit);
  const replies = [];
  for (let i = 0; i < 24; i++) replies.push(await list(who, i % 2 ? first : second));
  const refused = replies.filter((one) => one.status === 429);
  assert.ok(refused.length >= 10, `${refused.length} were refused`);
  assertProblem(refused[0], 429, 'RATE_LIMIT');
  assert.match(refused[0].headers['retry-after'], /^[1-9]$/);
  assert.equal(refused[0].headers['ratelimit-policy'], '"tenant";q=10;w=10');
  assert.match(refused[0].headers.ratelimit, /^"tenant";r=0;t=\d+$/);
  assert.equal((await list(token)).status, 200, 'another tenant does not feel it');
});

test('a batch counts its keys, and a day has its own limit', async () => {
  await data.ok(['tenant', 'put', 'other', '--requests-per-second', '0', '--requests-per-day', '100000']);
  const who = await data.token({ tenant: 'other' });
  const left = (reply) => Number(/;r=(\d+);/.exec(reply.headers.ratelimit)[1]);
  const before = left(await until('it counts', async () => {
    const reply = await list(who);
    return /q=100000;w=86400/.test(reply.headers['ratelimit-policy'] ?? '') && reply;
  }));
  const reply = await batch([person(0), person(1), person(2)], { who });
  assert.equal(reply.status, 200, reply.text);
  assert.equal(left(reply), before - 3);
  await data.ok(['tenant', 'put', 'other', '--requests-per-day', '5']);
  const over = await until('it is over', async () => { const one = await list(who); return one.status === 429 && one; });
  assertProblem(over, 429, 'DAY_LIMIT');
  assert.ok(Math.abs(Number(over.headers['retry-after']) - untilTomorrow()) < 60);
  await data.ok(['tenant', 'put', 'other', '--requests-per-day', '0']);
});

test('a subject has its own, and leaves the others theirs', async () => {
  await data.ok(['tenant', 'put', 'other', '--subject-requests-per-day', '3']);
  const [ada, li] = [await data.token({ tenant: 'other', subject: 'ada' }), await data.token({ tenant: 'other', subject: 'li' })];
  await until('ada is refused', async () => (await list(ada)).status === 429);
  assertProblem(await list(ada, second), 429, 'DAY_LIMIT');
  const reply = await list(li, second);
  assert.equal(reply.status, 200, reply.text);
  assert.equal(reply.headers['ratelimit-policy'], '"subject";q=3;w=86400');
  await data.ok(['tenant', 'put', 'other', '--subject-requests-per-day', '0']);
});

test('what a subject is refused is not counted for its tenant', async () => {
  await data.ok(['tenant', 'put', 'shared', '--requests-per-day', '20', '--subject-requests-per-day', '3']);
  const [ada, li] = [await data.token({ tenant: 'shared', subject: 'ada' }), await data.token({ tenant: 'shared', subject: 'li' })];
  await until('ada is refused', async () => (await list(ada)).status === 429);
  for (let n = 0; n < 20; n++) assertProblem(await list(ada), 429, 'DAY_LIMIT');
  assert.equal((await list(li)).status, 200);
});

test('a tenant that is deleted and made again has no fresh day', async () => {
  const make = async () => {
    await data.ok(['tenant', 'put', 'brief', '--requests-per-day', '3']);
    return data.token({ tenant: 'brief' });
  };
  const spent = async (who) => until('its day is spent', async () => (await list(who)).status === 429);
  await spent(await make());
  await data.ok(['tenant', 'delete', 'brief', '--reason', 'a test']);
  const who = await make();
  const reply = await until('its limit is known', async () => { const one = await list(who); return one.headers.ratelimit && one; });
  assertProblem(reply, 429, 'DAY_LIMIT');
});

test('metrics count what limits refuse, by limit and not by tenant', async () => {
  const counted = async () => {
    const { text } = await first.get('/metrics');
    const found = [...text.matchAll(/^everline_requests_limited_total\{code="(\w+)"\} (\d+)$/gm)].map(([, code, count]) => [code, Number(count)]);
    assert.deepEqual(found.map(([code]) => code), ['RATE_LIMIT', 'DAY_LIMIT', 'GUESS_LIMIT']);
    return found.map(([, count]) => count);
  };
  const refusedOnce = async (tenant, limits, code) => {
    await data.ok(['tenant', 'put', tenant, ...limits]);
    const who = await data.token({ tenant });
    assertProblem(await until('it is refused', async () => { const one = await list(who); return one.status === 429 && one; }), 429, code);
    return who;
  };
  const [rate, day, guesses] = await counted();
  await refusedOnce('rapid', ['--requests-per-second', '1', '--requests-burst', '1'], 'RATE_LIMIT');
  const who = await refusedOnce('brief', ['--requests-per-day', '1'], 'DAY_LIMIT');
  for (let n = 0; n < 3; n++) assertProblem(await list(who), 429, 'DAY_LIMIT');
  for (let n = 0; n < 5; n++) assert.equal((await lookup(tail(7, n))).status, 200);
  assertGuess(await lookup(tail(7, 5)));
  assert.deepEqual(await counted(), [rate + 1, day + 4, guesses + 1]);
});
