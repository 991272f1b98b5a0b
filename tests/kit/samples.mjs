// Small datasets that tests make themselves, so that every expected value is theirs.

/** Protected: a person is found by name, birth date and last four digits only. */
export const PEOPLE = {
  name: 'people',
  description: 'Who is enrolled',
  sources: { people: { format: 'csv', columns: { SCORE: 'INTEGER' } } },
  prepare: "SELECT FIRST AS first_name, LAST AS last_name, BORN AS dob, right(SSN, 4) AS ssn_last4, "
    + "ELIGIBLE = 'yes' AS eligible, STATE AS state, SCORE AS score FROM people",
  key: {
    fields: ['first_name', 'last_name', 'dob', 'ssn_last4'],
    normalize: { first_name: 'person_name', last_name: 'person_name', dob: 'date', ssn_last4: 'digits' },
    protect: 'hmac-sha256',
  },
  record: { eligible: 'BOOLEAN', state: 'VARCHAR', score: 'INTEGER' },
};

export const PERSONS = [
  { FIRST: 'Zo\u00eb', LAST: "O'Neill-Smith", BORN: '1980-02-29', SSN: '999-11-2233', ELIGIBLE: 'yes', STATE: 'Ohio', SCORE: 7 },
  { FIRST: 'Li', LAST: 'Wei', BORN: '1999-12-31', SSN: '999-22-0042', ELIGIBLE: 'no', STATE: 'Iowa', SCORE: -3 },
  { FIRST: 'Mary Ann', LAST: 'Garc\u00eda', BORN: '1955-07-04', SSN: '999-33-9876', ELIGIBLE: 'yes', STATE: 'Utah', SCORE: null },
];

export const keyOf = (person) => ({
  first_name: person.FIRST, last_name: person.LAST, dob: person.BORN, ssn_last4: person.SSN.slice(-4),
});

/** Unprotected, with a rollup by month. */
export const THINGS = {
  name: 'things',
  description: 'Things by their id',
  sources: { things: { format: 'csv', columns: { weight: 'INTEGER', made: 'DATE' } } },
  prepare: 'SELECT id, colour, weight, made FROM things',
  key: { fields: ['id'], protect: 'none' },
  record: { colour: 'VARCHAR', weight: 'INTEGER', made: 'DATE' },
  rollups: {
    by_colour: {
      dimensions: ['colour'],
      time: { field: 'made', bucket: 'month' },
      metrics: {
        things: 'count(*)', weighed: 'count(weight)', weight: 'sum(weight)', lightest: 'min(weight)',
        heaviest: 'max(weight)', mean: 'avg(weight)',
        share_heavy: { ratio: ['sum((weight > 50)::INT)', 'count(*)'] },
      },
    },
    total: { dimensions: [], metrics: { things: 'count(*)', weight: 'sum(weight)' } },
  },
};

const COLOURS = ['red', 'green', 'blue, dark', 'say "white"', null];

/** `count` things; the same arguments give the same things. */
export function things(count, seed = 1) {
  const rows = [];
  for (let i = 0; i < count; i++) {
    const n = (i * 2654435761 + seed * 40503) % 4294967296;
    rows.push({
      id: `t${String(i).padStart(5, '0')}`,
      colour: COLOURS[n % COLOURS.length],
      weight: n % 11 === 0 ? null : (n % 199) - 99,
      made: `2024-${String(((n >>> 9) % 5) + 1).padStart(2, '0')}-${String((n % 28) + 1).padStart(2, '0')}`,
    });
  }
  return rows;
}

function metrics(cell) {
  const weights = cell.filter((row) => row.weight !== null).map((row) => row.weight);
  const sum = weights.reduce((a, b) => a + b, 0);
  return {
    things: cell.length, weighed: weights.length, weight: weights.length ? sum : null,
    lightest: weights.length ? Math.min(...weights) : null,
    heaviest: weights.length ? Math.max(...weights) : null,
    mean: weights.length ? sum / weights.length : null,
    share_heavy: weights.filter((w) => w > 50).length / cell.length,
  };
}

/** The cells of THINGS' rollup by_colour as they must be: by colour (null first, then bytewise), then month. */
export function cellsByColour(rows) {
  const cells = new Map();
  for (const row of rows) {
    const made = `${row.made.slice(0, 7)}-01`;
    const name = JSON.stringify([row.colour, made]);
    if (!cells.has(name)) cells.set(name, []);
    cells.get(name).push(row);
  }
  const bytes = (text) => Buffer.from(text ?? '');
  return [...cells.entries()]
    .map(([name, cell]) => ({ colour: JSON.parse(name)[0], made: JSON.parse(name)[1], ...metrics(cell) }))
    .sort((a, b) => (a.colour === null ? 0 : 1) - (b.colour === null ? 0 : 1)
      || Buffer.compare(bytes(a.colour), bytes(b.colour)) || (a.made < b.made ? -1 : 1));
}

/** The one cell of THINGS' rollup total. */
export function totals(rows) {
  const all = metrics(rows);
  return [{ things: all.things, weight: all.weight }];
}

const field = (value) => {
  const text = String(value);
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

/** CSV with a header; null is an empty field. */
export function csv(rows, columns = Object.keys(rows[0])) {
  const line = (row) => columns.map((c) => (row[c] === null ? '' : field(row[c]))).join(',');
  return `${columns.join(',')}\n${rows.map(line).join('\n')}\n`;
}
