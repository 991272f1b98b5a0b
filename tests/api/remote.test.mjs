// Commands that a server does (--url), and `health`: against a real server, and against some that are none.
import assert from 'node:assert/strict';
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Data, everline } from '../kit/everline.mjs';
import { everlinePath, ingestPath, run, start, tempDir, until } from '../kit/process.mjs';
import { csv, THINGS, things } from '../kit/samples.mjs';

let data, server, tokenFile, token;
const closers = [];
const cwd = tempDir('remote');

/** A command for the server, with a token that may do everything. */
const remote = (args, { url = server.url, env = {}, ...options } = {}) =>
  everline(args, { env: { EVERLINE_URL: url, EVERLINE_TOKEN_FILE: tokenFile, ...env }, cwd, ...options });
async function ok(args, options) {
  const result = await remote(args, options);
  assert.equal(result.code, 0, `${args.join(' ')}: ${result.stderr}${result.stdout}`);
  return result.stdout;
}
const json = async (args, options) => JSON.parse(await ok([...args, '--output', 'json'], options));

/** The URL of something that answers every request with `answer(request, response)`. */
async function fake(answer) {
  const listener = http.createServer(answer);
  await new Promise((resolve) => { listener.listen(0, '127.0.0.1', resolve); });
  closers.push(() => { listener.closeAllConnections(); listener.close(); });
  return `http://127.0.0.1:${listener.address().port}`;
}
/** The URL of a port on which nobody listens, and that no test is given. */
const NOBODY = 'http://127.0.0.1:1';

before(async () => {
  data = await Data.make('dev');
  await data.put(THINGS);
  await data.ingest('things', { things: data.file('t.csv', csv(things(5))) });
  server = await data.serve();
  token = await data.token();
  tokenFile = data.file('token', `${token}\n`);
  chmodSync(tokenFile, 0o600);
});
after(async () => { for (const close of closers) close(); await server?.stop(); });

test('health says the state, and its exit code is for who starts servers', async () => {
  for (const args of [['--url', server.url], ['--port-file', server.portFile], ['--url', `${server.url}/`]]) {
    const { code, stdout, stderr } = await everline(['health', ...args]);
    assert.deepEqual([code, stdout, stderr], [0, 'ok\n', '']);
  }
  const unset = await everline(['health']);
  assert.equal(unset.code, 2);
  assert.match(unset.stderr, /--port-file FILE is needed \(or EVERLINE_PORT_FILE, or --url URL\)/);
  for (const [status, type, body, code, says] of [
    [503, 'application/json', '{"status":"not_ready"}', 1, /^everline: the server is not ready$/m],
    [503, 'application/problem+json', '{"type":"about:blank","status":503,"code":"STOPPING"}', 1, /stopping/],
    [200, 'text/html', '<html>', 3, /no everline server/], [404, 'application/json', '{"status":"ok"}', 3, /no everline server/],
    [302, 'application/json', '{"status":"ok"}', 3, /redirects are not followed/]]) {
    const url = await fake((request, response) => {
      assert.equal(request.headers.authorization, undefined, 'a probe carries no token');
      response.writeHead(status, { 'content-type': type, location: server.url }).end(body);
    });
    const health = await everline(['health', '--url', url], { env: { EVERLINE_TOKEN: token } });
    assert.equal(health.code, code, `${body}: ${health.stderr}`);
    assert.match(health.stderr, says);
    assert.equal(health.stdout, code === 1 && type === 'application/json' ? 'not_ready\n' : '');
  }
  assert.equal((await everline(['health', '--url', NOBODY])).code, 3);
  assert.equal((await everline(['health', '--port-file', join(cwd, 'none')])).code, 3, 'it is not ready yet');
  writeFileSync(join(cwd, 'port'), 'x\n');
  assert.equal((await everline(['health', '--port-file', join(cwd, 'port')])).code, 1);
});

test('get asks a server as it asks the data directory', async () => {
  for (const path of ['/v1/datasets', '/v1/datasets/things/records/t00001', '/v1/datasets/nothing', '/readyz']) {
    const [far, near] = [await remote(['get', path]), await data.cli(['get', path], { tenant: 'dev' })];
    const plain = (text) => text.replace(/"request_id":"[^"]*"/, '');
    assert.deepEqual([far.code, plain(far.stdout), far.stderr], [near.code, plain(near.stdout), near.stderr], path);
  }
});

