// The check of codes passes a tree in order, and finds each breach in one that has them all.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const check = join(dirname(fileURLToPath(import.meta.url)), 'codes.mjs');
const tree = mkdtempSync(join(tmpdir(), 'everline-codes-'));

const ORDER = {
  'api/problem.c': `static const struct problem PROBLEMS[] = {
    {ST_IO, 500, "Internal error", "BROKEN"}, {ST_CONFLICT, 409, "Conflict", NULL}, {ST_INVALID, 400, "Bad request", NULL},
};`,
  'auth/key.h': '#define BAD "BAD_KEY"',
  'auth/key.c': 'return st_fail(ST_INVALID, BAD, "why");',
  'base/status.h': 'enum st st_fail(enum st status, const char *code, const char *fmt, ...) ST_PRINTF(3, 4);',
  'base/a.c': 'return st_hint(st_fail(ST_CONFLICT, "TAKEN", "it is \\"%s\\"), (", f(x, y)), "wait"); /* st_fail(ST_IO, "NOT_THIS", "") */',
  'ingest/a.c': 'return st_fail(ST_INVALID, many ? "TOO_MANY" : "TOO_FEW", "%d", n);',
  'store/key.c': `static enum st key_error(const char *what, const char *code)
{
    return st_fail(ST_INVALID, code, "%s", what);
}
return key_error("it", "BAD_FIELD");`,
  'store/row.c': 'snprintf(r.code, sizeof r.code, "RENAMED"); x = (struct r){.code = "ENDED"}; [RECORD_CAST] = {"A_CAST", NULL, "", ""},',
  'openapi/everline.yaml': `components: {schemas: {Code: {x-everline-codes: {
    BROKEN: '500: a', BAD_KEY: '400: b', TOO_MANY: '400, job: c', TOO_FEW: '400: d', BAD_FIELD: '400: e', RENAMED: 'job: f',
    ENDED: 'job: g', A_CAST: 'rejects: h'}}}}`,
  'elsewhere.yaml': 'commands: [TAKEN]',
};

function run(changes = {}) {
  rmSync(tree, { recursive: true });
  for (const [name, text] of Object.entries({ ...ORDER, ...changes })) {
    mkdirSync(dirname(join(tree, name)), { recursive: true });
    writeFileSync(join(tree, name), text);
  }
  const { status, stdout, stderr } = spawnSync(process.execPath, [check, tree, join(tree, 'elsewhere.yaml')], { encoding: 'utf8' });
  assert.equal(stderr, '');
  return { status, lines: stdout.trim().split('\n') };
}

/** A tree where everything is wrong that can be, and what is said of it: nothing is said twice, or of more. */
const BREACHES = {
  'api/b.c': 'return st_fail(ST_DENIED, NULL, "why");\nreturn st_fail(ST_INVALID, table[i].code, "why");\nst_fail_errno(errno, "reading");',
  'api/problem.c': `${ORDER['api/problem.c']}\n{ST_CORRUPT, 503, "Unavailable", "MISSED_PROBLEM"},`,
  'auth/b.h': '#define OTHER "MISSED_MACRO"',
  'auth/b.c': 'return st_fail(ST_INVALID, OTHER, "");',
  'base/b.c': '\nreturn st_fail(ST_INVALID, "MISSED", "why");\nst =\n    st_fail(ST_INVALID,\n            n ? "TAKEN" : "MISSED_TOO", "why");',
  'ingest/b.c': '{ERROR_CAST, ST_INVALID, "MISSED_ROW", "text"},\n[RECORD_LONG] = {NULL, "MISSED_RECORD", "", ""},',
  'store/b.c': 'struct r r = {.code = "MISSED_MEMBER"};\nsnprintf(report->code, sizeof report->code, "MISSED_COPY");\nreturn key_error("that", "MISSED_HELPER");',
  'openapi/everline.yaml': ORDER['openapi/everline.yaml'].replace('400: b', 'what').replace('400: d', '404: d').replace('job: f', '400: f')
    .replace('rejects: h', `rejects: ${'h'.repeat(125)}`).replace('BROKEN:', "TOO_OLD: '400: x', NOT_THIS: '500: x', BROKEN:"),
  'elsewhere.yaml': 'commands: [TAKEN, TOO_MANY, LONG_GONE]',
};
const FOUND = [
  'api/b.c:1: DENIED', 'api/b.c:2: which code is table[i].code?', 'api/b.c:3: FULL', 'api/b.c:3: NOMEM', 'api/b.c:3: NOT_FOUND', 'api/b.c:3: IO',
  'api/problem.c: MISSED_PROBLEM', 'auth/b.c:1: MISSED_MACRO', 'base/b.c:2: MISSED', 'base/b.c:4: MISSED_TOO', 'ingest/b.c:1: MISSED_ROW',
  'ingest/b.c:2: MISSED_RECORD', 'store/b.c:1: MISSED_MEMBER', 'store/b.c:2: MISSED_COPY', 'store/b.c:3: MISSED_HELPER',
  'TOO_OLD is in the contract and raised nowhere', 'NOT_THIS is in the contract and raised nowhere',
  'TOO_MANY is in the contract and in codes-elsewhere.yaml', 'LONG_GONE is in codes-elsewhere.yaml and raised nowhere',
  'TOO_FEW: 404 is none of', 'RENAMED: 400 is none of', 'BAD_KEY: "WHERE,', 'A_CAST: "WHERE,',
];

try {
  assert.deepEqual(run(), { status: 0, lines: ['8 codes are in the contract, 1 come nowhere near it'] });
  const { status, lines } = run(BREACHES);
  assert.equal(status, 1);
  for (const one of FOUND) {
    const at = lines.findIndex((line) => line.startsWith(`${one} `) || line === one);
    assert.notEqual(at, -1, `not found: ${one}\n${lines.join('\n')}`);
    lines.splice(at, 1);
  }
  assert.deepEqual(lines, []);
  console.log(`${FOUND.length} breaches were found`);
} finally {
  rmSync(tree, { recursive: true, force: true });
}
