// Requests made from the contract: valid ones of its own examples, and each wrong in one way. The kit
// holds every answer against the contract; here it is shown that it would notice.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Contract } from '../kit/contract.mjs';
import { ALL_SCOPES, assertProblem, Data } from '../kit/everline.mjs';
import { definitionPath, sources } from '../kit/lifeline.mjs';
import { csv } from '../kit/samples.mjs';

const FLIGHT = '2001-01-01T0001-ATL-SAV-1';
const FLIGHTS = {
  name: 'flights',
  description: 'Departures',
  sources: { flights: { format: 'csv', columns: { delay: 'INTEGER', departed_at: 'TIMESTAMP' } } },
  prepare: 'SELECT flight, departed_at, delay, origin FROM flights',
  key: { fields: ['flight'], protect: 'none' },
  record: { departed_at: 'TIMESTAMP', delay: 'INTEGER', origin: 'VARCHAR' },
  rollups: { by_origin: { dimensions: ['origin'], time: { field: 'departed_at', bucket: 'month' }, metrics: { flights: 'count(*)' } } },
};
const TELEMETRY = {
  name: 'telemetry',
  sources: { readings: { format: 'csv', columns: { celsius: 'DOUBLE' } } },
  prepare: 'SELECT * FROM readings',
  key: { fields: ['device'], sort: 'taken_at' },
  record: { taken_at: 'TIMESTAMP', celsius: 'DOUBLE' },
};
/** The examples of the contract are about lifeline; some are about flights, or need what can be done. */
const FLIGHTS_HAS = { dataset: 'flights' };
const TELEMETRY_HAS = { dataset: 'telemetry' };
const JOB_IS = { job: 'job-000000000008' }; /* that the example of createIngest makes */
const OTHERS = { getRecord: FLIGHTS_HAS, getSeries: TELEMETRY_HAS, lookupSeries: TELEMETRY_HAS, lookupBatch: FLIGHTS_HAS, listRollups: FLIGHTS_HAS, readRollup: FLIGHTS_HAS, retireVersion: { version: 3 }, getTenant: { tenant: 'dev' }, putDataset: { dataset: 'members' }, deleteDataset: { dataset: 'members' },
  getJob: JOB_IS, cancelJob: JOB_IS, watchJob: JOB_IS, retryJob: JOB_IS };

const contract = new Contract();
let data, server, token;

before(async () => {
  data = await Data.make('dev');
  await data.ok(['dataset', 'put', definitionPath], { tenant: 'dev' });
  await data.put(FLIGHTS);
  for (const year of [2019, 2020, 2019, 2020, 2019]) await data.ingest('lifeline', sources(year));
  await data.ingest('flights', { flights: data.file('flights.csv', csv([
    { flight: FLIGHT, departed_at: '2001-01-01 00:01:00', delay: 19, origin: 'ATL' },
    { flight: 'other', departed_at: '2001-02-03 04:05:00', delay: null, origin: 'SEA' }])) });
  await data.put(TELEMETRY);
  await data.ingest('telemetry', { readings: data.file('readings.csv', 'device,taken_at,celsius\nmeter-7,2026-01-31 08:00:00,21.5\n') });
  server = await data.serve('--ingest-workers', '0'); /* jobs wait, so that they can be asked for */
  token = await data.token({ scope: ALL_SCOPES });
});
after(() => server?.stop());

/** Parameters that the dataset names. */
const isFree = ({ schema }) => schema.type === 'object';

/** Target, headers and body of a request by the examples; `changes` names parameters that differ. */
function request(operation, changes = {}) {
  const query = [], headers = {};
  let path = operation.path;
  for (const parameter of operation.parameters) {
    const { name, in: where, example, required } = parameter;
    let value = OTHERS[operation.operationId]?.[name] ?? example;
    if (Object.hasOwn(changes, name)) value = changes[name];
    else if (!required) continue;
    if (value === undefined) continue;
    if (isFree(parameter)) query.push(...Object.entries(value).map((pair) => pair.map(encodeURIComponent).join('=')));
    else if (where === 'path') path = path.replace(`{${name}}`, encodeURIComponent(value));
    else if (where === 'query') query.push(`${name}=${encodeURIComponent(value)}`);
    else headers[name.toLowerCase()] = String(value);
  }
  const content = operation.requestBody?.content ?? {};
  const [kind] = Object.keys(content);
  const body = kind && (typeof content[kind].example === 'string' ? content[kind].example : JSON.stringify(content[kind].example));
  return { target: query.length ? `${path}?${query.join('&')}` : path, headers, kind, body, example: kind && content[kind].example };
}