test('a token comes from a file or from the environment, and is never on the command line', async () => {
  const url = { EVERLINE_URL: server.url };
  assert.equal((await everline(['get', '/v1/datasets'], { env: { ...url, EVERLINE_TOKEN: token } })).code, 0);
  assert.equal((await everline(['get', '/v1/datasets', '--token-file', tokenFile], { env: { ...url, EVERLINE_TOKEN: 'other' } })).code, 0);
  for (const args of [['--token', token], [`--token=${token}`]]) {
    const shown = await everline(['get', '/v1/datasets', ...args], { env: url });
    assert.equal(shown.code, 2);
    assert.match(shown.stderr, /everybody on this machine could read it/);
    assert.ok(!shown.stderr.includes(token));
  }
  const conf = data.file('token.conf', `[get]\ntoken = ${token}\n`);
  assert.match((await everline(['config', 'check', conf])).stderr, /"token" is a secret/);
  const dump = await everline(['config', 'dump', 'get'], { env: { EVERLINE_TOKEN: token } });
  assert.match(dump.stdout, /^get +token +\(not shown\) +environment$/m);
  assert.ok(!dump.stdout.includes(token));
  for (const [content, says] of [['', /is empty/], ['two words\n', /no token[^]*one line, the token/], ['a\nb\n', /no token/], ['x'.repeat(9000), /8192/]]) {
    const bad = await everline(['get', '/v1/datasets', '--token-file', data.file('bad', content)], { env: url });
    assert.notEqual(bad.code, 0);
    assert.match(bad.stderr, says);
  }
  assert.match((await everline(['get', '/v1/datasets', '--token-file', join(cwd, 'none')], { env: url })).stderr, /--token-file: .*none/);
});

test('a token in a file that others may read is warned of, once for a command', async () => {
  const path = data.file('open', `${token}\n`), says = `everline: warning: others may read ${path}, which has the token\n  hint: chmod 600 ${path}\n`;
  const put = () => remote(['tenant', 'put', 'dev'], { env: { EVERLINE_TOKEN_FILE: path } });
  const quiet = await remote(['tenant', 'put', 'dev']); /* which asks twice */
  assert.deepEqual([quiet.code, quiet.stderr], [0, '']);
  for (const mode of [0o644, 0o640, 0o604]) {
    chmodSync(path, mode);
    const { code, stdout, stderr } = await put();
    assert.deepEqual([code, stdout, stderr], [0, quiet.stdout, says], mode.toString(8));
  }
  chmodSync(path, 0o600);
  assert.equal((await put()).stderr, '');
  const { code, stderr } = await run('bash', ['-c', '"$0" get /v1/datasets --url "$1" --token-file <(echo "$2")', everlinePath, server.url, token]);
  assert.deepEqual([code, stderr], [0, '']); /* a pipe is nobody else's */
});

test('--url and what is of this machine are not mixed: what is said closer to the call counts', async () => {
  const near = { EVERLINE_DATA: data.directory, EVERLINE_TENANT: 'dev' }, far = { EVERLINE_URL: NOBODY, EVERLINE_TOKEN: token };
  assert.equal((await everline(['get', '/v1/datasets', '--url', server.url], { env: { ...near, EVERLINE_TOKEN: token } })).code, 0);
  assert.equal((await everline(['get', '/v1/datasets', '--data', data.directory], { env: { EVERLINE_TENANT: 'dev', ...far } })).code, 0);
  assert.equal((await everline(['get', '/v1/datasets'], { env: far })).code, 3);
  for (const [args, env] of [[['--url', server.url, '--data', data.directory], {}], [[], { ...near, ...far }]]) {
    const both = await everline(['get', '/v1/datasets', ...args], { env });
    assert.equal(both.code, 2);
    assert.match(both.stderr, /--url and --data are both there/);
  }
  const tenant = await everline(['get', '/v1/datasets', '--url', server.url, '--tenant', 'dev'], { env: far });
  assert.equal(tenant.code, 2);
  assert.match(tenant.stderr, /--tenant is not given beside --url[^]*the token says which tenant/);
  const conf = data.file('far.conf', `url = ${server.url}\ntoken-file = ${tokenFile}\n`);
  assert.equal((await everline(['get', '/v1/datasets', '--config', conf])).code, 0);
});

test('a command that no server does for others says so', async () => {
  for (const args of [['serve'], ['verify'], ['backup', '--to', 'x'], ['token'], ['catalog', 'rebuild'], ['audit', 'verify'], ['worker'],
    ['tenant', 'webhook-secret', 'dev'], ['dataset', 'check', 'x']]) {
    const result = await everline([...args, '--url', server.url]);
    assert.equal(result.code, 2, args.join(' '));
    assert.match(result.stderr, /takes no --url[^]*run it where the data is/);
  }
  for (const command of ['ingest', 'export']) {
    const worker = await run(ingestPath, [command, 'things', '--url', server.url, '--source', 'x'].slice(0, command === 'ingest' ? 6 : 4));
    assert.equal(worker.code, 2);
    assert.match(worker.stderr, /works here only\n {2}hint: ask a server by: everline /);
  }
});

