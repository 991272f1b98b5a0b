// The README's transcript is what deploy/quickstart --once prints. UPDATE=1 writes it anew.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { buildDir, run, sourceDir, tempDir } from '../kit/process.mjs';

const README = join(sourceDir, 'README.md');
const BLOCK = /(<!-- transcript -->\n```\n)([\s\S]*?)(```\n)/;

/** What differs between two runs: port, times. */
const steady = (text) => text
  .replace(/127\.0\.0\.1:\d+/g, '127.0.0.1:8080')
  .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z/g, '2026-01-31T08:00:00.000000Z');

test('deploy/quickstart --once shows the main job, exits 0, and the README shows the same', async () => {
  const result = await run(join(sourceDir, 'deploy/quickstart'), ['--once'],
                           { env: { EVERLINE_BUILD_DIR: buildDir } });
  assert.equal(result.code, 0, result.stderr);
  const transcript = steady(result.stdout).trim() + '\n';
  const readme = readFileSync(README, 'utf8');
  if (process.env.UPDATE) {
    writeFileSync(README, readme.replace(BLOCK, (_, open, __, close) => open + transcript + close));
    return;
  }
  assert.equal(readme.match(BLOCK)?.[2], transcript, 'run it with UPDATE=1 and look at the difference');
});

test('a client that never gets an answer is an error that says so', async () => {
  const bin = tempDir('bin'), curl = join(bin, 'curl');
  writeFileSync(curl, '#!/bin/sh\ncase "$*" in *http_code*) exit 7 ;; esac\nPATH=${PATH#*:} exec curl "$@"\n', { mode: 0o755 });
  const result = await run(join(sourceDir, 'deploy/quickstart'), ['--once'],
                           { env: { EVERLINE_BUILD_DIR: buildDir, PATH: `${bin}:${process.env.PATH}` } });
  assert.equal(result.code, 1, result.stdout);
  assert.match(result.stderr, /quickstart: the client got no answer/);
});

test('a wrong option is a usage error', async () => {
  const result = await run(join(sourceDir, 'deploy/quickstart'), ['--twice'],
                           { env: { EVERLINE_BUILD_DIR: buildDir } });
  assert.equal(result.code, 2);
  assert.match(result.stderr, /usage/);
});
