// Keys of issuers: fetched, shared, rotated, and kept when the issuer is in trouble.
import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Data } from '../kit/everline.mjs';
import { run, tempDir, until } from '../kit/process.mjs';

const OUTGOING = ['--outgoing', '127.0.0.0/8'];
const ISSUER = 'https://issuer.test';
const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const now = () => Math.floor(Date.now() / 1000);

/** A key of an issuer: its JWK, and tokens that it signs. */
class Key {
  constructor(kid, kind = 'ec') {
    this.kid = kid;
    const { publicKey, privateKey } = kind === 'ec' ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : kind === 'rsa' ? generateKeyPairSync('rsa', { modulusLength: 2048 }) : generateKeyPairSync('ed25519');
    this.alg = { ec: 'ES256', rsa: 'RS256', ed: 'EdDSA' }[kind];
    this.hash = kind === 'ed' ? null : 'sha256';
    this.private = privateKey;
    this.jwk = { ...publicKey.export({ format: 'jwk' }), kid, use: 'sig' };
  }

  token(tenant, changes = {}) {
    const claims = { iss: ISSUER, aud: 'everline', tenant, scope: 'data:read', iat: now(), exp: now() + 600, ...changes };
    const input = `${part({ alg: this.alg, kid: this.kid })}.${part(claims)}`;
    return `${input}.${sign(this.hash, Buffer.from(input), { key: this.private, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
  }
}

/** An issuer's server; `answer` says what it does. */
class Issuer {
  constructor(keys, options) {
    this.keys = keys;
    this.requests = 0;
    const handle = (request, response) => { this.requests++; this.answer(response, request); };
    this.server = options ? https.createServer(options, handle) : http.createServer(handle);
    this.scheme = options ? 'https' : 'http';
    this.works();
  }

  works() { this.answer = (response) => response.end(JSON.stringify({ keys: this.keys.map((key) => key.jwk) })); }
  async listen() {
    await new Promise((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    this.url = `${this.scheme}://127.0.0.1:${this.server.address().port}/jwks.json`;
    return this;
  }

  close() { this.server.closeAllConnections(); this.server.close(); }
}

let data, server;
const issuers = [];
const issuer = async (keys, options) => {
  const made = await new Issuer(keys, options).listen();
  issuers.push(made);
  return made;
};
/** No token is sent before the keys are there: one with an unknown key id would have them fetched again. */
async function put(tenant, jwks) {
  await data.ok(['tenant', 'put', tenant, '--issuer', ISSUER, '--jwks', jwks]);
  await until('the keys are fetched', () => server.log.includes(`${jwks} has `));
}
const status = async (token) => (await server.get('/v1/datasets', token)).status;
const taken = (what, token) => until(what, async () => (await status(token)) === 200);
const health = async () => (await server.get('/readyz?verbose')).json;
const reload = () => server.process.child.kill('SIGHUP');

before(async () => {
  data = await Data.make('own');
  server = await data.serve(...OUTGOING);
});
after(async () => {
  if (server) assert.equal(await server.stop(), 0);
  for (const one of issuers) one.close();
});

test('tenants that name the same set share it, and nobody else has its keys', async () => {
  const keys = ['ec', 'rsa', 'ed'].map((kind) => new Key(`shared-${kind}`, kind)), shared = await issuer(keys);
  await data.ok(['tenant', 'put', 'stranger', '--issuer', ISSUER]);
  await put('a', shared.url);
  await put('b', shared.url);
  for (const key of keys)
    for (const tenant of ['a', 'b']) await taken(`${key.alg} of ${tenant}`, key.token(tenant));
  assert.ok(shared.requests <= 2, 'once, and perhaps for a token that came before');
  assert.equal((await health()).jwks_sources, 1);
  assert.match((await server.get('/metrics')).text, /^everline_jwks_sources 1$/m);
  for (const tenant of ['stranger', 'own', 'nobody']) assert.equal(await status(keys[0].token(tenant)), 401, tenant);
  assert.equal(await status(keys[0].token('a', { iss: 'https://other.test' })), 401);
  assert.equal((await data.cli(['token', 'verify', keys[0].token('a')])).code, 0);
  const row = JSON.parse(await data.ok(['tenant', 'get', 'a', '--output', 'json']));
  assert.equal(row.jwks, shared.url);
  await data.ok(['tenant', 'put', 'b', '--jwks', 'none']);
  await until('b has left', async () => (await status(keys[0].token('b'))) === 401);
  assert.equal(await status(keys[0].token('a')), 200);
});