test('an address that is none, or is not this machine and without TLS, is refused before anything is sent', async () => {
  for (const url of ['http://192.0.2.1', 'ftp://127.0.0.1', 'here', 'http://me@127.0.0.1', `${server.url}?x=`, 'http://127.0.0.1:1 ']) {
    const result = await remote(['get', '/v1/datasets'], { url });
    assert.equal(result.code, 2, url);
    assert.match(result.stderr, /no address of a server[^]*EVERLINE_URL/);
  }
  for (const path of ['v1/datasets', '/v1/data sets', '/v1/\r\nx: y']) assert.equal((await remote(['get', path])).code, 2);
});

test('who answers otherwise than a server of ours is not believed, and is not waited for', async () => {
  const document = (text, type = 'application/json', status = 200) => fake((request, response) =>
    response.writeHead(status, { 'content-type': type }).end(text));
  assert.equal((await remote(['versions', 'things'], { url: NOBODY })).code, 3);
  for (const url of [await document('<html>'), await document(''), await document('{"items":{}}'), await document('{"items":[],"next":7'),
    await document('[1]'), await document('<html>', 'text/html', 502), await document('{}', 'application/problem+json', 404),
    await document('{"items":[],"next":"again"}')]) {
    const result = await remote(['versions', 'things'], { url });
    assert.equal(result.code, 3, result.stderr);
    assert.match(result.stderr, /no everline server/);
    assert.equal(result.stdout, '');
  }
  // an answer that has no end: it is too long, too slow, or stands still
  const endless = await fake((request, response) => {
    const more = () => { while (response.write(' '.repeat(1 << 20))); };
    response.on('drain', more);
    more();
  });
  const large = await remote(['versions', 'things', '--timeout', '10m'], { url: endless });
  assert.equal(large.code, 3, large.stderr);
  assert.match(large.stderr, /larger than \d+ bytes/);
  for (const command of [['versions', 'things'], ['get', '/v1/datasets']])
    for (const begin of [() => {}, (response) => { response.write('{'); }, (response) => {
      const timer = setInterval(() => response.write(' '), 50);
      response.on('close', () => clearInterval(timer));
    }]) {
      const url = await fake((request, response) => begin(response));
      const slow = await remote([...command, '--timeout', '1s'], { url });
      assert.equal(slow.code, 3, slow.stderr);
      assert.match(slow.stderr, /the server of --url: [^]*--timeout/);
    }
  const cut = await fake((request, response) => { response.writeHead(200, { 'content-length': 100 }); response.write('{"items":'); response.socket.end(); });
  assert.equal((await remote(['get', '/v1/datasets'], { url: cut })).code, 3, 'half of an answer is none');
  // what it says is shown, and not obeyed by the terminal
  const hostile = await document('{"code":"X\\u001b[2J","detail":"no\\u001b[31m\\nway","hint":"\\u0007"}', 'application/problem+json', 409);
  const said = await remote(['versions', 'things'], { url: hostile });
  assert.equal(said.code, 1);
  assert.match(said.stderr, /^everline: no \[31m way$/m);
  const cells = await document('{"items":[{"version":1,"state":"A\\u001b[31mB"}],"next":null,"complete":true}');
  assert.ok(!(await ok(['versions', 'things'], { url: cells })).includes('\x1b'));
});

test('no control character of a server reaches the terminal, whatever document it is in', async () => {
  const bad = 'a\u001b[2Jb\u009b31mc\u007fd', plain = 'a [2Jb', control = /[\0-\x08\x0b-\x1f\x7f-\x9f]/;
  const answer = (body, status = 200) => fake((request, response) => {
    request.resume();
    response.writeHead(status, { 'content-type': status < 300 ? 'application/json' : 'application/problem+json' }).end(JSON.stringify(body));
  });
  const item = { rule: bad, file: bad, job: bad, dataset: bad, state: bad, rows: 1 };
  const page = { items: [item], next: null, rules: [item], unparsable: 1, rejected: 0, listed: 1, [bad]: bad };
  const failed = { job: 'j', state: bad, error: { code: bad, message: bad, place: bad, hint: bad }, progress: { phase: bad, rows: 1 } };
  for (const [args, body, status] of [
    [['jobs', 'watch', 'j'], failed], [['jobs', 'cancel', 'j'], failed], [['jobs', 'show', 'j'], { ...failed, [bad]: bad }],
    [['jobs', 'watch', 'j'], { state: 'succeeded', dataset: bad, version: bad, outcome: bad }], [['rejects', 'things', '1'], page],
    [['jobs', 'list'], page], [['jobs', 'list', '--output', 'json'], page], [['audit', 'search', '--output', 'csv'], { ...page, items: [{ reason: bad }] }], [['rollback', 'things', '--reason', 'x', '--from', '2'], item],
    [['dataset', 'get', 'things'], { prepare: bad, [bad]: [bad] }], [['versions', 'things'], { code: bad, detail: bad, hint: bad, errors: [{ pointer: bad }] }, 409]]) {
    const { stdout, stderr } = await remote(args, { url: await answer(body, status) });
    assert.doesNotMatch(stdout + stderr, control, args.join(' '));
    assert.ok((stdout + stderr).includes(args[1] === 'get' || args[3] === 'json' ? 'a\\u001B[2Jb' : plain), `${args.join(' ')}: ${stdout}${stderr}`);
    if (args[1] === 'get') assert.deepEqual(JSON.parse(stdout), body, 'a definition is not changed');
  }
  for (const status of [200, 503]) {
    const health = await everline(['health', '--url', await answer({ status: bad }, status)]);
    assert.deepEqual([health.code, health.stdout], [3, ''], health.stderr);
    assert.match(health.stderr, /no everline server/);
  }
});

test('an answer of any shape ends a command, and never by a signal', async () => {
  const rows = data.file('shape.csv', csv(things(3))), definition = data.file('shape.json', JSON.stringify(THINGS));
  const commands = [['dataset', 'list'], ['dataset', 'get', 'x'], ['dataset', 'put', definition], ['dataset', 'delete', 'x', '--reason', 'x'], ['versions', 'x'], ['rejects', 'x', '1'],
    ['jobs', 'list'], ['jobs', 'show', 'x'], ['jobs', 'watch', 'x'], ['jobs', 'cancel', 'x'], ['jobs', 'retry', 'x'], ['rollback', 'x', '--reason', 'x'], ['rollback', 'x', '--reason', 'x', '--from', '2'],
    ['promote', 'x', '1', '--reason', 'x'], ['retire', 'x', '1', '--reason', 'x'], ['usage'], ['audit', 'search'], ['audit', 'search', '--output', 'csv'], ['tenant', 'list'], ['tenant', 'get', 'x'], ['tenant', 'put', 'x'], ['tenant', 'delete', 'x', '--reason', 'x'],
    ['ingest', 'x', '--source', rows], ['export', 'x'], ['diff', 'x', '1', '2', '--output', 'json'], ['get', '/v1/x'], ['health', '--url']];
  for (const body of ['{}', '[]', '7', '{"items":[7,null,{"version":{}}],"next":null,"state":7,"dataset":7,"current":"x","job":"j","upload":[]}']) {
    const url = await fake((request, response) => { request.resume(); response.writeHead(200, { 'content-type': 'application/json' }).end(body); });
    for (const command of commands) {
      const result = await (command[0] === 'health' ? everline([...command, url]) : remote(command, { url }));
      assert.ok([0, 1, 3].includes(result.code), `${command.join(' ')} of ${body}: ${result.code} ${result.signal} ${result.stderr}`);
      assert.doesNotMatch(result.stdout + result.stderr, /\(null\)/, `${command.join(' ')} of ${body}`);
      if (['rollback', 'promote', 'retire', 'ingest', 'health'].includes(command[0]) || command[1] === 'watch')
        assert.equal(result.code, 3, `${command.join(' ')} of ${body}: ${result.stdout}${result.stderr}`);
    }
  }
});

test('an upload that is refused, or cut off, says so and ends', async () => {
  const large = data.file('large.csv', Buffer.alloc(30 << 20, 'x'));
  const narrow = data.file('narrow', await data.token({ scope: 'data:read' }));
  const denied = await remote(['ingest', 'things', '--source', large], { env: { EVERLINE_TOKEN_FILE: narrow } });
  assert.equal(denied.code, 1, denied.stderr);
  assert.match(denied.stderr, /ingest:write/);
  const small = await data.serve('--upload-limit', '1MiB');
  try {
    const refused = await remote(['ingest', 'things', '--source', large], { url: small.url });
    assert.equal(refused.code, 1, refused.stderr);
    assert.match(refused.stderr, /^everline: large\.csv: .*(1048576|too large|limit)/im);
  } finally {
    await small.stop();
  }
  const directory = tempDir('cut'), at = (name) => join(directory, name);
  assert.equal((await run('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
    '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-keyout', at('key'), '-out', at('cert')])).code, 0);
  const listener = https.createServer({ key: readFileSync(at('key')), cert: readFileSync(at('cert')) }, (request, response) => {
    if (request.method === 'GET') response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    else request.once('data', () => request.socket.destroy());
  });
  await new Promise((resolve) => { listener.listen(0, '127.0.0.1', resolve); });
  closers.push(() => { listener.closeAllConnections(); listener.close(); });
  const cut = await remote(['ingest', 'things', '--source', large, '--ca-file', at('cert')], { url: `https://localhost:${listener.address().port}` });
  assert.deepEqual([cut.code, cut.signal], [3, null], cut.stderr);
});