const send = (operation, { target, headers, kind, body }, who = token) => server.request(operation.method, target,
  { token: who, body, headers: kind ? { 'content-type': kind, ...headers } : headers });

/** Wrong values of a parameter, by its schema. */
function wrongValues({ type, minimum, maximum, minLength, maxLength, enum: values }) {
  if (type === 'integer') return ['x', '1.5', '1e3', '0x1', ' 1', String(BigInt(maximum) + 1n), String(minimum - 1), '9'.repeat(40)];
  if (type === 'boolean') return ['yes', '2'];
  const wrong = values ? ['no such value'] : [];
  if (minLength) wrong.push('');
  if (maxLength) wrong.push('x'.repeat(maxLength + 1));
  return wrong;
}

/** Bodies that are wrong in one way, by the schema and a right one. */
function wrongBodies(schema, right) {
  const whole = contract.resolve(schema);
  const wrong = ['', 'null', '[]', '"text"', '{', '{"a":1}{}', JSON.stringify(right).replace('{', '{"no_such_member":1,'), `${JSON.stringify(right)}x`];
  for (const name of whole.required ?? []) {
    const { [name]: _, ...rest } = right;
    wrong.push(JSON.stringify(rest));
  }
  for (const [name, member] of Object.entries(whole.properties ?? {})) {
    const { type } = contract.resolve(member);
    const other = { string: [1, null, {}], integer: ['1', 1.5, true], object: ['x', [], null], array: [{}, 'x', null], boolean: ['true', 1] }[type] ?? [];
    for (const value of other) if (right[name] !== undefined || value !== null) wrong.push(JSON.stringify({ ...right, [name]: value }));
    const text = JSON.stringify(right);
    if (right[name] !== undefined) wrong.push(text.replace('{', `{${JSON.stringify(name)}:${JSON.stringify(right[name])},`)); // twice
  }
  return wrong;
}

for (const operation of contract.operations) {
  const { operationId: id } = operation;
  const scope = operation['x-everline-scope'];

  test(`${id}: its example is answered`, async () => {
    const reply = await send(operation, request(operation));
    assert.ok(reply.status < 400, `${operation.method} ${request(operation).target}: ${reply.status} ${reply.text}`);
  });

  if (scope !== 'none')
    test(`${id}: not without a token, nor with every scope but its own`, async () => {
      const [wanted] = scope.split(' ');
      assertProblem(await send(operation, request(operation), null), 401, 'UNAUTHORIZED');
      assertProblem(await send(operation, request(operation), `${token}x`), 401, 'UNAUTHORIZED');
      const others = ALL_SCOPES.split(' ').filter((one) => one !== wanted).join(' ');
      assertProblem(await send(operation, request(operation), await data.token({ scope: others })), 403);
    });

  test(`${id}: a wrong parameter is 400, or names nothing`, async () => {
    for (const parameter of operation.parameters.filter((one) => one.in !== 'header'))
      for (const value of wrongValues(parameter.schema)) {
        const reply = await send(operation, request(operation, { [parameter.name]: value }));
        const wanted = parameter.in === 'path' ? [400, 404] : [400];
        assert.ok(wanted.includes(reply.status), `${parameter.name}=${value.slice(0, 80)}: ${reply.status} ${reply.text}`);
      }
    if (!operation.parameters.some(isFree) && scope !== 'none') {
      const right = request(operation);
      const target = `${right.target}${right.target.includes('?') ? '&' : '?'}no_such_parameter=1`;
      assertProblem(await send(operation, { ...right, target }), 400);
    }
    for (const parameter of operation.parameters.filter((one) => one.in === 'query' && one.example !== undefined && !isFree(one))) {
      const right = request(operation, { [parameter.name]: parameter.example });
      assertProblem(await send(operation, { ...right, target: `${right.target}&${parameter.name}=${encodeURIComponent(parameter.example)}` }), 400);
    }
  });

  const json = operation.requestBody?.content?.['application/json'];
  if (json)
    test(`${id}: a wrong body is 400, another kind 415, a large one 413`, async () => {
      const right = request(operation);
      for (const body of wrongBodies(json.schema, right.example)) {
        const reply = await send(operation, { ...right, body });
        assert.equal(reply.status, 400, `${body}: ${reply.status} ${reply.text}`);
      }
      if (!operation['x-everline-stream']) assertProblem(await send(operation, { ...right, kind: 'text/plain' }), 415);
      assertProblem(await send(operation, { ...right, body: ' '.repeat(operation['x-everline-body-limit'] + 1) }), 413);
    });

  test(`${id}: another method is 405 and says which there are`, async () => {
    const others = contract.operations.filter((one) => one.path === operation.path).map((one) => one.method);
    const method = ['PATCH', 'PUT', 'DELETE'].find((one) => !others.includes(one));
    const reply = await server.request(method, request(operation).target.split('?')[0], { token });
    assertProblem(reply, 405);
    for (const one of others) assert.ok(reply.headers.allow.split(', ').includes(one), reply.headers.allow);
  });
}

