// The peer of what is measured: a server that has nothing to do but to answer.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { start, tempDir, until } from '../kit/process.mjs';

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

/** nginx, answering whatever it is asked with a constant: {pid, port, url}. It is gone when the test process ends. */
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
  return { pid: nginx.pid, port, url: `http://127.0.0.1:${port}` };
}