test('a certificate is verified, by the system or by --ca-file', async () => {
  const directory = tempDir('remote-tls'), at = (name) => join(directory, name);
  for (const name of ['one', 'two'])
    assert.equal((await run('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
      '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-keyout', at(`${name}.key`), '-out', at(`${name}.cert`)])).code, 0);
  const tls = await data.serve('--tls-cert', at('one.cert'), '--tls-key', at('one.key'));
  try {
    const [named, numbered] = ['localhost', '127.0.0.1'].map((host) => `https://${host}:${tls.port}`);
    assert.equal((await remote(['get', '/v1/datasets', '--ca-file', at('one.cert')], { url: named })).code, 0);
    assert.equal((await everline(['health', '--url', named, '--ca-file', at('one.cert')])).code, 0);
    for (const [url, ...args] of [[named], [named, '--ca-file', at('two.cert')], [numbered, '--ca-file', at('one.cert')], [named, '--ca-file', at('none')]])
      for (const command of [['get', '/v1/datasets'], ['health']]) {
        const env = { EVERLINE_TOKEN_FILE: tokenFile };
        const refused = await everline([...command, '--url', url, ...args], { env });
        assert.equal(refused.code, 3, `${url} ${args}: ${refused.stderr}`);
        assert.equal(refused.stdout, '');
        assert.match(refused.stderr, /certificate|subject name/i);
      }
    for (const [command, env] of [[['get', '/v1/datasets', '--ca-file', at('one.cert')], {}], [['health', '--ca-file', at('one.cert')], {}],
      [['get', '/v1/datasets'], { EVERLINE_CA_FILE: at('one.cert') }]]) {
      const plain = await everline([...command, '--url', server.url], { env: { EVERLINE_TOKEN_FILE: tokenFile, ...env } });
      assert.deepEqual([plain.code, plain.stdout], [2, ''], plain.stderr);
      assert.match(plain.stderr, /--ca-file: --url has no certificate[^]*https:/);
    }
  } finally {
    await tls.stop();
  }
});

