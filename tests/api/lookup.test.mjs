import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { assertProblem, Data } from '../kit/everline.mjs';
import { csv, keyOf, PEOPLE, PERSONS, THINGS, things } from '../kit/samples.mjs';

let data, server, token;
const rows = things(1200);
const pick = (row) => ({ id: row.id, colour: row.colour, weight: row.weight, made: row.made });

before(async () => {
  data = await Data.make('dev');
  await data.put(PEOPLE);
  await data.put(THINGS);
  await data.put({ ...THINGS, name: 'empty' });
  await data.ingest('people', { people: data.file('people.csv', csv(PERSONS)) });
  await data.ingest('things', { things: data.file('things.csv', csv(rows)) });
  server = await data.serve();
  token = await data.token({ scope: 'data:read' });
});
after(() => server?.stop());

test('a person is found by name, birth date and last four digits', async () => {
  for (const person of PERSONS) {
    const reply = await server.lookup('people', keyOf(person), token);
    assert.equal(reply.status, 200, reply.text);
    assert.deepEqual(reply.json, {
      dataset: 'people', version: 1, outcome: 'match',
      record: { eligible: person.ELIGIBLE === 'yes', state: person.STATE, score: person.SCORE },
    });
    assert.equal(reply.headers['everline-version'], '1');
    assert.equal(reply.headers['cache-control'], 'no-store');
    assert.match(reply.headers['content-type'], /^application\/json/);
    assert.ok(reply.headers['x-request-id']);
  }
});

test('answers of one length have their own bytes and headers', async () => {
  const path = '/v1/datasets/things/lookup', trace = '4bf92f3577b34da6a3ce929d0e0e4736';
  const asked = rows.slice(0, 400).map((row, i) => ({
    row, id: `asked-${'x'.repeat(i % 7)}${i}`, traced: i % 3 === 0, missing: i % 5 === 0,
  }));
  const replies = await Promise.all(asked.map(({ row, id, traced, missing }) => server.request('POST', path, {
    token, body: { key: { id: missing ? `no${row.id}` : row.id } },
    headers: { 'x-request-id': id, traceparent: traced ? `00-${trace}-00f067aa0ba902b7-01` : null },
  })));
  for (const [i, { row, id, traced, missing }] of asked.entries()) {
    const { status, headers, json } = replies[i];
    assert.equal(status, 200);
    assert.deepEqual(json, { dataset: 'things', version: 1, outcome: missing ? 'no_match' : 'match', record: missing ? null : pick(row) });
    assert.equal(headers['x-request-id'], id);
    assert.equal(headers.traceparent?.split('-')[1], traced ? trace : undefined);
    assert.equal(headers['content-type'], 'application/json');
  }
});

test('somebody who is not there is an answer, not an error', async () => {
  for (const change of [{ dob: '1980-02-28' }, { ssn_last4: '2234' }, { first_name: 'Zo' }, { last_name: 'Smith' }]) {
    const reply = await server.lookup('people', { ...keyOf(PERSONS[0]), ...change }, token);
    assert.equal(reply.status, 200, reply.text);
    assert.deepEqual(reply.json, { dataset: 'people', version: 1, outcome: 'no_match', record: null });
  }
});

test('names match in other writings of the same name', async () => {
  const writings = [
    { first_name: 'ZOË' }, { first_name: 'zoe' }, { first_name: 'Zoe\u0308' }, { first_name: '  Zoë ' },
    { last_name: "o'neill-smith" }, { last_name: "  O'NEILL-SMITH" },
  ];
  for (const change of writings) {
    const reply = await server.lookup('people', { ...keyOf(PERSONS[0]), ...change }, token);
    assert.equal(reply.json.outcome, 'match', JSON.stringify(change));
  }
  const spaced = await server.lookup('people', { ...keyOf(PERSONS[2]), first_name: 'mary   ANN' }, token);
  assert.equal(spaced.json.outcome, 'match');
  const joined = await server.lookup('people', { ...keyOf(PERSONS[2]), first_name: 'maryann' }, token);
  assert.equal(joined.json.outcome, 'no_match');
});

test('fields are not interchangeable', async () => {
  const key = keyOf(PERSONS[1]);
  const swapped = { ...key, first_name: key.last_name, last_name: key.first_name };
  assert.equal((await server.lookup('people', swapped, token)).json.outcome, 'no_match');
});

