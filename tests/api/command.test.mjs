// The command line itself: help, usage errors, exit codes, what is on stdout.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { Data, everline } from '../kit/everline.mjs';
import { filesBelow } from '../kit/files.mjs';
import { everlinePath, ingestPath, run, sourceDir, start, tempDir, until } from '../kit/process.mjs';
import { csv, THINGS, things } from '../kit/samples.mjs';

const COMMANDS = ['dev', 'serve', 'ingest', 'export', 'worker',
  'tenant put', 'tenant get', 'tenant webhook-secret', 'tenant delete', 'tenant list',
  'token', 'token inspect', 'token verify', 'token revoke',
  'dataset put', 'dataset delete', 'dataset init', 'dataset check', 'dataset get', 'dataset list', 'versions', 'rejects',
  'jobs list', 'jobs show', 'jobs watch', 'jobs cancel', 'jobs retry', 'diff', 'rollback', 'promote', 'retire',
  'verify', 'usage', 'audit search', 'audit verify', 'backup', 'restore', 'catalog rebuild', 'get', 'health', 'completion',
  'config example', 'config check', 'config dump', 'version'];
let data;

before(async () => {
  data = await Data.make('dev');
  await data.put(THINGS);
  await data.ingest('things', { things: data.file('t.csv', csv(things(5))) });
});

test('the list of commands names these, and no other', async () => {
  for (const args of [['--help'], ['help'], []]) {
    const { code, stdout, stderr } = await everline(args);
    assert.equal(code, args.length ? 0 : 2);
    const named = [...(args.length ? stdout : stderr).matchAll(/^ {2}([a-z-]+(?: [a-z-]+)?) +[A-Z]/gm)].map(([, name]) => name);
    assert.deepEqual(named, COMMANDS);
  }
});

for (const name of COMMANDS)
  test(`${name} --help has an example and does nothing`, async () => {
    for (const args of [[...name.split(' '), '--help'], ['help', ...name.split(' ')]]) {
      const result = await everline(args);
      assert.equal(result.code, 0, result.stderr);
      assert.match(result.stdout, /usage: everline/);
      assert.match(result.stdout, /example:\n {2}everline /);
    }
  });