test('what is listed and shown is what the data directory has', async () => {
  const platform = ['tenant'];
  for (const args of [['dataset', 'list'], ['dataset', 'get', 'things'], ['versions', 'things'], ['rejects', 'things', '1'], ['jobs', 'list'],
    ['jobs', 'show', 'job-000000000001'], ['tenant', 'list'], ['tenant', 'get', 'dev'], ['usage', '--from', '2026-01-01'], ['diff', 'things', '1', '1']]) {
    const tenant = platform.includes(args[0]) ? null : 'dev';
    for (const output of args.includes('get') && tenant ? [[]] : args[0] === 'diff' ? [['--output', 'json']] : [[], ['--output', 'json']]) {
      const near = await data.cli([...args, ...output], { tenant }), far = await remote([...args, ...output]);
      assert.equal(far.code, 0, far.stderr);
      if (args[0] === 'usage') continue; // it counts meanwhile
      const parsed = (text) => {
        try {
          const value = JSON.parse(text);
          for (const row of [value, ...(value.items ?? [])]) for (const name of ['hmac_key_check', 'next', 'complete']) delete row[name];
          if (args[0] === 'rejects') for (const name of ['dataset', 'version']) delete value[name];
          return value;
        } catch { return text; }
      };
      assert.deepEqual(parsed(far.stdout), parsed(near.stdout), args.join(' '));
    }
  }
  for (const args of [['dataset', 'get', 'nothing'], ['versions', 'nothing'], ['jobs', 'show', 'job-000000009999'], ['tenant', 'get', 'nobody'], ['rejects', 'things', '99']]) {
    const near = await data.cli(args, { tenant: args[0] === 'tenant' ? null : 'dev' }), far = await remote(args);
    assert.deepEqual([far.code, near.code], [1, 1], far.stderr);
    assert.match(far.stderr, /^everline: /m);
  }
  for (const [name, code] of [['..', 2], ['.', 2], ['', 2], ['x'.repeat(5000), 2], ['things/versions', 1], ['things?force=true', 1], ['../datasets', 1]])
    assert.equal((await remote(['dataset', 'get', name])).code, code, `${name} is one name`);
  assert.equal((await remote(['diff', 'things', '1', '1'])).code, 2, 'tables of a diff are made here only');
});

