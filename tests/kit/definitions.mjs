// Definitions that a seed gives again: good ones with every member, and ones in which one thing is otherwise.
import { pick, random } from './random.mjs';

const TYPES = ['BOOLEAN', 'tinyint', 'SMALLINT', 'Integer', 'BIGINT', 'UTINYINT', 'USMALLINT', 'uinteger', 'DOUBLE', 'DECIMAL(9,2)', 'decimal( 18 , 18 )', 'VARCHAR', 'DATE', 'TIMESTAMP', 'VARCHAR[]', 'DATE[]'];
const METRICS = ['count(*)', 'count(n)', 'SUM(n)', ' min ( n ) ', 'max(day)', 'avg(n)', 'distinct(word)', 'quantile(n, 0.5)', 'sum((word = \'a)\')::INT)', { ratio: ['sum(n)', 'count(*)'] }];
const BUCKETS = ['day', 'month', 'quarter', 'year'];
const CHECKS = [
  { expect: 'n > 0' }, { expect: 'n < 9', on_fail: 'reject', max_ratio: 0.5 }, { metric: 'count(*)', min: 1 },
  { metric: { ratio: ['sum(n)', 'count(*)'] }, min: -1.5, max: 2, on_fail: 'warn' }, { not_null: 'n' }, { not_null: ['n', 'word'], on_fail: 'warn', max_ratio: 0 },
  { unique: ['n', 'word'] }, { accepted_values: { field: 'word', values: ['a', 1, true] } }, { references: { from: 'word', to: 'text.word' } },
];
const GATES = [
  { metric: 'count(*)', max_change_ratio: 0.2 }, { null_rate: 'word', max: 0.5 }, { metric: 'sum(n)', max_change: 5, min: 0, max: 9 },
  { metric: { ratio: ['sum(n)', 'count(*)'] }, min: 1 },
];
const CSV = [
  {}, { columns: { n: 'INTEGER', day: 'DATE' } }, { delimiter: ';', quote: "'", escape: '\\', null: '\\N' }, { quote: '', null: null },
  { header: false, names: ['id', 'n', 'word', 'day', 'moment'] }, { columns: { id: 'VARCHAR', n: 'INTEGER', word: 'VARCHAR', day: 'DATE', moment: 'TIMESTAMP' }, columns_complete: true },
  { header: true, max_reject_ratio: 0.25, columns: null, delimiter: '|' },
];
const ALL = { id: 'VARCHAR', n: 'INTEGER', word: 'VARCHAR', day: 'DATE', moment: 'TIMESTAMP' };

/** A definition that the parser takes, and the SQL check, too. */
export function definition(seed) {
  const next = random(seed, 'definition'), maybe = (value) => (next() < 0.6 ? value : undefined);
  const some = (list, least = 0) => list.filter(() => next() < 0.5).concat(list.slice(0, least)).slice(0, Math.max(least, list.length));
  const isProtected = next() < 0.5, sets = maybe([['word'], [], { dimensions: ['word', 'flag'], time: false }, { dimensions: ['flag'] }]);
  const named = (list) => some(list).map((one, i) => ({ name: `rule_${i}`, ...one }));
  const whole = {
    name: pick(next, ['a', 'some-data', 'x9_y']),
    description: maybe('What it is'),
    sources: {
      text: { format: 'csv', ...pick(next, CSV) },
      ...maybe({ lines: { format: 'ndjson', columns: ALL, columns_complete: next() < 0.5, max_reject_ratio: 1 } }),
    },
    prepare: `SELECT id, id AS second, n::INTEGER AS n, word, day::DATE AS day, moment, true AS flag, ${TYPES.map((_, i) => `NULL AS f${i}`).join(', ')} FROM text`,
    key: {
      fields: ['id', 'second'], normalize: maybe({ id: pick(next, ['exact', 'person_name', 'date', 'digits']) }),
      protect: isProtected ? 'hmac-sha256' : maybe('none'), sort: maybe('day'),
      guess: isProtected ? maybe({ fields: ['id'], limit: maybe(70), per: maybe('day') }) : undefined,
    },
    record: { day: 'DATE', ...Object.fromEntries(some(TYPES).map((type) => [`f${TYPES.indexOf(type)}`, type])) },
    max_reject_ratio: maybe(next()),
    checks: maybe(named(CHECKS)),
    gates: maybe(named(GATES)),
    rollups: maybe({
      by: {
        dimensions: ['word', 'flag'], metrics: Object.fromEntries(some(METRICS, 1).map((metric, i) => [`m${i}`, metric])),
        time: sets || next() < 0.5 ? { field: 'day', bucket: pick(next, BUCKETS) } : undefined, grouping_sets: sets, min_cell: maybe(11),
      },
      total: { metrics: { n: 'count(*)' } },
    }),
    retention: maybe({ keep_versions: maybe(10000), keep_days: maybe(1) }),
    require_promotion: maybe(true), require_purpose: maybe(false), watch_inbox: maybe(true),
    schedule: maybe({ cron: pick(next, ['30 4 * * 1-5', '*/15 * * * *', '0 0 1 jan sun']), sources: { text: pick(next, ['a/*.csv', ['a.csv', 'b/c.csv']]) } }),
    ...maybe({ on_duplicate: pick(next, ['first', 'last']), duplicate_order: 'n' }),
  };
  if (whole.sources.lines && whole.schedule) whole.schedule.sources.lines = 'l/*.ndjson';
  return JSON.parse(JSON.stringify(whole));
}

