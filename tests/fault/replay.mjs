// What a disk may hold after the power failed, from the record of one run (inject.c, `record`).
//
// POSIX promises little: bytes are there once fsync or fdatasync of their file has returned (or the
// write itself, on a descriptor that writes through), a name once fsync of its directory has. What is
// neither is pending: any part of it may be there, in any order. A rename is atomic, though: file
// systems that people use promise that. A sector of 512 bytes is written whole.
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

const SECTOR = 512;
const WRITES = ['write', 'pwrite', 'writev', 'pwritev', 'copy_file_range', 'sendfile'];
const SYNCS = ['fsync', 'fdatasync'];

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = state;
    x = Math.imul(x ^ (x >>> 15), x | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 4294967296;
  };
}

/** How much of what is pending is there: for a change of names whether it is, for a write whether each of
 *  its sectors is. `end`: the power failed after the last call, not in it. */
export const LOSSES = {
  dropped: () => ({ names: () => false, bytes: () => () => false }),
  'names only': () => ({ names: () => true, bytes: () => () => false }),
  'bytes only': () => ({ names: () => false, bytes: () => () => true }),
  half: (next) => ({ names: () => next() < 0.5, bytes: () => { const kept = next() < 0.5; return () => kept; } }),
  torn: (next) => ({ names: () => next() < 0.5, bytes: () => () => next() < 0.5 }),
};

/** A file or directory, whatever its names are. */
class Node {
  constructor(mode, isDirectory, content = Buffer.alloc(0)) {
    Object.assign(this, { mode, isDirectory, content });
  }
}

function put(content, at, bytes) {
  if (content.length >= at + bytes.length) {
    const copy = Buffer.from(content);
    bytes.copy(copy, at);
    return copy;
  }
  const grown = Buffer.alloc(at + bytes.length);
  content.copy(grown);
  bytes.copy(grown, at);
  return grown;
}

const resize = (content, size) => (size <= content.length ? content.subarray(0, size)
  : Buffer.concat([content, Buffer.alloc(size - content.length)]));

/** The disk of one run. `base`: the directory before it, all of which is on the disk. */
export class Disk {
  constructor(base) {
    this.base = base;
    this.live = new Map(); /* name -> node or null: as programs see it, where it differs from the base */
    this.durable = new Map(); /* likewise, as it is after a power failure */
    this.pending = [];
  }