test('without a token, or with a wrong one, nothing is done, and it is said what to give', async () => {
  for (const [env, says] of [[{ EVERLINE_TOKEN_FILE: '' }, /a valid token is needed\n {2}hint: give one: --token-file FILE, or EVERLINE_TOKEN/],
    [{ EVERLINE_TOKEN_FILE: data.file('wrong', `${token}x`) }, /a valid token is needed\n {2}hint: the server's log/]])
    for (const args of [['versions', 'things'], ['rollback', 'things', '--reason', 'x'], ['dataset', 'delete', 'things', '--reason', 'x'],
      ['ingest', 'things', '--source', data.file('r.csv', csv(things(3)))], ['export', 'things'], ['export', 'things', '--output', join(cwd, 'no.csv')]]) {
      const result = await remote(args, { env });
      assert.equal(result.code, 1, args.join(' '));
      assert.match(result.stderr, says);
      assert.equal(result.stdout, '');
    }
  const narrow = await data.token({ scope: 'data:read' });
  const denied = await remote(['promote', 'things', '1', '--reason', 'x'], { env: { EVERLINE_TOKEN_FILE: data.file('narrow', narrow) } });
  assert.equal(denied.code, 1);
  assert.match(denied.stderr, /versions:write/);
  assert.ok(!existsSync(join(cwd, 'no.csv')));
  assert.deepEqual(readdirSync(cwd).filter((name) => name.includes('no.csv')), []);
  assert.equal((await data.versions('things')).length, 1);
});

test('what is no text, or names no file, is told before anything is sent', async () => {
  const latin = '"$(printf \'caf\\351\')"';
  for (const [args, code, says] of [['rollback things --from 1 --reason', 2, /^everline: --reason is not UTF-8\n/], ['promote things 1 --reason', 2, /^everline: --reason is not UTF-8\n/],
    ['ingest things --source', 1, /--source caf\?: the name of a source is UTF-8\n/]]) {
    const given = args.startsWith('ingest') ? `${latin}=${cwd}/none.csv` : latin;
    for (const url of args.startsWith('ingest') ? [server.url] : [server.url, null]) {
      const { code: exit, stderr } = await run('sh', ['-c', `exec "$0" ${args} ${given} ${url ? '' : `--data ${data.directory} --tenant dev`}`, everlinePath],
        { env: url ? { EVERLINE_URL: url, EVERLINE_TOKEN_FILE: tokenFile } : {}, cwd });
      assert.deepEqual([exit, says.test(stderr)], [code, true], `${args}: ${stderr}`);
    }
  }
  const empty = await remote(['ingest', 'things', '--source', 'things=']);
  assert.deepEqual([empty.code, empty.stderr], [1, 'everline: --source things= names no file\n']);
});

test('a dataset is defined, filled, moved, exported and deleted on a server, with the exit codes of this machine', async () => {
  const definition = { ...THINGS, name: 'far', gates: [{ name: 'drift', metric: 'count(*)', max_change_ratio: 0.5 }],
    checks: [{ name: 'light', expect: 'weight < 1000' }] };
  const file = data.file('far.json', JSON.stringify(definition)), rows = (name, list) => data.file(name, csv(list));
  assert.equal(await ok(['dataset', 'put', file]), 'dataset far is defined\n');
  for (const [change, code, place] of [[{ prepare: 'SELEC * FROM things' }, 1, /at \/prepare/], [{ key: 7 }, 1, /at \/key/]]) {
    const bad = await remote(['dataset', 'put', data.file('bad.json', JSON.stringify({ ...definition, ...change }))]);
    assert.equal(bad.code, code);
    assert.match(bad.stderr, place);
  }

  const first = await json(['ingest', 'far', '--source', rows('1.csv', things(10))]);
  assert.deepEqual([first.version, first.outcome, first.rows.accepted], [1, 'flipped', 10]);
  const breaking = data.file('less.json', JSON.stringify({ ...definition, record: { colour: 'VARCHAR' }, rollups: {}, checks: [] }));
  assert.match((await remote(['dataset', 'put', breaking])).stderr, /put with force if that is meant/);
  assert.match(await ok(['ingest', 'far', '--source', `things=${rows('2.csv', things(12))}`]), /^far version 2: flipped$/m);
  const held = await remote(['ingest', 'far', '--source', rows('3.csv', things(40)), '--output', 'json']);
  assert.equal(held.code, 4, held.stderr);
  assert.equal(JSON.parse(held.stdout).state, 'HELD');
  assert.match(held.stderr, /version 3 is held[^]*everline promote far 3/);
  const heavy = things(12).map((row, i) => (i === 5 ? { ...row, weight: 5000 } : row));
  const refused = await remote(['ingest', 'far', '--source', rows('4.csv', heavy)]);
  assert.equal(refused.code, 4, refused.stderr);
  assert.match(refused.stderr, /CHECK_FAILED/);
  for (const [args, code, says] of [[['ingest', 'nothing', '--source', '1.csv'], 1, /nothing|unknown|no dataset/i], [['ingest', 'far', '--source', join(cwd, 'none')], 1, /none/],
    [['ingest', 'far', '--source', join(cwd, '*.none')], 1, /no file matches/], [['ingest', 'far', '--source', cwd], 1, /is no file/],
    [['ingest', 'far', '--source', `other=${rows('5.csv', things(3))}`], 1, /other|source/], [['ingest', 'far'], 2, /--source/],
    [['ingest', 'far', '--source', rows('5.csv', things(3)), '--memory', '64MiB'], 2, /--memory is not given beside --url/]]) {
    const bad = await remote(args);
    assert.equal(bad.code, code, `${args.join(' ')}: ${bad.stderr}`);
    assert.match(bad.stderr, says);
  }

  assert.equal((await json(['promote', 'far', '3', '--reason', 'looked at'])).current, 3);
  const stale = await remote(['rollback', 'far', '--reason', 'x', '--if-match', '1']);
  assert.equal(stale.code, 1);
  const back = await remote(['rollback', 'far', '--reason', 'bad batch']);
  assert.deepEqual([back.code, back.stderr], [0, 'rolling far back from version 3\n']);
  assert.match(back.stdout, /^far serves version 2 \(sequence \d+\)\n$/);
  assert.match(await ok(['rollback', 'far', '--reason', 'again', '--from', '2', '--to', '1']), /serves version 1/);
  const again = await remote(['rollback', 'far', '--reason', 'again', '--from', '2']);
  assert.equal(again.code, 1, 'pressing twice goes back once');
  const events = JSON.parse(await ok(['get', '/v1/datasets/far/events'])).items.filter(({ reason }) => reason === 'bad batch');
  assert.equal(events.length, 1);

  for (const format of ['csv', 'ndjson', 'parquet']) {
    const [far, near] = ['far', 'near'].map((name) => join(cwd, `${name}.${format}`));
    await ok(['export', 'far', '--format', format, '--output', far, '--version', '2']);
    await data.ok(['export', 'far', '--format', format, '--output', near, '--version', '2'], { tenant: 'dev' });
    assert.deepEqual(readFileSync(far).subarray(0, 4), readFileSync(near).subarray(0, 4));
    if (format !== 'parquet') assert.equal(readFileSync(far, 'utf8'), readFileSync(near, 'utf8'));
  }
  assert.equal(await ok(['export', 'far', '--version', '2']), readFileSync(join(cwd, 'near.csv'), 'utf8'));
  assert.equal((await remote(['export', 'far', '--format', 'parquet'])).code, 2);
  assert.equal((await remote(['export', 'far', '--format', 'xml', '--output', join(cwd, 'x')])).code, 1);
  assert.ok(!existsSync(join(cwd, 'x')));

  const { job } = (await json(['jobs', 'list', '--dataset', 'far', '--state', 'failed'])).items.find(({ error }) => error.code === 'CHECK_FAILED');
  assert.equal((await remote(['jobs', 'watch', job])).code, 4);
  assert.equal((await remote(['jobs', 'cancel', job])).code, 1);
  assert.equal((await remote(['jobs', 'retry', job])).code, 1, 'its uploads are gone');
  assert.match((await remote(['retire', 'far', '3', '--reason', 'no more', '--if-match', '1'])).stderr, /at sequence/);
  assert.match(await ok(['retire', 'far', '3', '--reason', 'it was & is = "wrong"']), /^version 3 of far is retired\nfar serves version 1 \(sequence \d+\)\n$/);
  assert.equal((await json(['versions', 'far'])).items.find(({ version }) => version === 3).state, 'RETIRED');
  assert.ok(JSON.parse(await ok(['get', '/v1/datasets/far/events'])).items.some(({ reason }) => reason === 'it was & is = "wrong"'));
  assert.match((await remote(['dataset', 'delete', 'far', '--reason', 'no more', '--if-match', '1'])).stderr, /at sequence/);
  assert.equal(await ok(['dataset', 'delete', 'far', '--reason', 'no more']), 'dataset far is deleted\n');
  assert.equal((await remote(['dataset', 'get', 'far'])).code, 1);
});

test('a file of any name is uploaded, under one that the server takes', async () => {
  const long = `${'n'.repeat(150)}.csv.gz`;
  for (const [name, taken] of [['my file.csv', 'my_file.csv'], ['_a.csv', 'file_a.csv'], ['.csv', 'file.csv'], ['a+b=c&d.csv', 'a_b_c_d.csv'],
    ['\u00fc.csv', 'file__.csv'], [long.slice(0, -3), `${'n'.repeat(96)}.csv`], [`-${long.slice(0, -3)}`, `file-${'n'.repeat(91)}.csv`], ['plain-1_2.csv', 'plain-1_2.csv']]) {
    const path = join(tempDir('names'), name);
    writeFileSync(path, `${csv(things(3))}x\n`);
    const result = await remote(['ingest', 'things', '--source', path]);
    assert.equal(result.code, 1, result.stderr);
    assert.ok(result.stderr.includes(`everline: failed: CSV_SHORT_ROW: ${taken} line `), `${name}: ${result.stderr}`);
  }
});

test('a job that waits is cancelled on a server, and who follows it is told', async () => {
  const own = await Data.make('dev');
  await own.put(THINGS);
  const idle = await own.serve('--ingest-workers', '0');
  try {
    const url = idle.url, env = { EVERLINE_TOKEN_FILE: own.file('token', await own.token()) }, list = (state) => json(['jobs', 'list', '--state', state], { url, env });
    const ingest = start(everlinePath, ['ingest', 'things', '--url', url, '--token-file', env.EVERLINE_TOKEN_FILE, '--source', data.file('w.csv', csv(things(7)))]);
    const job = await until('the job waits', async () => (await list('queued')).items[0]?.job);
    assert.equal(await ok(['jobs', 'cancel', job], { url, env }), `${job} is canceled\n`);
    assert.equal((await ingest.ended).code, 1);
    assert.match(ingest.stderr, /canceled/);
    assert.equal((await remote(['jobs', 'cancel', 'job-000000009999'], { url, env })).code, 1);
  } finally {
    await idle.stop();
  }
});

test('a list goes on over its pages, and no further than its limit', async () => {
  const pages = await fake((request, response) => {
    const at = new URL(request.url, 'http://x').searchParams, from = Number(at.get('cursor') ?? 0), count = Number(at.get('limit'));
    const items = Array.from({ length: Math.min(count, 1500 - from) }, (_, i) => ({ job: `j${from + i}` }));
    const next = from + items.length < 1500 ? String(from + items.length) : null;
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ items, next, complete: next === null }));
  });
  for (const [limit, wanted] of [[1, 1], [1000, 1000], [1200, 1200], [5000, 1500]]) {
    const { items } = await json(['jobs', 'list', '--limit', String(limit)], { url: pages });
    assert.deepEqual([items.length, items.at(-1).job], [wanted, `j${wanted - 1}`]);
  }
});