const wrongKeys = [
  ['a missing field', ({ dob, ...rest }) => rest, 'dob'],
  ['an extra field', (key) => ({ ...key, middle_name: 'X' }), 'middle_name'],
  ['a boolean', (key) => ({ ...key, first_name: true }), 'first_name'],
  ['an object', (key) => ({ ...key, last_name: {} }), 'last_name'],
  ['null', (key) => ({ ...key, dob: null }), 'dob'],
  ['a date that does not exist', (key) => ({ ...key, dob: '1981-02-29' }), 'dob'],
  ['a date in another form', (key) => ({ ...key, dob: '29.02.1980' }), 'dob'],
  ['letters among digits', (key) => ({ ...key, ssn_last4: '22a3' }), 'ssn_last4'],
];
for (const [name, change, field] of wrongKeys)
  test(`a key with ${name} is refused and the field is named`, async () => {
    const reply = await server.lookup('people', change(keyOf(PERSONS[0])), token);
    const problem = assertProblem(reply, 400);
    assert.equal(problem.errors[0].pointer, `/key/${field}`, reply.text);
    const said = reply.text.replace(problem.request_id, ''); // which has random digits
    for (const value of ['Neill', '1980-02-29', '29.02.1980', '1981-02-29', '2233', '22a3'])
      assert.ok(!said.includes(value), `a personal value is in: ${reply.text}`);
  });

test('a body that is not what the contract says is refused', async () => {
  const path = '/v1/datasets/people/lookup';
  for (const body of ['', '{', '[]', '"x"', '{"key":{}}x', '{"key":1}', '{}', '{"key":{},"other":1}',
    '{"key":{"dob":"1980-02-29","dob":"1980-02-29"}}', `{"key":${'['.repeat(200)}${']'.repeat(200)}}`,
    Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])]) {
    const reply = await server.post(path, token, body);
    assertProblem(reply, 400);
  }
});

test('a batch answers in the order of its keys, from one version', async () => {
  const keys = rows.slice(0, 400).flatMap((row) => [{ id: row.id }, { id: `no${row.id}` }]);
  const reply = await server.batch('things', keys, token);
  assert.equal(reply.status, 200, reply.text);
  assert.equal(reply.headers['everline-version'], '1');
  const { dataset, version, results } = reply.json;
  assert.equal(dataset, 'things');
  assert.equal(version, 1);
  assert.equal(results.length, keys.length);
  results.forEach((result, i) => {
    if (i % 2) assert.deepEqual(result, { outcome: 'no_match', record: null });
    else assert.deepEqual(result, { outcome: 'match', record: pick(rows[i / 2]) });
  });
});

test('the same key twice in a batch is answered twice', async () => {
  const { results } = (await server.batch('things', [{ id: 't00003' }, { id: 't00003' }], token)).json;
  assert.deepEqual(results[0], results[1]);
  assert.equal(results[0].outcome, 'match');
});

test('a batch has from one to a thousand keys', async () => {
  assertProblem(await server.batch('things', [], token), 400);
  const most = await server.batch('things', Array(1000).fill({ id: 't00001' }), token);
  assert.equal(most.status, 200);
  assert.equal(most.json.results.length, 1000);
  assertProblem(await server.batch('things', Array(1001).fill({ id: 't00001' }), token), 413);
});

test('one wrong key in a batch is named and nothing is answered', async () => {
  const problem = assertProblem(
    await server.batch('things', [{ id: 't00001' }, { id: 't00002', colour: 'red' }], token), 400);
  assert.equal(problem.errors[0].pointer, '/keys/1/colour');
  assertProblem(await server.batch('things', [{ id: 't00001' }, 7], token), 400);
});

test('an unprotected dataset can be looked up too', async () => {
  const reply = await server.lookup('things', { id: rows[5].id }, token);
  assert.deepEqual(reply.json.record, pick(rows[5]));
});

test('a dataset without a version is 404 with a code of its own', async () => {
  assertProblem(await server.lookup('empty', { id: 'x' }, token), 404, 'NO_VERSION');
});

test('an unknown dataset is 404', async () => {
  assertProblem(await server.lookup('nothing', { id: 'x' }, token), 404, 'UNKNOWN_DATASET');
  assertProblem(await server.lookup('No%20Name!', { id: 'x' }, token), 404, 'UNKNOWN_DATASET');
});
