// The contract has every code that the C sources raise for an answer over HTTP, and no other.
// usage: node codes.mjs ROOT [ELSEWHERE.yaml]      (here, when none is named)
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const { parse } = createRequire(join(here, '..', '..', 'openapi', 'package.json'))('yaml');
const [root, elsewhereFile = join(here, 'codes-elsewhere.yaml')] = process.argv.slice(2);
if (!root) {
  console.error('usage: node codes.mjs ROOT [ELSEWHERE.yaml]');
  process.exit(2);
}

const LINE_MAX = 125;
const PLACES = ['job', 'readyz', 'list', 'rejects'];
/** Codes that stand in a table, which is read by its own rule below. */
const BY_TABLE = ['classes[i].code', 'rejects_code(s->format, first->fault)'];
const CODE = /^"([A-Z][A-Z0-9_]*)"$/;

const files = ['base', 'store', 'auth', 'ingest', 'api'].flatMap((room) =>
  readdirSync(join(root, room)).filter((name) => /\.[ch]$/.test(name)).map((name) => {
    const text = readFileSync(join(root, room, name), 'utf8').replace(/\/\*[^]*?\*\//g, (c) => c.replace(/[^\n]/g, ' '));
    return { name: `${room}/${name}`, text };
  }));
const faults = [];

/** The arguments of a call, whose opening parenthesis stands before `at`. */
function argumentsAt(text, at) {
  const found = [];
  let depth = 0, start = at;
  for (let i = at; i < text.length; i++) {
    if (text[i] === '"' || text[i] === "'") {
      for (const quote = text[i++]; text[i] !== quote; i++) i += text[i] === '\\';
    } else if ('([{'.includes(text[i])) depth++;
    else if (depth === 0 && ',)'.includes(text[i])) {
      found.push(text.slice(start, i).trim().replace(/\s+/g, ' '));
      if (text[i] === ')') return found;
      start = i + 1;
    } else if (')]}'.includes(text[i])) depth--;
  }
  return found;
}

const strings = (text) => (text.match(/"(?:[^"\\]|\\.)*"/g) ?? []).map((one) => CODE.exec(one)?.[1]).filter(Boolean);
const statuses = (text) => [...text.matchAll(/\bST_([A-Z_]+)\b/g)].map(([, name]) => name);

/** Code -> {where: the first place that raises it, with: the statuses}. */
const raised = new Map();
function raise(code, where, status = []) {
  if (!raised.has(code)) raised.set(code, { where, with: new Set() });
  for (const one of status) raised.get(code).with.add(one);
}

// ---- what the sources raise ----

const lineOf = ({ name, text }, at) => `${name}:${text.slice(0, at).split('\n').length}`;
const defines = new Map(files.flatMap(({ text }) =>
  [...text.matchAll(/^#define (\w+) ("[A-Z][A-Z0-9_]*")\s*$/gm)].map(([, name, value]) => [name, value])));

/** Functions that take a code: name -> which argument it is. */
const takers = new Map(files.flatMap(({ text }) => [...text.matchAll(/\b(\w+)\(([^()]*\bconst char \*code\b[^()]*)\)/g)]
  .map(([, name, parameters]) => [name, parameters.split(',').findIndex((one) => /\*code$/.test(one.trim()))])));

/** With which statuses a file's functions hand their code on to st_fail. */
const handedOn = (text) => [...text.matchAll(/\bst_fail\(ST_([A-Z_]+), code,/g)].map(([, status]) => status);

/** A call's code is written there, or by a macro, or handed on, or in a table: else nobody could read it here. */
function readCall(file, at, name, args) {
  const where = lineOf(file, at), given = args[takers.get(name)];
  if (!given || given.startsWith('const char')) return; // its declaration
  const status = [...args.flatMap(statuses), ...(name === 'st_fail' ? [] : handedOn(file.text))];
  if (given === 'NULL') return status.forEach((one) => raise(one, where, [one]));
  const codes = strings(defines.get(given) ?? given);
  codes.forEach((code) => raise(code, where, status));
  if (name === 'st_fail' && !codes.length && given !== 'code' && !BY_TABLE.includes(given))
    faults.push(`${where}: which code is ${given}? name it there, or teach tests/check/codes.mjs its table`);
}

for (const file of files) {
  const { text } = file;
  for (const call of text.matchAll(/\b(\w+)\(/g))
    if (takers.has(call[1])) readCall(file, call.index, call[1], argumentsAt(text, call.index + call[0].length));
  for (const row of text.matchAll(/\bST_([A-Z_]+), ?("[A-Z][A-Z0-9_]*")/g)) raise(strings(row[2])[0], lineOf(file, row.index), [row[1]]);
  for (const row of text.matchAll(/(?:\.code = |\bcode, sizeof [\w.>-]+code, )("[A-Z][A-Z0-9_]*")/g)) raise(strings(row[1])[0], lineOf(file, row.index));
  for (const row of text.matchAll(/\[RECORD_\w+\] = \{([^,]*),([^,]*),/g)) strings(row[1] + row[2]).forEach((code) => raise(code, lineOf(file, row.index)));
  for (const call of text.matchAll(/\bst_fail_errno\(/g))
    if (file.name !== 'base/status.c') ['FULL', 'NOMEM', 'NOT_FOUND', 'IO'].forEach((one) => raise(one, lineOf(file, call.index), [one]));
}

/** How a status leaves: [ST_, number, code instead of its own]. */
const problems = [...files.find(({ name }) => name === 'api/problem.c').text
  .matchAll(/\{ST_([A-Z_]+), (\d+), "[^"]*", (?:NULL|"([A-Z_]+)")\}/g)].map(([, status, http, code]) => ({ status, http, code }));
for (const { status, code } of problems) if (code) raise(code, 'api/problem.c', [status]);

// ---- what is said of them ----

const listed = parse(readFileSync(join(root, 'openapi', 'everline.yaml'), 'utf8')).components.schemas.Code['x-everline-codes'];
const elsewhere = new Set(Object.values(parse(readFileSync(elsewhereFile, 'utf8'))).flat());

for (const [code, { where }] of raised)
  if (!(code in listed) && !elsewhere.has(code))
    faults.push(`${where}: ${code} is not in x-everline-codes of openapi/everline.yaml; if no answer has it, tests/check/codes-elsewhere.yaml says so`);
for (const code of elsewhere) {
  if (code in listed) faults.push(`${code} is in the contract and in codes-elsewhere.yaml`);
  if (!raised.has(code)) faults.push(`${code} is in codes-elsewhere.yaml and raised nowhere`);
}
for (const [code, said] of Object.entries(listed)) {
  const [, wheres, meaning] = /^([a-z0-9, ]+): (.+)$/.exec(said) ?? [];
  if (!meaning || said.length > LINE_MAX) {
    faults.push(`${code}: "WHERE, WHERE: what it means and what to do" in at most ${LINE_MAX} characters`);
    continue;
  }
  if (!raised.has(code)) {
    faults.push(`${code} is in the contract and raised nowhere`);
    continue;
  }
  const can = problems.filter((one) => raised.get(code).with.has(one.status) && (!one.code || one.code === code)).map((one) => one.http);
  for (const one of wheres.split(', '))
    if (!PLACES.includes(one) && !can.includes(one))
      faults.push(`${code}: ${one} is none of ${[...PLACES, ...new Set(can)].join(', ')}`);
}

for (const fault of faults) console.log(fault);
if (!faults.length) console.log(`${Object.keys(listed).length} codes are in the contract, ${elsewhere.size} come nowhere near it`);
process.exit(faults.length ? 1 : 0);