test('a new key is fetched when a token names it, old ones go when they are gone, also out of the cache', async () => {
  const old = new Key('old'), fresh = new Key('fresh'), rotating = await issuer([old]);
  await server.stop();
  await data.ok(['tenant', 'put', 'rotating', '--issuer', ISSUER, '--jwks', rotating.url]);
  server = await data.serve(...OUTGOING); // nobody has sent it an unknown key id
  await until('it is ready', async () => (await server.get('/readyz')).status === 200);
  const before = old.token('rotating'), next = fresh.token('rotating');
  await taken('the old key', before);
  rotating.keys = [old, fresh];
  assert.equal(await status(next), 401, 'no request waits for an issuer');
  await taken('the new key', next);
  assert.equal(await status(before), 200, 'both are in force');
  rotating.keys = [fresh];
  reload();
  await until('the old key is gone', async () => (await status(before)) === 401);
  assert.equal(await status(next), 200);
});

test('a reload while a set is being fetched has it fetched again', async () => {
  const key = new Key('slow'), slow = await issuer([key]), held = [];
  await put('slow', slow.url);
  const reloaded = () => server.log.split('"reload"').length;
  slow.answer = (response) => held.push(response);
  reload();
  await until('a fetch is under way', () => held.length === 1);
  const before = reloaded();
  reload();
  await until('the reload is done', () => reloaded() > before);
  slow.works();
  const requests = slow.requests;
  held[0].end(JSON.stringify({ keys: [key.jwk] }));
  await until('it is fetched again', () => slow.requests > requests);
});

test('unknown key ids do not make the issuer work more than once a minute', async () => {
  const known = new Key('known-here'), busy = await issuer([known]);
  await put('busy', busy.url);
  await taken('the known key', known.token('busy'));
  const seen = busy.requests;
  for (let i = 0; i < 30; i++) assert.equal(await status(new Key(`unknown-${i}`).token('busy')), 401);
  assert.ok(busy.requests <= seen + 1, `${busy.requests - seen} fetches`);
});

test('the last good set stays when the issuer fails, and it is said', async () => {
  const key = new Key('steady'), shaky = await issuer([key]), elsewhere = await issuer([key]), token = key.token('shaky');
  await put('shaky', shaky.url);
  await taken('the key', token);
  const failures = {
    'status 500': (response) => { response.statusCode = 500; response.end('{}'); },
    'not JSON': (response) => response.end('<html>'),
    'no keys': (response) => response.end('{"keys":[]}'),
    'only secrets': (response) => response.end(JSON.stringify({ keys: [{ kty: 'oct', kid: 'x', k: 'AAAA' }] })),
    'a redirect': (response) => { response.writeHead(302, { location: elsewhere.url }); response.end(); },
    'too much': (response) => response.end(JSON.stringify({ keys: [key.jwk], pad: 'x'.repeat(300_000) })),
    'a broken connection': (response) => response.socket.destroy(),
  };
  for (const [name, answer] of Object.entries(failures)) {
    shaky.answer = answer;
    reload();
    await until(`${name} is noticed`, async () => (await health()).jwks_failing === 1);
    assert.equal(await status(token), 200, name);
    assert.match((await server.get('/metrics')).text, /^everline_jwks_failing 1$/m);
    shaky.works();
    reload();
    await until('it is well again', async () => (await health()).jwks_failing === 0);
  }
  await server.logged('the last good ones stay');
  assert.equal((await server.get('/readyz')).status, 200);
});

test('a set that could not be had is asked for again, with nothing to bring it to mind', async () => {
  const key = new Key('late'), late = await issuer([key]);
  late.answer = (response) => response.socket.destroy();
  await data.ok(['tenant', 'put', 'late', '--issuer', ISSUER, '--jwks', late.url]);
  await until('it was asked', () => late.requests > 0);
  late.works();
  await until('it was asked again', () => late.requests > 1);
  await taken('the key', key.token('late'));
});

test('key ids are each tenant\'s own: no issuer can take another one\'s', async () => {
  const mine = new Key('same'), theirs = new Key('same', 'rsa');
  const [one, two] = [await issuer([mine]), await issuer([theirs])];
  await put('mine', one.url);
  await put('theirs', two.url);
  await taken('my key', mine.token('mine'));
  await taken('their key', theirs.token('theirs'));
  assert.equal(await status(mine.token('theirs')), 401);
  assert.equal(await status(theirs.token('mine')), 401);

  const [header] = (await data.token({ tenant: 'own' })).split('.');
  const local = JSON.parse(Buffer.from(header, 'base64url')).kid, thief = new Key(local), three = await issuer([thief]);
  await put('thief', three.url);
  await taken('the thief\'s own key', thief.token('thief'));
  assert.equal(await status(thief.token('own', { iss: 'everline' })), 401);
  assert.equal(await status((await data.token({ tenant: 'own' }))), 200);
});

