// Who may do what: tokens, scopes, and the wall between tenants.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ALL_SCOPES, assertProblem, Data } from '../kit/everline.mjs';
import { csv, THINGS } from '../kit/samples.mjs';
import { until } from '../kit/process.mjs';
import { Forge, part } from '../kit/tokens.mjs';

let data, server, forge;
const KEY = { id: 'one' };
const source = () => ({ things: data.file('t.csv', csv([{ id: 'one', colour: 'red', weight: 5, made: '2024-01-01' }])) });
const now = () => Math.floor(Date.now() / 1000);

before(async () => {
  data = await Data.make('dev', 'other');
  await data.put(THINGS);
  await data.ingest('things', source());
  await data.put({ ...THINGS, name: 'secret' }, { tenant: 'other' });
  await data.ingest('secret', source(), { tenant: 'other' });
  server = await data.serve();
  forge = new Forge(data);
});
after(() => server?.stop());

const ask = (token) => server.lookup('things', KEY, token);

function assertUnauthorized(reply) {
  const problem = assertProblem(reply, 401, 'UNAUTHORIZED');
  assert.match(reply.headers['www-authenticate'], /^Bearer/);
  return problem;
}

test('the forge makes good tokens, so that the bad ones are bad for one reason only', async () => {
  assert.equal((await ask(forge.token())).status, 200);
  assert.equal((await ask(forge.token({ header: { typ: 'at+jwt' } }))).status, 200);
  assert.equal((await ask(forge.token({ claims: { aud: ['x', 'everline'] } }))).status, 200);
});

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const withSignature = (bytes) => `${forge.token().split('.').slice(0, 2).join('.')}.${bytes.toString('base64url')}`;
const bad = {
  'no token': () => null,
  'an empty token': () => '',
  'not a token': () => 'abc',
  'two segments': () => 'abc.def',
  'four segments': () => `${forge.token()}.x`,
  'an expired token': () => forge.token({ claims: { iat: now() - 900, exp: now() - 300 } }),
  'a token without exp': () => forge.token({ claims: { exp: undefined } }),
  'an exp that is a text': () => forge.token({ claims: { exp: String(now() + 60) } }),
  'a token of the future': () => forge.token({ claims: { nbf: now() + 600 } }),
  'a foreign issuer': () => forge.token({ claims: { iss: 'somebody' } }),
  'a foreign audience': () => forge.token({ claims: { aud: 'somebody' } }),
  'no audience': () => forge.token({ claims: { aud: undefined } }),
  'no tenant': () => forge.token({ claims: { tenant: undefined } }),
  'another tenant, signed by this one': () => forge.token({ claims: { tenant: 'other' } }),
  'a tenant that is not there': () => forge.token({ claims: { tenant: 'nobody' } }),
  'a stranger\'s key under our kid': () => forge.token({ key: Forge.strangersKey() }),
  'an unknown kid': () => forge.token({ header: { kid: 'nobody' } }),
  'no kid': () => forge.token({ header: { kid: undefined } }),
  'alg none': () => forge.unsigned(),
  'alg None': () => forge.unsigned('None'),
  'HMAC with the public key as secret': () => forge.confused(),
  'a lower-case algorithm': () => forge.token({ header: { alg: 'es256' } }),
  'another algorithm than the key\'s': () => forge.token({ header: { alg: 'ES384' } }),
  'a crit header': () => forge.token({ header: { crit: ['exp'] } }),
  'another typ': () => forge.token({ header: { typ: 'JWE' } }),
  'duplicate claims': () => forge.token({ claims: JSON.stringify(forge.claims()).replace('{', '{"tenant":"other",') }),
  'claims that are a list': () => forge.token({ claims: '[]' }),
  'a changed payload': () => {
    const [head, , signature] = forge.token().split('.');
    const body = Buffer.from(JSON.stringify(forge.claims({ scope: ALL_SCOPES }))).toString('base64url');
    return `${head}.${body}.${signature}`;
  },
  'a changed signature': () => {
    const [head, body, signature] = forge.token().split('.');
    return `${head}.${body}.${signature[0] === 'A' ? 'B' : 'A'}${signature.slice(1)}`;
  },
  'a key id that is a path': () => forge.token({ header: { kid: `../tokens/${forge.kid}.ES256.pem` } }),
  'a key id that is a number': () => forge.token({ header: { kid: 1 } }),
  'a key that the token brings': () => forge.token({ header: { jwk: forge.jwk() } }),
  'a header member twice': () => forge.token({ header: JSON.stringify(forge.header()).replace('{', '{"alg":"none",') }),
  'a signature on another curve': () => forge.token({ key: generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey }),
  'a signature of zeros': () => withSignature(Buffer.alloc(64)),
  'a signature in DER': () => withSignature(forge.der()),
  'no signature': () => withSignature(Buffer.alloc(0)),
  'an exp with a fraction': () => forge.token({ claims: { exp: now() + 60.5 } }),
  'an exp beyond 64 bits': () => forge.token({ claims: JSON.stringify(forge.claims()).replace(/"exp":\d+/, '"exp":18446744073709551616') }),
  'an nbf that is a text': () => forge.token({ claims: { nbf: '0' } }),
  'an iat of the future': () => forge.token({ claims: { iat: now() + 600 } }),
  'an issuer that is a list': () => forge.token({ claims: { iss: ['everline'] } }),
  'an audience that is an object': () => forge.token({ claims: { aud: { everline: true } } }),
  'a tenant that is a list': () => forge.token({ claims: { tenant: ['dev'] } }),
  'claims with NUL behind them': () => forge.token({ claims: `${JSON.stringify(forge.claims())}\0` }),
  'the other alphabet of base64': () => forge.token({ claims: { sub: '>>>???~~~' } }).replaceAll('-', '+').replaceAll('_', '/'),
  'stray bits at the end': () => {
    const token = forge.token(), last = ALPHABET.indexOf(token.at(-1)); /* 64 bytes leave four bits */
    return token.slice(0, -1) + ALPHABET[last ^ 1];
  },
  'a token that is padded': () => `${forge.token()}=`,
  'a token over the cap': () => forge.token({ claims: { pad: 'x'.repeat(5000) } }),
};
for (const [name, make] of Object.entries(bad))
  test(`refused: ${name}`, async () => {
    const token = make();
    const reply = token === null ? await server.post('/v1/datasets/things/lookup', null, { key: KEY })
      : await server.request('POST', '/v1/datasets/things/lookup',
        { body: { key: KEY }, headers: { authorization: `Bearer ${token}` } });
    assertUnauthorized(reply);
  });