test('the configuration file gives options, of both programs, and is checked by both', async () => {
  const example = (await everline(['config', 'example'])).stdout;
  for (const section of ['serve', 'ingest', 'catalog rebuild']) assert.ok(example.includes(`\n[${section}]\n`), section);
  assert.doesNotMatch(example, /^#(reason|from|source|dry-run) =|^\[tenant delete\]$/m, 'what is of one call');
  // every option that has a default: the file that says the same is right
  const file = data.file('all.conf', example.replace(/^#([a-z-]+ = .)/gm, '$1'));
  const right = await everline(['config', 'check', file]);
  assert.deepEqual([right.code, right.stdout], [0, `${file} is right\n`], right.stderr);

  const conf = data.file('some.conf', `data = ${data.directory}\ntenant = dev\n\n[versions]\noutput = json\n`);
  const listed = await everline(['versions', 'things', '--config', conf]);
  assert.equal(listed.code, 0, listed.stderr);
  assert.equal(JSON.parse(listed.stdout).items[0].version, 1);
  const dump = await everline(['config', 'dump', 'versions'], { env: { ...process.env, EVERLINE_CONFIG: conf, EVERLINE_KEYS: '/k' } });
  assert.match(dump.stdout, new RegExp(`^versions +output +json +${conf}:5$`, 'm'));
  assert.match(dump.stdout, new RegExp(`^versions +data +\\S+ +${conf}:1$`, 'm'));
  assert.match(dump.stdout, /^versions +keys +\/k +environment$/m);

  for (const [text, line, says] of [['[serve]\nbody-limit = 2MB\n', 2, /body-limit/], ['[serve]\n\nport = 1\n', 3, /port/],
    ['[serve]\nlisten = 127.0.0.1:0\nlog-level = loud\n', 3, /log-level: "loud"/], ['[serve]\nusage-interval = 0s\n', 2, /usage-interval: from 1/],
    ['[serve]\njwks-timeout = 0s\n', 2, /jwks-timeout: from 1/],
    ['[serve]\ncors-origin = https://a.example\ncors-origin = b\ncors-origin = https://c.example\n', 3, /"b" is not an origin[^]*hint: /],
    ['[serve]\ntrusted-proxy = unix\n\ntrusted-proxy = nobody\n', 4, /trusted-proxy: /], ['[serve]\noutgoing = 10.0.0.0/99\n', 2, /outgoing: /],
    ['[serve]\n\nlisten = 127.0.0.1:99999\n', 3, /^everline: --listen: "127/m],
    ['[serve]\nlisten = 127.0.0.1:\n', 2, /^everline: --listen: "127/m], ['[serve]\nmetrics-listen = here\n', 2, /^everline: --metrics-listen: ADDRESS:PORT expected/m],
    ['[serve]\nmetrics-listen = unix:\n', 2, /^everline: --metrics-listen: the path/m], ['[serve]\nproxy-header = via\n', 2, /proxy-header/],
    ['[ingest]\nmemory = lots\n', 2, /memory/], ['[ingest]\nthreads = 1\ndry-run = true\n', 3, /"dry-run" is of one call/],
    ['[rollback]\nto = 3\n', 2, /"to" is of one call[^]*hint: give it there: everline rollback --to/], ['[nothing]\nx = 1\n', 2, /nothing/]]) {
    const bad = data.file('bad.conf', text);
    const result = await everline(['config', 'check', bad]);
    assert.equal(result.code, 2);
    assert.match(result.stderr, says);
    assert.ok(result.stderr.includes(`at ${bad}:${line}\n`), result.stderr);
    if (!text.startsWith('[serve]')) continue;
    const served = await data.cli(['serve', '--config', bad]);
    assert.equal(served.code, 2);
    assert.ok(served.stderr.includes(`at ${bad}:${line}\n`), served.stderr);
  }
  for (const half of ['cert', 'key']) {
    const halved = data.file('half.conf', `[serve]\n\ntls-${half} = /none\n`), other = { EVERLINE_TLS_CERT: '/none', EVERLINE_TLS_KEY: '/none' };
    assert.equal((await everline(['config', 'check', halved])).code, 0, 'the environment may have the other half');
    assert.match((await data.cli(['serve', '--config', halved], { env: other })).stderr, /\/none: /);
    const served = await data.cli(['serve', '--config', halved]);
    assert.equal(served.code, 2);
    assert.ok(served.stderr.includes('--tls-cert and --tls-key are given together') && served.stderr.includes(`at ${halved}:3\n`), served.stderr);
  }
  const env = { ...process.env, EVERLINE_LOG_LEVEL: 'loud' };
  assert.match((await data.cli(['serve'], { env })).stderr, /log-level: "loud"[^]* at EVERLINE_LOG_LEVEL\n/);
  assert.equal((await everline(['config', 'check', conf], { env })).code, 0, 'of the file alone');
  assert.equal((await everline(['config', 'dump', 'nothing'])).code, 2);
});

test('what EVERLINE_OUTPUT says is a format, and no file that an export would write', async () => {
  const env = { EVERLINE_OUTPUT: 'json' }, cwd = tempDir('cwd');
  assert.equal(JSON.parse(await data.ok(['versions', 'things'], { tenant: 'dev', env })).items[0].version, 1);
  const lines = (await data.ok(['export', 'things'], { tenant: 'dev', env, cwd })).trimEnd().split('\n');
  assert.equal(lines.length, 6);
  assert.ok(!existsSync(join(cwd, 'json')));
  assert.doesNotMatch((await everline(['export', '--help'])).stdout, /EVERLINE_OUTPUT/);
});

test('what is of one call is said in that call: a variable that was forgotten does nothing else instead', async () => {
  const own = await Data.make('dev');
  await own.put(THINGS);
  const env = Object.fromEntries(Object.entries({ FROM: '1', TO: '1', VERSION: '1.2.3', FORCE: 'true', REASON: 'x', DRY_RUN: 'true', IF_MATCH: '99', SOURCE: '/dev/null', DATASET: 'x' })
    .map(([name, value]) => [`EVERLINE_${name}`, value]));
  const rows = (count) => own.file('rows.csv', csv(things(count)));
  for (const count of [5, 6, 7]) assert.equal((await own.ingest('things', { things: rows(count) }, { env })).rows.accepted, count);
  assert.equal((await own.ok(['export', 'things'], { tenant: 'dev', env })).trimEnd().split('\n').length, 8);
  assert.match((await own.cli(['rollback', 'things'], { tenant: 'dev', env })).stderr, /--reason TEXT is needed$/m);
  await own.ok(['rollback', 'things', '--reason', 'bad'], { tenant: 'dev', env });
  assert.equal((await own.versions('things')).find(({ current }) => current).version, 2);
  await own.ok(['jobs', 'list'], { tenant: 'dev', env });
  await own.ok(['usage'], { tenant: 'dev', env });
  assert.equal((await own.cli(['backup'], { env })).code, 2);
  for (const command of ['rollback', 'backup', 'restore', 'usage', 'ingest', 'export'])
    assert.doesNotMatch((await everline([command, '--help'])).stdout, /EVERLINE_(FROM|TO|VERSION|REASON|IF_MATCH|SOURCE)\b/);
});

test('a variable that is misspelt is told on stderr, with the one that is meant', async () => {
  const near = { EVERLINE_DATA: data.directory };
  const told = await everline(['versions', 'things'], { env: { ...near, EVERLINE_TENNANT: 'dev', EVERLINE_TENANT: 'dev', EVERLINE_DTAA: '/x', EVERLINE_CONFG: 'x' } });
  assert.equal(told.code, 0, told.stderr);
  assert.deepEqual(told.stderr.trimEnd().split('\n').sort(), [['CONFG', 'CONFIG'], ['DTAA', 'DATA'], ['TENNANT', 'TENANT']]
    .map(([wrong, right]) => `everline: warning: nothing reads EVERLINE_${wrong}; is EVERLINE_${right} meant?`));
  assert.match(told.stdout, /SUCCEEDED/);
  // what is right, is empty, or is somebody else's (an orchestrator names a service so), is nobody's mistake
  const others = { EVERLINE_TENANT: 'dev', EVERLINE_LISTEN: '127.0.0.1:0', EVERLINE_REASON: 'x', EVERLINE_TOKEN: 'x', EVERLINE_: 'x', EVERLINE_SERVICE_HOST: '10.0.0.1', EVERLINE_SERVICE_PORT: '80',
    EVERLINE_PORT: 'tcp://10.0.0.1:80', EVERLINE_PORT_80_TCP_ADDR: '10.0.0.1', [`EVERLINE_${'X'.repeat(300)}`]: 'x', EVERLINEX: 'x' };
  for (const command of [['versions', 'things'], ['export', 'things']])
    assert.doesNotMatch((await everline(command, { env: { ...near, ...others } })).stderr, /warning/);
});

test('with NO_COLOR nothing is coloured, on a terminal either', async () => {
  await data.put({ ...THINGS, name: 'tinted' });
  const rows = data.file('colour.csv', csv(things(20_000))), env = { EVERLINE_DATA: data.directory, EVERLINE_TENANT: 'dev' };
  const colour = /\x1b\[[0-9;]*m/;
  /** What a server logs on a terminal: that is what has colours. */
  const serve = async (more) => {
    const port = join(tempDir('port'), 'port');
    const shown = start('script', ['-qefc', `exec ${everlinePath} serve --log-level debug --listen 127.0.0.1:0 --port-file ${port}`, '/dev/null'], { env: { ...env, ...more } });
    try {
      await until('it serves', () => existsSync(port));
      const asked = await everline(['health', '--port-file', port]);
      assert.equal(asked.code, 0, asked.stderr);
      await until('it has logged that', () => / request: readyz: 200 .*\r/.test(shown.stdout));
    } finally {
      shown.child.kill('SIGTERM');
    }
    await shown.ended;
    return shown.stdout;
  };
  assert.match(await serve({}), colour);
  assert.match(await serve({ NO_COLOR: '' }), colour, 'empty, it says nothing');
  assert.doesNotMatch(await serve({ NO_COLOR: '1' }), colour);
  const on = (command) => run('script', ['-qec', command, '/dev/null'], { env: { ...env, NO_COLOR: '1' }, input: '' });
  for (const command of [`ingest tinted --source ${rows}`, 'versions tinted', 'versions nothing', '--help', 'nothing'])
    assert.doesNotMatch((await on(`${everlinePath} ${command}`)).stdout, colour, command);
});

test('a token has no more datasets than EVERLINE_DATASET says', async () => {
  const token = await data.ok(['token'], { tenant: 'dev', env: { EVERLINE_DATASET: 'things' } });
  assert.deepEqual(JSON.parse(Buffer.from(token.split('.')[1], 'base64url')).datasets, ['things']);
});

test('on a terminal progress is one line, however narrow, which is gone in the end', async () => {
  await data.put({ ...THINGS, name: 'wide' });
  const rows = data.file('wide.csv', csv(things(50_000))), env = { EVERLINE_DATA: data.directory, EVERLINE_TENANT: 'dev' };
  for (const columns of [20, 100]) {
    const shown = await run('script', ['-qec', `stty cols ${columns}; ${everlinePath} ingest wide --source ${rows}`, '/dev/null'], { env, input: '' });
    assert.equal(shown.code, 0, shown.stdout);
    const text = shown.stdout.replaceAll('\r\n', '\n'), end = text.lastIndexOf('\r\x1b[K');
    const drawn = text.slice(0, end), last = text.slice(end + 4);
    assert.match(last, /^wide version \d+: /);
    const lines = drawn.split('\r\x1b[K').slice(1);
    for (const phase of ['preparing', 'building', 'verifying', 'warming'])
      assert.ok(lines.some((line) => line.startsWith(`wide ${phase}`.slice(0, columns - 1))), `${columns} ${phase}: ${drawn}`);
    for (const line of lines) assert.ok(line.length < columns && !line.includes('\n'), line);
  }
  const plain = await data.ok(['ingest', 'wide', '--source', rows], { tenant: 'dev' });
  assert.match(plain, /^wide version \d+: identical/);
});

test('a usage error is exit code 2 and says what is wrong', async () => {
  for (const [args, wanted] of [[['nothing'], /nothing/], [['tenant'], /tenant/], [['tenant', 'put'], /NAME/],
    [['versions', 'x', 'y', '--data', 'z'], /operands/], [['serve', '--port', '1'], /--port/], [['serve'], /--data/],
    [['token', '--data', 'x', '--tenant', 'dev', '--ttl', 'soon'], /--ttl/],
    ...['one', '0', '+5', ' 5', '5 ', '0x5', '', '-5', '99999999999999999999'].map((version) =>
      [['promote', 'x', version, '--data', 'x', '--tenant', 'dev', '--reason', 'x'], /VERSION|-5/]),
    ...[['--workers', '257'], ['--workers', '4294967297'], ['--connections', '4294967300'], ['--connections', '0'],
      ['--drain-timeout', '25d'], ['--request-timeout', '0s']].map((option) =>
      [['serve', '--data', 'x', ...option], new RegExp(`${option[0]}: from \\d+ to \\d+`)]),
    [['versions', 'x', '--data', 'x', '--tenant', 'dev', '--output', 'xml'], /--output/]]) {
    const result = await everline(args);
    assert.equal(result.code, 2, `${args.join(' ')}: ${result.stderr}`);
    assert.match(result.stderr, wanted);
    assert.equal(result.stdout, '');
  }
});

test('a slip in a command or an option is told in a few lines, with what is meant', async () => {
  for (const [args, wanted] of [
    [['ingset', 'things'], /^everline: unknown command "ingset"\n {2}hint: is "ingest" meant\?\neverline --help lists the commands\.\n$/],
    [['nothing'], /^everline: unknown command "nothing"\neverline --help lists the commands\.\n$/],
    [['tenant', 'pt', 'dev'], /^everline: unknown command "tenant pt"\n {2}hint: is "tenant put" meant\?\n[^]*tenant list/],
    [['tenant'], /^everline: "tenant" needs a second word\n[^]*tenant list/],
    [['versions', 'things', '--tennant', 'dev'], /unknown option --tennant\n {2}hint: is --tenant meant\?\n/],
    [['versions', 'things', '--nothing'], /unknown option --nothing\nusage:/],
    [['diff', 'things', '1', '--data', 'x', '--tenant', 'dev'], /DATASET A B: 1 of 3 are missing/],
    [['versions', '', '--data', 'x', '--tenant', 'dev'], /DATASET: operand 1 is empty\n {2}hint: /],
    [['versions', 'things', '--data', 'x', '--tenant', ''], /--tenant is empty\n {2}hint: /],
    [['usage', '--data', 'x', '--tenant', 'dev', '--from', '2026-13-01'], /--from: not a day such as 2026-01-31\n/],
    [['usage', '--data', 'x', '--tenant', 'dev', '--to', '2026-01-011'], /--to: not a day such as 2026-01-31\n/]]) {
    const result = await everline(args, { env: { ...process.env, EVERLINE_TENANT: '' } });
    assert.equal(result.code, 2, `${args.join(' ')}: ${result.stderr}`);
    assert.match(result.stderr, wanted);
    assert.equal(result.stdout, '');
  }
  assert.equal((await everline(['--version'])).stdout, (await everline(['version'])).stdout);
});

test('a value that an option cannot have is wrong usage, and the message names the option', async () => {
  for (const [args, wanted] of [
    [['token', '--ttl', '999ms'], /--ttl: 1s or longer expected\n/],
    [['token', '--scope', 'data:reed'], /--scope: no scope is called "data:reed"\n {2}hint: .*data:read/],
    [['token', 'revoke', '--subject', 'x', '--expires-at', 'tomorrow'], /--expires-at: not an RFC 3339 time/]]) {
    const result = await data.cli(args, { tenant: 'dev' });
    assert.equal(result.code, 2, `${args.join(' ')}: ${result.stderr}`);
    assert.match(result.stderr, wanted);
  }
});

test('a tenant that there is not is told, and is not a tenant without datasets or jobs', async () => {
  const ask = (args) => data.cli(args, { tenant: 'nobody' });
  const jobs = await ask(['jobs', 'list']);
  assert.deepEqual([jobs.code, jobs.stdout], [1, '']);
  assert.match(jobs.stderr, /there is no tenant "nobody"/);
  for (const args of [['versions', 'people'], ['rollback', 'people', '--reason', 'a test']])
    assert.match((await ask(args)).stderr, /there is no dataset "people"\n {2}hint: nor a tenant "nobody"/);
});

test('a token that has expired and is still taken, as clocks differ, is told to be just that', async () => {
  const token = (await data.ok(['token', '--ttl', '1s', '--scope', 'data:read'], { tenant: 'dev' })).trim();
  const { exp } = JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));
  await until('it has expired', () => Date.now() / 1000 >= exp);
  assert.match(await data.ok(['token', 'verify', token], { tenant: null }), /: expired \d s ago, and taken until 60 s after\n$/);
});

test('an address where another process listens is told with what to do', async () => {
  const other = net.createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const busy = await data.cli(['serve', '--listen', `127.0.0.1:${other.address().port}`]);
  other.close();
  assert.equal(busy.code, 1);
  assert.match(busy.stderr, /listening on 127\.0\.0\.1:\d+: Address already in use\n {2}hint: another process listens there/);
});

test('what is wrong with a batch is told whole: a path that is empty, places that are long, columns that no one knows', async () => {
  const own = await Data.make('dev');
  await own.put(THINGS);
  const refused = async (...args) => {
    const result = await own.cli(['ingest', ...args], { tenant: 'dev' });
    assert.equal(result.code, 1, result.stdout);
    return result.stderr;
  };
  assert.match(await refused('things', '--source', 'things='), /--source things= names no file\n/);
  const directory = join(tempDir('long'), 'x'.repeat(200));
  mkdirSync(directory);
  const rows = join(directory, 'rows.csv');
  writeFileSync(rows, 'id,colour,weight,made\n1,red,heavy,\n2,red,heavy,\n');
  assert.match(await refused('things', '--source', rows), /\n {2}hint: mend the value, .*; `everline rejects` lists them all\n/);
  await own.put({ ...THINGS, name: 'lines', sources: { lines: { format: 'csv' } }, prepare: 'SELECT id, coulour AS colour, 1 AS weight, NULL AS made FROM lines' });
  const wrong = await refused('lines', '--source', own.file('lines.csv', csv(things(2))));
  assert.match(wrong, /coulour[^]* at \/prepare, line 1, column 12\n {2}hint: compare it with the columns of the files .*not listed here/);
  assert.doesNotMatch(wrong, /\bmade\b/);
});

test('a new data directory has its keys, and nobody else may read them', async () => {
  const other = await Data.make('one', 'two');
  for (const tenant of ['one', 'two']) {
    const keys = [...filesBelow(join(other.directory, 'keys', tenant))];
    assert.equal(keys.filter((path) => path.endsWith('.ES256.pem')).length, 1);
    assert.equal(keys.filter((path) => path.endsWith('.key')).length, 1);
    for (const path of keys) assert.equal(statSync(path).mode & 0o777, 0o600);
  }
  assert.equal(statSync(other.directory).mode & 0o077, 0);
});

test('tenant put is repeatable and changes only what it is told', async () => {
  const keys = () => [...filesBelow(join(data.directory, 'keys'))].map((path) => readFileSync(path, 'utf8'));
  const first = keys();
  await data.ok(['tenant', 'put', 'dev', '--issuer', 'https://issuer.example']);
  await data.ok(['tenant', 'put', 'dev']);
  assert.deepEqual(keys(), first);
  const row = await data.json(['tenant', 'get', 'dev'], { tenant: null });
  assert.equal(row.issuer, 'https://issuer.example');
  assert.equal(row.audience, 'everline');
  assert.equal(row.enabled, true);
  const claims = JSON.parse(Buffer.from((await data.token()).split('.')[1], 'base64url'));
  assert.equal(claims.iss, 'https://issuer.example');
  assert.match(await data.ok(['tenant', 'list']), /dev/);
  assert.equal((await data.cli(['tenant', 'get', 'nobody'])).code, 1);
  assert.equal((await data.cli(['tenant', 'put', 'No Name'])).code, 1);
});

test('token prints the token and nothing else', async () => {
  const result = await data.cli(['token', '--scope', 'data:read versions:write', '--ttl', '90s', '--subject', 'me', '--dataset', 'things'], { tenant: 'dev' });
  assert.equal(result.code, 0);
  assert.match(result.stdout, /^[\w-]+\.[\w-]+\.[\w-]+\n$/);
  assert.equal(result.stderr, '');
  const [head, claims] = result.stdout.split('.').slice(0, 2).map((p) => JSON.parse(Buffer.from(p, 'base64url')));
  assert.equal(head.alg, 'ES256');
  assert.equal(claims.exp - claims.iat, 90);
  assert.deepEqual([claims.scope, claims.sub, claims.tenant, claims.datasets], ['data:read versions:write', 'me', 'dev', ['things']]);
  assert.match(claims.jti, /^[0-9a-f]{32}$/);
});

test('a token is refused for a wrong scope, dataset name, tenant or lifetime', async () => {
  for (const args of [['--scope', 'data:reed'], ['--dataset', 'No Name'], ['--ttl', '0s']]) {
    const result = await data.cli(['token', ...args], { tenant: 'dev' });
    assert.notEqual(result.code, 0, args.join(' '));
    assert.equal(result.stdout, '');
  }
  assert.equal((await data.cli(['token'], { tenant: 'nobody' })).code, 1);
});

test('get prints the body of a route, and its exit code is 1 unless the status is 2xx', async () => {
  const good = await data.cli(['get', '/v1/datasets/things/records/t00001'], { tenant: 'dev' });
  assert.equal(good.code, 0);
  assert.equal(JSON.parse(good.stdout).record.id, 't00001');
  const bad = await data.cli(['get', '/v1/datasets/nothing'], { tenant: 'dev' });
  assert.equal(bad.code, 1);
  assert.equal(JSON.parse(bad.stdout).code, 'UNKNOWN_DATASET');
  const open = await data.cli(['get', '/readyz'], { tenant: 'dev' });
  assert.equal(open.code, 0);
  for (const path of ['/v1/datasets/things/rollups/total', '/v1/datasets/things/events', '/openapi.json'])
    JSON.parse(await data.ok(['get', path], { tenant: 'dev' }));
});

test('a number that does not fit is refused, not cut, and a wrong option makes no tenant', async () => {
  const other = await Data.make('dev');
  for (const args of [['--max-batch-keys', '4294967297'], ['--max-datasets', '4294967296'], ['--enable', '--disable'],
    ['--issuer', '']]) {
    const result = await other.cli(['tenant', 'put', 'second', ...args]);
    assert.equal(result.code, 2, args.join(' '));
    assert.match(result.stderr, new RegExp(args[0]));
  }
  assert.doesNotMatch(await other.ok(['tenant', 'list']), /second/);
  await other.ok(['tenant', 'put', 'dev', '--max-datasets', '4294967295', '--max-batch-keys', '7']);
  assert.deepEqual((await other.json(['tenant', 'get', 'dev'], { tenant: null })).limits,
    { max_batch_keys: 7, max_datasets: 4294967295, max_concurrent_jobs: 0, max_queued_jobs: 0, max_upload_bytes: 0, max_audit_bytes: 0, max_versions: 0, max_stored_bytes: 0, max_usage_subjects: 0,
      requests_per_second: 0, requests_burst: 0, requests_per_day: 0,
      subject_requests_per_second: 0, subject_requests_burst: 0, subject_requests_per_day: 0 });
});

test('a wrong --output is refused before anything is moved', async () => {
  const other = await Data.make('dev');
  await other.put(THINGS);
  for (const n of [3, 4]) await other.ingest('things', { things: other.file(`${n}.csv`, csv(things(n))) });
  for (const args of [['rollback', 'things'], ['promote', 'things', '1']]) {
    const result = await other.cli([...args, '--reason', 'x', '--output', 'xml'], { tenant: 'dev' });
    assert.equal(result.code, 2, result.stderr);
    assert.match(result.stderr, /--output/);
    assert.deepEqual((await other.versions('things')).map((row) => row.current), [true, false], args[0]);
  }
  assert.equal((await other.json(['promote', 'things', '1', '--reason', 'x'])).current, 1);
});

test('versions is a table for people and JSON for programs', async () => {
  const table = await data.ok(['versions', 'things'], { tenant: 'dev' });
  assert.match(table, /^VERSION +STATE/);
  assert.match(table, /\n1 +SUCCEEDED/);
  assert.equal((await data.versions('things')).length, 1);
  assert.equal((await data.cli(['versions', 'nothing'], { tenant: 'dev' })).code, 1);
});

test('the environment gives defaults, and flags win', async () => {
  const env = { EVERLINE_DATA: data.directory, EVERLINE_TENANT: 'dev' };
  assert.match((await everline(['versions', 'things'], { env })).stdout, /SUCCEEDED/);
  assert.equal((await everline(['versions', 'things', '--tenant', 'nobody'], { env })).code, 1);
});

test('ingest is everline-ingest, with the same output and exit code', async () => {
  const path = data.file('again.csv', csv(things(6)));
  const args = ['ingest', 'things', '--data', data.directory, '--tenant', 'dev', '--source', path, '--output', 'json'];
  const [first, second] = [await everline(args), await run(ingestPath, args)];
  assert.deepEqual([first.code, second.code], [0, 0], first.stderr + second.stderr);
  assert.deepEqual([JSON.parse(first.stdout).outcome, JSON.parse(second.stdout).outcome], ['flipped', 'identical']);
});

test('who was started by one that ignores the ends of its children waits for its own all the same', async () => {
  const own = await Data.make('dev'), definition = own.file('things.json', JSON.stringify(THINGS));
  for (const args of [['dataset', 'put', definition], ['ingest', 'things', '--source', own.file('t.csv', csv(things(3)))]]) {
    const { code, stderr } = await run('env', ['--ignore-signal=CHLD', everlinePath, ...args, '--data', own.directory, '--tenant', 'dev']);
    assert.equal(code, 0, `${args[0]}: ${stderr}`);
  }
});

test('what everline-ingest says begins with the name that was typed', async () => {
  const typed = async (...args) => [(await everline(args)).stderr, (await run(ingestPath, args)).stderr].map((said) => said.split(/[: ]/)[0]);
  const names = ['everline', 'everline-ingest'], at = ['--data', data.directory, '--tenant', 'dev'];
  assert.deepEqual(await typed('ingest', 'nothing', ...at, '--source', 'x.csv'), names);
  assert.deepEqual(await typed('export', 'nothing', ...at, '--format', 'parquet', '--output', 'x.parquet'), names);
  assert.match((await everline(['ingest', '--help'])).stdout, /^usage: everline ingest DATASET /);
  assert.match((await run(ingestPath, ['--help'])).stdout, /^usage: everline-ingest COMMAND /m);
  const sample = await everline(['dataset', 'init', join(data.directory, 'missing.csv')]);
  assert.deepEqual(sample.stderr.match(/^everline[^:]*:/gm), ['everline:', 'everline:'], sample.stderr);
});

test('version is one line', async () => {
  assert.match((await everline(['version'])).stdout, /^everline \d+\.\d+\.\d+\b.*\n$/);
});

test('dev goes from nothing to a server with sample data, and again', async () => {
  const other = new Data();
  for (const round of [1, 2]) {
    const dev = start(everlinePath, ['dev', '--data', other.directory,
      '--listen', '127.0.0.1:0', '--sample', join(sourceDir, 'deploy', 'sample')]);
    await until('dev serves', () => {
      assert.ok(!dev.exited, dev.stderr);
      return dev.stdout.includes('curl') && dev.stdout.endsWith('\n');
    });
    const url = dev.stdout.match(/http:\/\/127\.0\.0\.1:\d+/)[0];
    const token = dev.stdout.match(/[\w-]{20,}\.[\w-]{20,}\.[\w-]{20,}/)[0];
    const reply = await fetch(`${url}/v1/datasets`, { headers: { authorization: `Bearer ${token}` } });
    const current = Object.fromEntries((await reply.json()).items.map((item) => [item.name, item.current]));
    assert.deepEqual(current, { lifeline: 2, flights: 1 }, `round ${round}`);
    dev.child.kill('SIGTERM');
    assert.equal((await dev.ended).code, 0, dev.stderr);
  }
});

test('dev keeps its keys where --keys says, and nowhere else', async () => {
  const other = new Data(), keys = join(tempDir('keys'), 'keys');
  const dev = start(everlinePath, ['dev', '--data', other.directory, '--keys', keys, '--listen', '127.0.0.1:0',
    '--sample', join(sourceDir, 'deploy', 'sample')]);
  await until('dev serves', () => {
    assert.ok(!dev.exited, dev.stderr);
    return dev.stdout.includes('curl') && dev.stdout.endsWith('\n');
  });
  dev.child.kill('SIGTERM');
  assert.equal((await dev.ended).code, 0, dev.stderr);
  assert.ok(!existsSync(join(other.directory, 'keys')));
  assert.ok([...filesBelow(keys)].length > 0);
});