  #load(name) {
    const path = join(this.base, name);
    if (!existsSync(path)) return null;
    const stat = statSync(path);
    return new Node(stat.mode & 0o7777, stat.isDirectory(), stat.isDirectory() ? undefined : readFileSync(path));
  }

  /** The node that a name has for programs. */
  #node(name) {
    if (!this.live.has(name)) {
      const node = this.#load(name);
      this.live.set(name, node);
      this.durable.set(name, node);
    }
    return this.live.get(name);
  }

  #names(directory, ...changes) {
    for (const [name, node] of changes) {
      this.#node(name);
      this.live.set(name, node);
    }
    this.pending.push({ directory, changes });
  }

  /** What a rename changes: of a directory, the names of all below it too. Those of them that are not on
   *  the disk yet go on being pending, under their new name. */
  #moved(path, to, node) {
    if (!node.isDirectory) return [[to, node], [path, null]];
    if (existsSync(join(this.base, path))) throw new Error(`${path} is older than the record: what is below it is not known`);
    const below = (name) => name === path || name.startsWith(`${path}/`);
    const after = (name) => (below(name) ? to + name.slice(path.length) : name);
    const names = [...this.live].filter(([name, one]) => one && below(name)).map(([name]) => name);
    for (const one of this.pending.filter(({ directory }) => directory && below(directory))) {
      one.directory = after(one.directory);
      one.changes = one.changes.map(([name, child]) => [after(name), child]);
    }
    const settled = names.filter((name) => name === path || this.durable.get(name));
    const changes = settled.flatMap((name) => [[after(name), this.live.get(name)], [name, null]]);
    for (const name of names) {
      this.live.set(after(name), this.live.get(name));
      this.live.set(name, null);
    }
    return changes;
  }

  /** Makes durable what `chosen` says. */
  #settle(chosen) {
    for (const one of this.pending.filter(chosen)) this.#apply(one, this.durable, null);
    this.pending = this.pending.filter((one) => !chosen(one));
  }

  /** Does one pending thing, to the contents of an image or, without them, to the nodes. */
  #apply(one, names, contents, kept = () => true) {
    const content = () => contents?.get(one.node) ?? one.node.content;
    const set = (bytes) => { if (contents) contents.set(one.node, bytes); else one.node.content = bytes; };
    if (one.changes) for (const [name, node] of one.changes) names.set(name, node);
    else if (one.size !== undefined) set(resize(content(), one.size));
    else
      for (let at = 0; at < one.bytes.length;) {
        const end = Math.min(one.bytes.length, at + SECTOR - ((one.at + at) % SECTOR));
        if (kept()) set(put(content(), one.at + at, one.bytes.subarray(at, end)));
        at = end;
      }
  }

  /** Is this call one that makes something durable? */
  static syncs(call) { return SYNCS.includes(call.name) || call.synced; }

  /** One call of the record, in its order. */
  step(call) {
    const { name, path, to, a } = call;
    const node = path.endsWith(' (deleted)') ? null : this.#node(path);
    if (name === 'mark') return;
    if (name === 'reserve') return; /* room behind the end: no reader sees it */
    if (name === 'map') {
      if (!path.endsWith('-lock')) throw new Error(`${path} is written through a mapping, which no record shows`);
    } else if (WRITES.includes(name)) {
      if (!node) return; /* nobody will see it */
      const write = { node, at: a, bytes: Buffer.from(call.bytes) };
      this.pending.push(write);
      /* The page that is written has what was written to it before. */
      if (call.synced) this.#settle((one) => one === write || (one.node === node && one.bytes && one.at < a + write.bytes.length && a < one.at + one.bytes.length));
    } else if (name === 'ftruncate') {
      if (node) this.pending.push({ node, size: a });
    } else if (SYNCS.includes(name)) {
      this.#settle((one) => (node?.isDirectory ? one.directory === path : one.node === node));
    } else if (name === 'create') {
      if (node) this.pending.push({ node, size: 0 });
      else this.#names(dirname(path), [path, new Node(a & 0o700, false)]);
    } else if (name === 'mkdir') {
      this.#names(dirname(path), [path, new Node(a & 0o700, true)]);
    } else if (name === 'rename') {
      this.#names(dirname(to), ...this.#moved(path, to, node));
    } else if (name === 'link') {
      this.#names(dirname(to), [to, node]);
    } else if (name === 'unlink' || name === 'rmdir') {
      this.#names(dirname(path), [path, null]);
    } else if (name === 'fchmod') {
      if (node) node.mode = a; /* as if it were at once: nothing depends on it */
    } else {
      throw new Error(`nobody knows what ${name} leaves on a disk`);
    }
  }

  /** What is there when the power fails now; `call`: in the middle of it. */
  image(loss, next, call) {
    const chosen = LOSSES[loss](next);
    /* Contents are never changed in place, so that an image keeps those of its time. */
    const names = new Map(this.durable), contents = new Map();
    for (const node of names.values()) if (node) contents.set(node, node.content);
    const flying = call?.synced && this.#node(call.path) ? [{ node: this.#node(call.path), at: call.a, bytes: Buffer.from(call.bytes) }] : [];
    for (const one of [...this.pending, ...flying]) {
      if (one.changes ? !chosen.names(one) : one.size !== undefined && !chosen.bytes(one)()) continue;
      this.#apply(one, names, contents, one.bytes ? chosen.bytes(one) : undefined);
    }
    for (const node of names.values()) if (node && !contents.has(node)) contents.set(node, node.content);
    return new Image(this.base, names, contents);
  }
}

/** One state of the disk. */
class Image {
  constructor(base, names, contents) {
    Object.assign(this, { base, names, contents });
  }

  /** Writes it as the directory `to`, which must not exist. */
  write(to) {
    cpSync(this.base, to, { recursive: true });
    /* Directories first: a name in one that is not there is out of reach. */
    for (const [name, node] of [...this.names].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const path = join(to, name);
      if (!node) rmSync(path, { recursive: true, force: true });
      else if (!existsSync(dirname(path))) continue;
      else if (node.isDirectory) mkdirSync(path, { recursive: true, mode: node.mode });
      else {
        rmSync(path, { force: true });
        writeFileSync(path, this.contents.get(node));
        chmodSync(path, node.mode);
      }
    }
  }

  /** The same for images that are the same. */
  get identity() {
    const parts = [...this.names].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, node]) => [basename(name), name,
      node === null ? 'none' : node.isDirectory ? 'directory' : (this.contents.get(node)).toString('latin1')]);
    return JSON.stringify(parts);
  }
}