test('a token counts where it belongs and alone: not in another scheme, a list, a cookie or the query', async () => {
  const token = forge.token(), get = (headers, query = '') => server.request('GET', `/v1/datasets${query}`, { headers });
  assert.equal((await get({ authorization: `bearer ${token}` })).status, 200, 'the scheme has no case');
  for (const authorization of ['Basic ZGV2OmRldg==', token, `Bearer${token}`, `Bearer  ${token}`, `Bearer\t${token}`, `Bearer "${token}"`,
    `Bearer ${token}, Bearer ${token}`, `Bearer ${token},${token}`, `Bearer ${token} ${token}`, `DPoP ${token}`])
    assertUnauthorized(await get({ authorization }));
  assertUnauthorized(await get({ cookie: `access_token=${token}`, 'x-authorization': `Bearer ${token}`, 'proxy-authorization': `Bearer ${token}` }));
  assert.notEqual((await get({}, `?access_token=${token}`)).status, 200);
  assertProblem(await get({ authorization: `Bearer ${token}` }, `?access_token=${token}`), 400, 'UNKNOWN_PARAMETER');
});

test('what is like a token that is cached is not it', async () => {
  const fresh = await Data.make(), one = await fresh.serve('--workers', '1'), own = new Forge(fresh), token = own.token();
  const status = async (sent) => (await one.get('/v1/datasets', sent)).status;
  for (let i = 0; i < 2; i++) assert.equal(await status(token), 200);
  const [head, claims, signature] = token.split('.');
  for (const like of [`${head}.${claims}.`, `${head}.${claims}`, `${token}A`, token.slice(0, -1), `${head}.${claims}.${'A'.repeat(86)}`,
    `${head}.${part({ ...own.claims(), scope: ALL_SCOPES })}.${signature}`, `${part({ ...own.header(), alg: 'none' })}.${claims}.${signature}`,
    own.token({ key: Forge.strangersKey() }), token.toLowerCase()]) assert.equal(await status(like), 401, like);
  assert.equal(await status(token), 200);
  assert.equal(await one.stop(), 0);
});

