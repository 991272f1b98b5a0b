// The peers of what is measured, servers that have less to do; and what servers take of a core.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { buildDir, run, start, tempDir, until } from '../kit/process.mjs';

const freePort = () => new Promise((resolve) => {
  const server = net.createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => resolve(port));
  });
});

const answers = (port) => new Promise((resolve) => {
  const socket = net.connect(port, '127.0.0.1', () => { socket.destroy(); resolve(true); });
  socket.on('error', () => resolve(false));
});

/** nginx, answering whatever it is asked with a constant: {pids, port, url}. */
export async function startNginx(answer, workers) {
  const directory = tempDir('nginx'), port = await freePort();
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${directory};`);
  const config = join(directory, 'nginx.conf');
  writeFileSync(config, `daemon off; worker_processes ${workers}; pid ${directory}/pid;
    events { worker_connections 1024; }
    http {
      access_log off; keepalive_requests 1000000000; default_type application/json; ${temporary.join(' ')}
      server { listen 127.0.0.1:${port}; location / { return 200 '${answer}'; } }
    }`);
  const nginx = start('nginx', ['-p', directory, '-e', join(directory, 'error.log'), '-c', config], { detached: true });
  process.prependListener('exit', () => { // a master that is killed would leave its workers behind
    try { process.kill(-nginx.pid, 'SIGKILL'); } catch { /* they are gone */ }
  });
  await until('nginx is ready', () => {
    assert.ok(!nginx.exited, `nginx ended: ${nginx.stderr}`);
    return answers(port);
  });
  return { pids: [nginx.pid], port, url: `http://127.0.0.1:${port}` };
}

/** What libmicrohttpd alone takes to answer with a constant: {pids, port, url}. */
export async function startBare(answer) {
  const bare = start(join(buildDir, 'tests', 'bench_bare'), [answer]);
  await until('bench_bare is ready', () => {
    assert.ok(!bare.exited, `bench_bare ended: ${bare.stderr}`);
    return bare.stdout.endsWith('\n');
  });
  const port = Number(bare.stdout);
  return { pids: [bare.pid], port, url: `http://127.0.0.1:${port}` };
}

/** Redis with `records`, [[key, value]], and webdis before it: {pids, port, url}. */
export async function startWebdis(records) {
  const directory = tempDir('redis'), socket = join(directory, 'socket'), port = await freePort();
  const redis = start('redis-server', ['--port', '0', '--unixsocket', socket, '--save', '', '--appendonly', 'no', '--dir', directory]);
  await until('Redis is ready', () => {
    assert.ok(!redis.exited, `Redis ended: ${redis.stdout}`);
    return existsSync(socket);
  });
  const word = (text) => `$${Buffer.byteLength(text)}\r\n${text}\r\n`;
  const set = await run('redis-cli', ['-s', socket, '--pipe'],
    { input: records.map(([key, value]) => `*3\r\n${word('SET')}${word(key)}${word(value)}`).join('') });
  assert.equal(set.code, 0, set.stderr + set.stdout);
  const config = join(directory, 'webdis.json');
  writeFileSync(config, JSON.stringify({ redis_host: socket, redis_port: 0, http_host: '127.0.0.1', http_port: port,
    threads: 1, pool_size: 8, daemonize: false, verbosity: 0, logfile: join(directory, 'log') }));
  const webdis = start('webdis', [config]);
  await until('webdis is ready', () => {
    assert.ok(!webdis.exited, `webdis ended: ${webdis.stderr}`);
    return answers(port);
  });
  return { pids: [webdis.pid, redis.pid], port, url: `http://127.0.0.1:${port}` };
}

const withChildren = (pids) => pids.flatMap((pid) =>
  [pid, ...readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean)]);

/** Processes and their children, with all their threads, stay on a core. */
export async function pin(pids, core) {
  for (const pid of withChildren(pids)) {
    const { code, stderr } = await run('taskset', ['-apc', `${core}`, `${pid}`]);
    assert.equal(code, 0, stderr);
  }
}

const tickUs = 1e6 / Number((await run('getconf', ['CLK_TCK'])).stdout);

/** CPU of processes and of their children, all threads, in microseconds. */
export const cpuUs = (pids) => withChildren(pids).reduce((sum, pid) => {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const [utime, stime] = stat.slice(stat.lastIndexOf(')') + 2).split(' ').slice(11, 13);
  return sum + (Number(utime) + Number(stime)) * tickUs;
}, 0);
