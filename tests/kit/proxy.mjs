// A balancer of TCP connections: each goes to the next server that says it is ready, and to another one
// when that refuses it.
import net from 'node:net';

const LOOK_MS = 20;

export class Proxy {
  constructor(servers) {
    this.servers = servers; /* changed as they come and go */
    this.ready = new Set();
    this.turn = 0;
    this.sockets = new Set();
    this.listener = net.createServer((client) => this.connect(client, this.order()));
  }

  async start() {
    await new Promise((resolve) => { this.listener.listen(0, '127.0.0.1', resolve); });
    this.port = this.listener.address().port;
    this.looking = setInterval(() => this.look(), LOOK_MS);
    await this.look();
  }

  async look() {
    await Promise.all(this.servers.map(async (server) => {
      const ok = await server.get('/readyz').then((reply) => reply.status === 200, () => false);
      if (ok) this.ready.add(server);
      else this.ready.delete(server);
    }));
  }

  order() {
    const ready = this.servers.filter((server) => this.ready.has(server));
    const first = this.turn++ % Math.max(1, ready.length);
    return [...ready.slice(first), ...ready.slice(0, first)];
  }

  connect(client, [server, ...others]) {
    if (!server) return client.destroy();
    const upstream = net.connect(server.port, '127.0.0.1');
    for (const socket of [client, upstream]) {
      this.sockets.add(socket);
      socket.setNoDelay(true).on('close', () => this.sockets.delete(socket));
    }
    upstream.on('connect', () => {
      client.pipe(upstream).pipe(client);
      client.on('error', () => upstream.destroy()).on('close', () => upstream.destroy());
      upstream.on('close', () => client.destroy());
    });
    upstream.on('error', () => (upstream.connecting === false && upstream.bytesRead === 0 && upstream.bytesWritten === 0
      ? this.connect(client, others) : client.destroy()));
  }

  stop() {
    clearInterval(this.looking);
    this.listener.close();
    for (const socket of this.sockets) socket.destroy();
  }
}
