// Looking into a data directory from outside.
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** Others may work in it: a directory that is gone when its turn comes has no files. */
export function* filesBelow(directory, entries = readdirSync(directory, { withFileTypes: true })) {
  for (const entry of entries) {
    const path = join(directory, entry.name);
    if (!entry.isDirectory()) yield path;
    else yield* filesBelow(path, existing(path));
  }
}

function existing(directory) {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
    return [];
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

/** A byte wherever the file has the text: its first one, or the one `at` bytes behind that. */
export function flipEach(path, text, at = 0) {
  const file = readFileSync(path);
  let places = 0;
  for (let i = -1; (i = file.indexOf(text, i + 1)) >= 0; places++) flipByte(path, i + at);
  if (places === 0) throw new Error(`${path} has not ${text}`);
}

/** A byte of the value of that key wherever the file, a catalog, has it. */
export function flipValue(path, key) {
  const file = readFileSync(path), checksum = 8;
  let places = 0;
  for (let i = -1; (i = file.indexOf(key, i + 1)) >= 0;) {
    const at = i + key.length + checksum;
    if (file[at] === 0x7b) { // its {
      flipByte(path, at + 2);
      places++;
    }
  }
  if (places === 0) throw new Error(`${path} has not ${key}`);
}

/** The same as flipByte, and the file's mtime stays what it was, to the nanosecond. */
export function rot(path, offset) {
  const like = `${path}.like`;
  execFileSync('touch', ['-r', path, like]);
  flipByte(path, offset);
  execFileSync('touch', ['-r', like, path]);
  rmSync(like);
}

/** What an ingest may leave behind: segment files, build directories and uploads, by name. */
export const leftovers = (data) => ['segments', 'build', 'spool'].map((part) => join(data.directory, part))
  .flatMap((path) => [...filesBelow(path, existing(path))].map((file) => file.slice(data.directory.length)))
  .concat(readdirSync(join(data.directory, 'build'))).sort();
