// The JSON Schema of definitions says what the parser says: what is taken validates, and what is
// refused for its shape does not. Definitions that nobody wrote by hand, and each with one thing otherwise,
// show where they differ: nowhere but for what a schema cannot say.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { definition, mutants } from '../kit/definitions.mjs';
import { Data, everline } from '../kit/everline.mjs';
import { buildDir, run, sourceDir } from '../kit/process.mjs';
import { PEOPLE, THINGS } from '../kit/samples.mjs';

const FULL = {
  ...THINGS,
  max_reject_ratio: 0.01,
  on_duplicate: 'last',
  duplicate_order: 'made',
  record: { colour: 'VARCHAR', weight: 'smallint', made: 'DATE', price: 'DECIMAL(12, 2)', tags: 'VARCHAR[]' },
  checks: [
    { name: 'light', expect: 'weight < 1000', on_fail: 'reject', max_ratio: 0.5 },
    { name: 'enough', metric: 'count(*)', min: 3, on_fail: 'warn' },
    { not_null: ['colour', 'weight'] }, { unique: 'weight' },
    { accepted_values: { field: 'colour', values: ['red', 7, true] } },
    { references: { from: 'colour', to: 'things.colour' } },
  ],
  gates: [
    { name: 'drift', metric: { ratio: ['sum(weight)', 'count(*)'] }, max_change_ratio: 0.2 },
    { name: 'nulls', null_rate: 'colour', max: 0.5 },
  ],
  rollups: {
    by: {
      dimensions: ['colour'], time: { field: 'made', bucket: 'month' }, min_cell: 11,
      metrics: { n: 'count(*)', d: 'distinct(weight)', q: 'quantile(weight, 0.5)' },
      grouping_sets: [['colour'], { dimensions: [], time: false }],
    },
  },
  retention: { keep_versions: 5 },
  require_promotion: true,
};
const SERIES = { ...THINGS, key: { fields: ['id'], sort: 'made' } };
const source = (definition) => ({ ...THINGS, sources: { things: definition } });
const DIALECT = source({
  format: 'csv', delimiter: '|', quote: "'", escape: '\\', null: '\\N', header: false, names: ['id', 'colour', 'weight', 'made'],
  columns: { weight: 'INTEGER' }, max_reject_ratio: 0.1,
});
const NDJSON = source({ format: 'ndjson', columns: { id: 'VARCHAR', colour: 'VARCHAR', weight: 'VARCHAR', made: 'DATE' } });
const WRONG = {
  'a delimiter of two characters': source({ format: 'csv', delimiter: '||' }),
  'no delimiter': source({ format: 'csv', delimiter: '' }),
  'a line end for a quote': source({ format: 'csv', quote: '\n' }),
  'no header and no names': source({ format: 'csv', header: false }),
  'a header and names': source({ format: 'csv', names: ['id'] }),
  'NDJSON without columns': source({ format: 'ndjson' }),
  'NDJSON with a delimiter': source({ format: 'ndjson', columns: { id: 'VARCHAR' }, delimiter: ';' }),
  'Parquet with names': source({ format: 'parquet', names: ['id'] }),
  'an unknown member': { ...FULL, owner: 'me' },
  'no key': { ...FULL, key: undefined },
  'a name with a space': { ...FULL, name: 'my things' },
  'no sources': { ...FULL, sources: {} },
  'an unknown format': { ...FULL, sources: { things: { format: 'xls' } } },
  'an empty prepare': { ...FULL, prepare: ' ' },
  'a sort that is no name': { ...SERIES, key: { fields: ['id'], sort: 'a b' } },
  'a key without fields': { ...FULL, key: { fields: [] } },
  'an unknown normaliser': { ...FULL, key: { fields: ['id'], normalize: { id: 'upper' } } },
  'an unknown type': { ...FULL, record: { colour: 'TEXT' } },
  'a decimal of 19 digits': { ...FULL, record: { colour: 'DECIMAL(19,2)' } },
  'an unknown rule for duplicates': { ...FULL, on_duplicate: 'any' },
  'a ratio of 2': { ...FULL, max_reject_ratio: 2 },
  'a check of two things': { ...FULL, checks: [{ expect: 'a', unique: 'b' }] },
  'a check of nothing': { ...FULL, checks: [{ name: 'a' }] },
  'a metric without limits': { ...FULL, checks: [{ metric: 'count(*)' }] },
  'limits of a condition': { ...FULL, checks: [{ expect: 'a', min: 1 }] },
  'a metric outside of the list': { ...FULL, checks: [{ metric: 'median(x)', min: 1 }] },
  'a gate without a limit': { ...FULL, gates: [{ name: 'g', metric: 'count(*)' }] },
  'a gate without a name': { ...FULL, gates: [{ metric: 'count(*)', min: 1 }] },
  'a negative change': { ...FULL, gates: [{ name: 'g', metric: 'count(*)', max_change: -1 }] },
  'a rollup without metrics': { ...FULL, rollups: { by: { dimensions: [] } } },
  'an unknown bucket': { ...FULL, rollups: { by: { ...FULL.rollups.by, time: { field: 'made', bucket: 'week' } } } },
  'no grouping set': { ...FULL, rollups: { by: { ...FULL.rollups.by, grouping_sets: [] } } },
  'a negative min_cell': { ...FULL, rollups: { by: { ...FULL.rollups.by, min_cell: -1 } } },
  'no versions kept': { ...FULL, retention: { keep_versions: 0 } },
};
let validate, data;