test('a cached token is refused once another key has its id, its tenant another issuer, or none is left', async () => {
  const fresh = await Data.make('dev', 'moving', 'leaving'), one = await fresh.serve('--workers', '1');
  const status = async (sent) => (await one.get('/v1/datasets', sent)).status;
  const forges = Object.fromEntries(['dev', 'moving', 'leaving'].map((tenant) => [tenant, new Forge(fresh, tenant)]));
  const tokens = Object.fromEntries(Object.entries(forges).map(([tenant, own]) => [tenant, own.token()]));
  for (const token of Object.values(tokens)) for (let i = 0; i < 3; i++) assert.equal(await status(token), 200);

  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey, rotated = forges.dev.token({ key });
  assert.equal(await status(rotated), 401);
  writeFileSync(join(fresh.directory, 'keys', 'dev', 'tokens', `${forges.dev.kid}.ES256.pem`), key.export({ type: 'pkcs8', format: 'pem' }));
  one.process.child.kill('SIGHUP');
  await until('the new key is taken', async () => (await status(rotated)) === 200);
  assert.equal(await status(tokens.dev), 401);

  await fresh.ok(['tenant', 'put', 'moving', '--issuer', 'https://elsewhere.test']);
  await until('the new issuer counts', async () => (await status(tokens.moving)) === 401);
  assert.equal(await status(forges.moving.token({ claims: { iss: 'https://elsewhere.test' } })), 200);

  await fresh.ok(['tenant', 'delete', 'leaving', '--reason', 'a test']);
  await until('the tenant is gone', async () => (await status(tokens.leaving)) === 401);
  assert.equal(await status(rotated), 200);
  assert.equal(await one.stop(), 0);
});

test('every refusal says the same: the reason is for the log', async () => {
  const texts = new Set();
  for (const make of [bad['an expired token'], bad['a foreign issuer'], bad['alg none'], bad['an unknown kid']])
    texts.add(assertUnauthorized(await ask(make())).detail);
  assert.equal(texts.size, 1);
});

test('no token is ever written into the log', async () => {
  const good = forge.token(), wrong = bad['an expired token']();
  await ask(good);
  await ask(wrong);
  for (const token of [good, wrong]) assert.ok(!server.log.includes(token.split('.')[2]));
});

test('each route needs its scope', async () => {
  const routes = [
    ['POST', '/v1/datasets/things/lookup', 'data:read', { key: KEY }],
    ['POST', '/v1/datasets/things/lookup/batch', 'data:read', { keys: [KEY] }],
    ['GET', '/v1/datasets/things/records/one', 'data:read'],
    ['GET', '/v1/datasets', 'data:read'],
    ['GET', '/v1/datasets/things', 'data:read'],
    ['GET', '/v1/datasets/things/versions', 'data:read'],
    ['GET', '/v1/datasets/things/versions/1', 'data:read'],
    ['GET', '/v1/datasets/things/rollups', 'analytics:read'],
    ['GET', '/v1/datasets/things/rollups/total', 'analytics:read'],
    ['GET', '/v1/datasets/things/events', 'audit:read'],
    ['GET', '/v1/datasets/things/versions/1/diff?from=1', 'versions:write'],
    ['POST', '/v1/datasets/things/rollback', 'versions:write', { reason: 'x', from: 99 }],
    ['POST', '/v1/datasets/things/versions/99/promote', 'versions:write', { reason: 'x' }],
  ];
  for (const [method, path, scope, body] of routes) {
    const others = ALL_SCOPES.split(' ').filter((s) => s !== scope).join(' ');
    const without = await server.request(method, path, { token: forge.token({ claims: { scope: others } }), body });
    const problem = assertProblem(without, 403, 'SCOPE_MISSING');
    assert.ok(problem.detail.includes(scope), `${path}: ${problem.detail}`);
    const none = await server.request(method, path, { token: forge.token({ claims: { scope: undefined } }), body });
    assert.equal(none.status, 403, path);
    const withIt = await server.request(method, path, { token: forge.token({ claims: { scope } }), body });
    assert.ok([200, 404, 412].includes(withIt.status), `${path} ${withIt.text}`);
  }
});