const VALUES = [null, ',', '"', '\n', 'reject', true, 0, 1, -1, 2, 1.5, 1e9, '', ' ', 'x', 'X', 'a b', '\u0000', 'x'.repeat(300), 'é', [], ['x'], [null], {}, { x: 'x' }];

function* places(value, path = []) {
  yield path;
  if (value && typeof value === 'object')
    for (const name of Object.keys(value)) yield* places(value[name], [...path, name]);
}

/** Gives what `change` makes of a copy's object and name at the path. */
function changed(whole, path, change) {
  const copy = structuredClone(whole), name = path.at(-1);
  change(path.slice(0, -1).reduce((at, step) => at[step], copy), name);
  return copy;
}

const remove = (at, name) => (Array.isArray(at) ? at.splice(Number(name), 1) : delete at[name]);

/** [what, definition] with one thing otherwise: left out, of another value or type, of another name, more of it. */
export function* mutants(whole) {
  for (const path of places(whole)) {
    const what = `/${path.join('/')}`, value = path.reduce((at, step) => at[step], whole);
    const change = (how, make) => [`${what} ${how}`, changed(whole, path, make)];
    if (path.length) {
      yield change('is left out', remove);
      for (const other of VALUES) yield change(`is ${JSON.stringify(other)?.slice(0, 20)}`, (at, name) => { at[name] = other; });
      if (typeof value === 'string') yield change('has more behind it', (at, name) => { at[name] += ']'; });
      if (typeof value === 'string') yield change('is of the other case', (at, name) => { at[name] = value.toUpperCase() === value ? value.toLowerCase() : value.toUpperCase(); });
      for (const other of ['', 'a b', 'limit', 'x'.repeat(128)])
        yield change(`is named ${other.slice(0, 9)}`, (at, name) => { if (!Array.isArray(at)) { at[other] = at[name]; delete at[name]; } });
    }
    if (Array.isArray(value)) {
      yield [`${what} has its first twice`, path.length ? changed(whole, path, (at, name) => { at[name] = [...value, ...value.slice(0, 1)]; }) : whole];
      yield change('has a hundred', (at, name) => { at[name] = Array.from({ length: 100 }, (_, i) => value[0] ?? `c${i}`); });
    } else if (value && typeof value === 'object') {
      const more = (add) => (path.length ? changed(whole, path, (at, name) => { at[name] = { ...value, ...add }; }) : { ...whole, ...add });
      yield [`${what} has a member that is not known`, more({ owner: 'me' })];
      const first = Object.keys(value)[0];
      if (first) yield [`${what} has a member in two cases`, more({ [first.toUpperCase()]: value[first] })];
      yield [`${what} has a hundred members`, more(Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`c${i}`, value[first] ?? 'x'])))];
    }
  }
}