test('an issuer that never answers holds nobody up', async () => {
  const key = new Key('quick'), slow = await issuer([key]), token = key.token('slow');
  await put('slow', slow.url);
  await taken('the key', token);
  slow.answer = () => {};
  const seen = slow.requests;
  reload();
  await until('it is asked', () => slow.requests > seen);
  const start = performance.now();
  for (let i = 0; i < 20; i++) assert.equal(await status(token), 200);
  assert.ok(performance.now() - start < 5000);
  slow.works();
  slow.server.closeAllConnections();
});

test('--jwks-timeout is how long an issuer has', async () => {
  const key = new Key('late'), slow = await issuer([key]), token = key.token('dev');
  slow.answer = () => {};
  const own = await Data.make();
  await own.ok(['tenant', 'put', 'dev', '--issuer', ISSUER, '--jwks', slow.url]);
  const brief = await own.serve('--jwks-timeout', '100ms', ...OUTGOING), begun = performance.now();
  await until('it is given up', async () => (await brief.get('/readyz?verbose')).json.jwks_failing === 1);
  assert.ok(performance.now() - begun < 9000, 'before the default');
  await until('the log says so', () => /timed out after \d+ milliseconds/i.test(brief.log));
  slow.works();
  brief.process.child.kill('SIGHUP');
  await until('it is asked again, and answers', async () => (await brief.get('/v1/datasets', token)).status === 200);
  assert.equal(await brief.stop(), 0);
  slow.server.closeAllConnections();
});

test('--jwks-timeout is that of `token inspect` and `token verify`, too', async () => {
  const key = new Key('slow'), slow = await issuer([key]), token = key.token('dev');
  slow.answer = () => {};
  const own = await Data.make();
  await own.ok(['tenant', 'put', 'dev', '--issuer', ISSUER, '--jwks', slow.url]);
  for (const verb of ['inspect', 'verify']) {
    const begun = performance.now(), refused = await own.cli(['token', verb, token, '--jwks-timeout', '100ms']);
    assert.equal(refused.code, 3, refused.stderr);
    assert.match(refused.stderr, /timed out after \d+ milliseconds/i);
    assert.ok(performance.now() - begun < 9000, 'before the default');
    assert.equal((await own.cli(['token', verb, token, '--jwks-timeout', '0s'])).code, 2);
  }
  slow.works();
  assert.equal((await own.cli(['token', 'verify', token])).code, 0);
  slow.server.closeAllConnections();
});

test('a file is a place for keys, and a wrong place is refused', async () => {
  const key = new Key('from-a-file'), path = data.file('jwks.json', JSON.stringify({ keys: [key.jwk] }));
  await put('filed', path);
  await taken('the key of the file', key.token('filed'));
  for (const wrong of ['http://issuer.test/jwks', 'ftp://issuer.test/jwks', 'jwks.json', 'https://', 'http://127.0.0.1.issuer.test/', 'https://a b'])
    assert.notEqual((await data.cli(['tenant', 'put', 'filed', '--jwks', wrong])).code, 0, wrong);
});

test('a certificate that nobody vouches for is refused; --jwks-ca names who may', async () => {
  const directory = tempDir('tls'), key = join(directory, 'key.pem'), certificate = join(directory, 'cert.pem');
  const made = await run('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
    '-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', certificate]);
  assert.equal(made.code, 0, made.stderr);
  const signer = new Key('over-tls');
  const secure = await issuer([signer], { key: readFileSync(key), cert: readFileSync(certificate) });
  const own = await Data.make();
  await own.ok(['tenant', 'put', 'dev', '--issuer', ISSUER, '--jwks', secure.url]);
  const trusting = await own.serve('--jwks-ca', certificate, ...OUTGOING), wary = await own.serve(...OUTGOING);
  await until('it is fetched', async () => (await trusting.get('/v1/datasets', signer.token('dev'))).status === 200);
  await until('it is refused', async () => (await wary.get('/readyz?verbose')).json.jwks_failing === 1);
  assert.equal((await wary.get('/v1/datasets', signer.token('dev'))).status, 401);
  await wary.logged(/certificate|SSL/i);
  for (const one of [trusting, wary]) assert.equal(await one.stop(), 0);
});