test('a dataset of another tenant is the same 404 as one that is not there', async () => {
  const token = await data.token();
  const shape = (reply) => {
    const { date, 'x-request-id': id, ...headers } = reply.headers;
    return [reply.status, headers, reply.text.replace(reply.json.request_id, 'ID')];
  };
  const paths = (name) => [
    ['POST', `/v1/datasets/${name}/lookup`, { key: KEY }],
    ['POST', `/v1/datasets/${name}/lookup/batch`, { keys: [KEY] }],
    ['GET', `/v1/datasets/${name}/records/one`],
    ['GET', `/v1/datasets/${name}`],
    ['GET', `/v1/datasets/${name}/versions`],
    ['GET', `/v1/datasets/${name}/versions/1`],
    ['GET', `/v1/datasets/${name}/versions/1/diff?from=1`],
    ['GET', `/v1/datasets/${name}/rollups`],
    ['GET', `/v1/datasets/${name}/rollups/total`],
    ['GET', `/v1/datasets/${name}/events`],
    ['POST', `/v1/datasets/${name}/rollback`, { reason: 'x', from: 1 }],
    ['POST', `/v1/datasets/${name}/versions/1/promote`, { reason: 'x' }],
  ];
  const missing = paths('absent');
  for (const [i, [method, path, body]] of paths('secret').entries()) {
    const theirs = await server.request(method, path, { token, body });
    const nobodys = await server.request(method, missing[i][1], { token, body });
    assert.equal(theirs.status, 404, `${method} ${path} ${theirs.text}`);
    assert.deepEqual(shape(theirs), shape(nobodys), `${method} ${path}`);
  }
  const mine = (await server.get('/v1/datasets', token)).json.items.map((item) => item.name);
  assert.deepEqual(mine, ['things']);
  const owner = await data.token({ tenant: 'other' });
  assert.equal((await server.lookup('secret', KEY, owner)).json.outcome, 'match');
});

test('a token that names datasets sees no others', async () => {
  await data.put({ ...THINGS, name: 'more' });
  const token = await data.token({ datasets: ['more'] });
  assertProblem(await server.lookup('things', KEY, token), 404, 'UNKNOWN_DATASET');
  assertProblem(await server.get('/v1/datasets/things', token), 404, 'UNKNOWN_DATASET');
  assertProblem(await server.post('/v1/datasets/things/rollback', token, { reason: 'x', from: 1 }), 404);
  assert.equal((await server.get('/v1/datasets/more', token)).status, 200);
  assert.deepEqual((await server.get('/v1/datasets', token)).json.items.map((item) => item.name), ['more']);
});

test('a disabled tenant is refused at once, and taken again when it is enabled', async () => {
  await data.ok(['tenant', 'put', 'guest']);
  const token = await data.token({ tenant: 'guest' });
  const status = async () => (await server.get('/v1/datasets', token)).status;
  await until('the new tenant is known', async () => (await status()) === 200);
  await data.ok(['tenant', 'put', 'guest', '--disable']);
  await until('it is refused', async () => (await status()) === 401);
  await data.ok(['tenant', 'put', 'guest', '--enable']);
  await until('it is taken again', async () => (await status()) === 200);
});