test('a list whose pages never end is not followed for ever', async () => {
  let asked = 0;
  const endless = await fake((request, response) =>
    response.writeHead(200, { 'content-type': 'application/json' }).end(`{"items":[],"next":"c${asked++}"}`));
  const { code, stdout, stderr } = await remote(['jobs', 'list'], { url: endless });
  assert.deepEqual([code, stdout, asked], [1, '', 1000], stderr);
  assert.match(stderr, /the list has more than 1000 pages/);
});

test('a tenant is made and changed on a server, and only in what is said', async () => {
  assert.equal(await ok(['tenant', 'put', 'second', '--max-datasets', '3']), 'tenant second is enabled\n');
  assert.equal(await ok(['tenant', 'put', 'second', '--requests-per-day', '9', '--class', 'trial', '--disable']), 'tenant second is disabled\n');
  const row = await json(['tenant', 'get', 'second']);
  assert.deepEqual([row.enabled, row.class, row.limits.max_datasets, row.limits.requests_per_day], [false, 'trial', 3, 9]);
  for (const [args, code] of [[['--class', 'none'], 1], [['--enable', '--disable'], 2], [['--jwks', '/etc/passwd'], 1]])
    assert.equal((await remote(['tenant', 'put', 'second', ...args])).code, code, args.join(' '));
  assert.deepEqual(await json(['tenant', 'get', 'second']), row);
  assert.equal((await remote(['tenant', 'put', 'No Name'])).code, 1);
  assert.equal(await ok(['tenant', 'delete', 'second', '--reason', 'x']), 'tenant second is deleted\n');
  assert.equal((await remote(['tenant', 'delete', 'second', '--reason', 'x'])).code, 1);
});

test('an upload has the bar of an ingest on a terminal', async () => {
  const rows = data.file('bar.csv', csv(things(200_000)));
  const shown = await run('script', ['-qec', `stty cols 100; ${everlinePath} ingest things --source ${rows}`, '/dev/null'],
    { env: { EVERLINE_URL: server.url, EVERLINE_TOKEN_FILE: tokenFile }, input: '' });
  assert.equal(shown.code, 0, shown.stdout);
  const lines = shown.stdout.split('\r\x1b[K');
  assert.ok(lines.some((line) => /^bar.csv uploading +\[#* *\] \d+ bytes/.test(line)), shown.stdout);
  assert.match(lines.at(-1), /^things version \d+: flipped/);
});
