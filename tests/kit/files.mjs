// Looking into a data directory from outside.
import { closeSync, openSync, readdirSync, readSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';

export function* filesBelow(directory) {
  for (const name of readdirSync(directory)) {
    const path = join(directory, name);
    if (statSync(path).isDirectory()) yield* filesBelow(path);
    else yield path;
  }
}

export const segmentPath = (data, version) => {
  const { sha256 } = version.segments[0];
  return join(data.directory, 'segments', sha256.slice(0, 2), `${sha256}.mdb`);
};

/** Turns one bit of the byte at `offset`. The file is opened as root or its owner: 0440 is no wall. */
export function flipByte(path, offset) {
  const fd = openSync(path, 'r+');
  const byte = Buffer.alloc(1);
  readSync(fd, byte, 0, 1, offset);
  byte[0] ^= 1;
  writeSync(fd, byte, 0, 1, offset);
  closeSync(fd);
}

/** What an ingest may leave behind: segment files and build directories, by name. */
export const leftovers = (data) => ['segments', 'build'].flatMap((part) =>
  [...filesBelow(join(data.directory, part))].map((path) => path.slice(data.directory.length)))
  .concat(readdirSync(join(data.directory, 'build'))).sort();