test('an answer that the contract does not have is noticed', () => {
  const target = '/v1/datasets/flights/lookup';
  const headers = { 'content-type': 'application/json', 'everline-version': '1' };
  const right = { dataset: 'flights', version: 1, outcome: 'match', record: { a: 1 } };
  const faults = (body, more = {}) => contract.faults('POST', target, { status: 200, headers, text: JSON.stringify(body), ...more });
  assert.deepEqual(faults(right), []);
  assert.deepEqual(faults({ ...right, record: null, outcome: 'no_match' }), []);
  for (const wrong of [{ ...right, extra: 1 }, { ...right, version: '1' }, { ...right, outcome: 'maybe' }, { ...right, record: 5 }, [],
    (({ version, ...rest }) => rest)(right)])
    assert.notDeepEqual(faults(wrong), [], JSON.stringify(wrong));
  assert.notDeepEqual(faults(right, { status: 201 }), []);
  assert.notDeepEqual(faults(right, { status: 404 }), []);
  assert.notDeepEqual(faults(right, { text: '{' }), []);
  assert.notDeepEqual(faults(right, { headers: { ...headers, 'content-type': 'text/html' } }), []);
  assert.notDeepEqual(faults(right, { headers: { ...headers, 'everline-version': 'one' } }), []);
  assert.notDeepEqual(contract.faults('GET', '/v1/nothing', { status: 200, headers, text: '{}' }), []);
});

test('a code that the contract does not explain is noticed, in a problem and in the error of a job', () => {
  const problem = (code) => contract.faults('GET', '/v1/datasets/none', { status: 404, headers: { 'content-type': 'application/problem+json' },
    text: JSON.stringify({ type: 'about:blank', title: 'Not found', status: 404, detail: '', code, request_id: 'r' }) });
  const job = contract.operation('GET', '/v1/jobs/job-1').responses['200'].content['application/json'].example;
  const failed = (code) => contract.faults('GET', '/v1/jobs/job-1', { status: 200, headers: { 'content-type': 'application/json' },
    text: JSON.stringify({ ...job, state: 'failed', error: { code, message: '', place: '', hint: '' } }) });
  assert.deepEqual([problem('UNKNOWN_DATASET'), failed('CSV_HEADER')], [[], []]);
  assert.deepEqual(problem('UNKNOWN_DATASETS'), ['/code "UNKNOWN_DATASETS" is not in x-everline-codes']);
  assert.deepEqual(failed('toString'), ['/error/code "toString" is not in x-everline-codes']);
});