test('SIGHUP reads new keys, and a bad key file leaves the old ones in force', async () => {
  const directory = join(data.directory, 'keys', 'dev', 'tokens');
  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const token = forge.token({ header: { kid: 'added' }, key });
  assertUnauthorized(await ask(token));
  writeFileSync(join(directory, 'added.ES256.pem'), key.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  server.process.child.kill('SIGHUP');
  await until('the new key is taken', async () => (await ask(token)).status === 200);
  writeFileSync(join(directory, 'broken.ES256.pem'), 'not a key', { mode: 0o600 });
  server.process.child.kill('SIGHUP');
  await until('the log says so', () => /tenant dev cannot be loaded; its old ones stay/.test(server.log));
  assert.equal((await ask(token)).status, 200);
  assert.equal((await ask(forge.token())).status, 200);
  unlinkSync(join(directory, 'broken.ES256.pem'));
});

test('a token is verified once, and again after its key, its tenant or the time has changed', async () => {
  const fresh = await Data.make(), cached = await fresh.serve('--workers', '1'), own = new Forge(fresh);
  const file = join(fresh.directory, 'keys', 'dev', 'tokens', `${own.kid}.ES256.pem`);
  const status = async (token) => (await cached.get('/v1/datasets', token)).status;
  const count = async (outcome) => Number((await cached.get('/metrics')).text
    .match(new RegExp(`everline_tokens_total\\{outcome="${outcome}"\\} (\\d+)`))[1]);
  const token = own.token();
  for (let i = 0; i < 5; i++) assert.equal(await status(token), 200);
  assert.deepEqual([await count('verified'), await count('cached')], [1, 4]);
  let ending; /* of those that have a second or two left, one comes in time */
  await until('one that ends is taken', async () => (await status(ending = own.token({ claims: { exp: now() - 57 } }))) === 200);
  await until('its time is over', async () => (await status(ending)) === 401);

  await fresh.ok(['tenant', 'put', 'dev', '--disable']);
  await until('the disabled tenant is refused', async () => (await status(token)) === 401);
  await fresh.ok(['tenant', 'put', 'dev', '--enable']);
  await until('it is taken again', async () => (await status(token)) === 200);
  assert.equal(await status(token), 200);
  unlinkSync(file);
  cached.process.child.kill('SIGHUP');
  await until('the key is gone', async () => (await status(token)) === 401);
  assert.equal(await cached.stop(), 0);
});

test('a revoked token is refused by every server at once, cached or not, and no other is', async () => {
  const fresh = await Data.make('dev', 'other'), both = [await fresh.serve('--workers', '1'), await fresh.serve('--workers', '1')];
  const mine = new Forge(fresh), theirs = new Forge(fresh, 'other');
  const statuses = (token) => Promise.all(both.map(async (one) => (await one.get('/v1/datasets', token)).status));
  const revoke = (body, scope = 'tenant:admin') => both[0].post('/v1/revocations', mine.token({ claims: { scope } }), body);
  const claims = { jti: 'stolen', sub: 'ada' }, stolen = mine.token({ claims }), foreign = theirs.token({ claims });
  const sibling = mine.token({ claims: { ...claims, jti: 'kept' } }), undated = mine.token({ claims: { sub: 'ada', iat: undefined } });
  for (const token of [stolen, foreign, sibling, undated]) assert.deepEqual(await statuses(token), [200, 200]);

  assertProblem(await revoke({ jti: 'stolen' }, 'data:read'), 403, 'SCOPE_MISSING');
  for (const body of [{}, { jti: 'a', subject: 'b' }, { jti: '' }, { jti: 'a', expires_at: 'soon' }, { jti: 'a', expires_at: '2020-01-01T00:00:00Z' },
    { jti: 'x'.repeat(128) }, { subject: 'x'.repeat(256) }]) assertProblem(await revoke(body), 400);
  assert.deepEqual(await statuses(stolen), [200, 200]);

  const reply = await revoke({ jti: 'stolen', expires_at: '2100-01-01T00:00:00Z', reason: 'a test' });
  assert.equal(reply.status, 200, reply.text);
  assert.equal(reply.json.expires_at, '2100-01-01T00:00:00.000000Z');
  assert.equal((await both[0].get('/v1/datasets', stolen)).status, 401, 'by who answered, at once');
  await until('by the other one too', async () => (await both[1].get('/v1/datasets', stolen)).status === 401);
  for (const token of [foreign, sibling, undated]) assert.deepEqual(await statuses(token), [200, 200]);

  await fresh.ok(['token', 'revoke', '--subject', 'ada'], { tenant: 'dev' });
  await until('the subject is out everywhere', async () => (await statuses(sibling)).every((status) => status === 401));
  assert.deepEqual(await statuses(undated), [401, 401]);
  assert.deepEqual(await statuses(foreign), [200, 200]);
  assert.deepEqual(await statuses(mine.token({ claims: { sub: 'ada', iat: now() + 30 } })), [200, 200], 'one that is issued later');

  const minted = await fresh.token(), verify = (token) => fresh.cli(['token', 'verify', '-'], { input: token });
  assert.deepEqual(await statuses(minted), [200, 200]);
  assert.equal((await verify(minted)).code, 0);
  await fresh.ok(['token', 'revoke', minted], { tenant: 'dev' });
  await until('the minted one is out', async () => (await statuses(minted)).every((status) => status === 401));
  assert.match((await verify(minted)).stderr, /the token is revoked/);
  for (const one of both) assert.equal(await one.stop(), 0);
  const again = await fresh.serve();
  assert.equal((await again.get('/v1/datasets', stolen)).status, 401, 'after a restart');
  assert.equal(await again.stop(), 0);
});

test('inspect names the reason, and verify exits by it', async () => {
  const inspect = async (token) => JSON.parse(await data.ok(['token', 'inspect', token]));
  const good = await inspect(forge.token());
  assert.deepEqual([good.valid, good.reason, good.claims.tenant, good.header.kid], [true, null, 'dev', forge.kid]);
  const reasons = {
    'an expired token': /expired/, 'a token without exp': /`exp` is missing/, 'a foreign issuer': /`iss`/, 'a foreign audience': /`aud`/,
    'no tenant': /kid/, 'another tenant, signed by this one': /kid/, 'alg None': /`alg`|segment/, 'an unknown kid': /kid/, 'a crit header': /`crit`/,
    'a changed signature': /signature/, 'a lower-case algorithm': /`alg` is not ES256/, 'another typ': /`typ`/,
  };
  for (const [name, reason] of Object.entries(reasons)) {
    const { valid, reason: told } = await inspect(bad[name]());
    assert.equal(valid, false, name);
    assert.match(told, reason, name);
    const verified = await data.cli(['token', 'verify', bad[name]()]);
    assert.equal(verified.code, 1, name);
    assert.match(verified.stderr, reason, name);
  }
  for (const name of ['not a token', 'two segments', 'duplicate claims', 'claims that are a list', 'a token over the cap'])
    assert.equal((await data.cli(['token', 'inspect', bad[name]()])).code, 1, name);
});

test('a bad key file of one tenant is its own affair: the keys of others are rotated', async () => {
  const both = await Data.make('a', 'b', 'c');
  const other = await both.serve(), forges = Object.fromEntries(['a', 'b', 'c'].map((tenant) => [tenant, new Forge(both, tenant)]));
  const status = async (forged) => (await other.get('/v1/datasets', forged)).status;
  const badKeys = async () => (await other.get('/readyz?verbose')).json.bad_keys;
  const file = (tenant, kid) => join(both.directory, 'keys', tenant, 'tokens', `${kid}.ES256.pem`);
  for (const forge of Object.values(forges)) assert.equal(await status(forge.token()), 200);
  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey, pem = key.export({ type: 'pkcs8', format: 'pem' });
  for (const broken of ['a', 'c']) writeFileSync(file(broken, 'broken'), 'not a key', { mode: 0o600 });
  writeFileSync(file('a', 'fresh'), pem, { mode: 0o600 });
  writeFileSync(file('b', 'rotated'), pem, { mode: 0o600 });
  unlinkSync(file('b', forges.b.kid));
  other.process.child.kill('SIGHUP');
  await until('the new key of b is taken', async () => (await status(forges.b.token({ header: { kid: 'rotated' }, key }))) === 200);
  assert.equal(await status(forges.b.token()), 401);
  for (const tenant of ['a', 'c']) {
    assert.equal(await status(forges[tenant].token()), 200);
    await other.logged(new RegExp(`tenant ${tenant} cannot be loaded; its old ones stay.*broken`));
  }
  assert.equal(await status(forges.a.token({ header: { kid: 'fresh' }, key })), 401);
  assert.equal(await badKeys(), 2);
  for (const mended of ['a', 'c']) unlinkSync(file(mended, 'broken'));
  other.process.child.kill('SIGHUP');
  await until('the new key of a is taken', async () => (await status(forges.a.token({ header: { kid: 'fresh' }, key }))) === 200);
  assert.equal(await badKeys(), 0);
  assert.equal(await other.stop(), 0);
});