before(async () => {
  const Ajv = createRequire(join(sourceDir, 'openapi', 'package.json'))('ajv').default;
  const schema = JSON.parse(readFileSync(join(sourceDir, 'openapi', 'definition.schema.json'), 'utf8'));
  validate = new Ajv({ strict: true, allowUnionTypes: true, strictRequired: false, strictTypes: false }).compile(schema);
  data = new Data();
});

const check = (definition) => everline(['dataset', 'check', data.file('definition.json', JSON.stringify(definition))]);

for (const [name, definition] of Object.entries({ people: PEOPLE, things: THINGS, full: FULL, dialect: DIALECT, ndjson: NDJSON, series: SERIES }))
  test(`${name} is taken by both`, async () => {
    assert.ok(validate(definition), JSON.stringify(validate.errors));
    const result = await check(definition);
    assert.equal(result.code, 0, result.stderr);
  });

test('the samples and the example of the README validate', () => {
  const samples = join(sourceDir, 'deploy', 'sample');
  for (const name of readdirSync(samples, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map((entry) => entry.name)) {
    const file = join(samples, name, 'definition.json');
    assert.ok(validate(JSON.parse(readFileSync(file, 'utf8'))), `${file}: ${JSON.stringify(validate.errors)}`);
  }
  const [, readme] = /members\.json <<'EOF'\n([\s\S]*?)\nEOF/.exec(readFileSync(join(sourceDir, 'README.md'), 'utf8'));
  assert.ok(validate(JSON.parse(readme)), JSON.stringify(validate.errors));
});

test('what is of a wrong shape is refused by both', async () => {
  for (const [what, definition] of Object.entries(WRONG)) {
    assert.ok(!validate(JSON.parse(JSON.stringify(definition))), `the schema takes ${what}`);
    const result = await check(definition);
    assert.equal(result.code, 1, `the parser takes ${what}`);
    assert.match(result.stderr, /\n {2}at \//, `${what}: ${result.stderr}`);
  }
});

/** What the parser says against a definition that validates, and why the schema has no words for it. */
const BEYOND = {
  'names that are the same but for their case are the same in SQL': /upper and lower case are the same$/,
  'a schema does not compare the names in two members of two objects': /^a (check|gate) named "[^"]*" is there already$/,
  'a schema does not know what the names of one part are, when it looks at another':
    /is not a field of the (key|record)$|^a dimension of this rollup is expected$|^fields of the key are expected$|^some of the key's fields are expected, not all$|^the definition has no source of that name$|^source "[^"]*" has no file$|^a column of a source is expected: SOURCE\.COLUMN$|^the name of a column is expected$/,
  'a schema does not compare two values': /^"min" is greater than "max"$|^it is the quote or the escape, too$/,
  'an order of dimensions is no other set': /^this set is there twice$/,
  'fields of cron are parsed': /is no (minute|hour|day of the month|month|day of the week)$/,
  'a text may not have U+0000, anywhere': /^not valid JSON: /,
};

test('definitions that a seed made, and each with one thing otherwise: schema and parser differ in what a schema cannot say', async () => {
  const all = [];
  for (let seed = 0; seed < 24; seed++) {
    const whole = definition(seed);
    all.push([`${seed} itself`, whole], ...[...mutants(whole)].map(([what, one]) => [`${seed}: ${what}`, one]));
  }
  const { code, stdout } = await run(join(buildDir, 'tests', 'definition_verdicts'), [],
    { input: all.map(([, one]) => `${JSON.stringify(one)}\n`).join('') });
  const verdicts = stdout.trimEnd().split('\n'), seen = new Set(), taken = [0, 0];
  assert.deepEqual([code, verdicts.length], [0, all.length]);
  for (const [i, [what, one]] of all.entries()) {
    const isTaken = verdicts[i] === 'ok', validates = validate(one);
    taken[Number(isTaken)]++;
    if (what.endsWith(' itself')) assert.equal(verdicts[i], 'ok', what);
    if (isTaken) assert.ok(validates, `${what}: the parser takes it, and the schema says ${JSON.stringify(validate.errors)}`);
    const reason = !isTaken && validates && Object.keys(BEYOND).find((name) => BEYOND[name].test(verdicts[i]));
    if (validates && !isTaken) assert.ok(reason, `${what}: the schema takes it, and the parser says "${verdicts[i]}"`);
    seen.add(reason);
  }
  for (const reason of Object.keys(BEYOND)) assert.ok(seen.has(reason), `nothing was refused because ${reason}`);
  assert.ok(Math.min(...taken) > 3000, `${taken} are refused and taken`);
});

test('those that a seed made are taken with their SQL', async () => {
  for (let seed = 0; seed < 6; seed++) {
    const { code, stderr } = await check(definition(seed));
    assert.equal(code, 0, `${seed}: ${stderr}`);
  }
});
