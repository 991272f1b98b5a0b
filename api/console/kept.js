// What is asked of a version that is kept: how it differs from another one, and all its records as a file.

const isKept = ({ state }) => ['SUCCEEDED', 'HELD', 'QUARANTINED'].includes(state);

/* ---- differences ---- */

const change = (before, after) => (typeof before === 'number' && typeof after === 'number' ? figure(after - before) : null);
const TOTAL_COLUMNS = [
  { head: 'Rollup', cell: ({ rollup }) => rollup },
  { head: 'Metric', cell: ({ name }) => name },
  { head: 'Before', number: true, cell: ({ before }) => count(before) },
  { head: 'After', number: true, cell: ({ after }) => count(after) },
  { head: 'Change', number: true, cell: ({ before, after }) => count(change(before, after)) },
];

function totalsShown(rollups) {
  const totals = rollups.flatMap(({ name: rollup, metrics }) => metrics.map((metric) => ({ rollup, ...metric })));
  const [table, body] = tableOf('Totals of the rollups', TOTAL_COLUMNS);
  body.append(...totals.map((total) => el('tr', { role: 'row' }, cells(TOTAL_COLUMNS, total))));
  return totals.length ? table : null;
}

const samplesShown = (what, keys = []) => (keys.length ? [el('h3', {}, `Some that were ${what}`), el('ul', {}, keys.map((key) => el('li', {}, shown(key))))] : null);

function differencesShown({ from, to, definition_changed: redefined, records, samples, fields, rollups }) {
  return [fromTo(from, to),
    pairs([['definition', redefined ? 'another one' : 'the same'], ...Object.entries(records).map(([name, value]) => [`records ${name}`, count(value)]),
           ...fields.map(({ name, change: how }) => [`field ${name}`, how])]),
    totalsShown(rollups), ['added', 'removed', 'changed'].map((what) => samplesShown(what, samples?.[what]))];
}

function compareDialog(dataset, row) {
  dialogOf(`Compare version ${row.version} of ${dataset.name}`, async () => {
    const { items } = await get(withQuery(pathOf('datasets', dataset.name, 'versions'), { limit: 1000 }));
    const others = items.filter((other) => isKept(other) && other.version !== row.version);
    if (!others.length) return el('p', {}, 'No other version is kept.');
    const best = row.current ? dataset.rollback_to : dataset.current, result = el('div', { 'aria-live': 'polite' });
    const from = el('select', {}, others.map((other) =>
      el('option', { value: other.version, selected: other.version === best }, `${other.version}, ${other.state}, ${builtText(other)}`)));
    const ask = (event) => {
      event.preventDefault();
      fill(result, async () => differencesShown(await get(withQuery(pathOf('datasets', dataset.name, 'versions', row.version, 'diff'), { from: from.value }))));
    };
    return [el('form', { onsubmit: ask }, field('compare-from', 'With version', from),
               el('div', { class: 'acts' }, el('button', { class: 'main' }, 'Compare'))), result];
  });
}

/* ---- an export ---- */

function saveAs(name, bytes) {
  const link = el('a', { href: URL.createObjectURL(bytes), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // it is read when it is saved, which takes a while
}

function exportDialog(dataset, row) {
  const stop = new AbortController();
  dialogOf(`Export version ${row.version} of ${dataset.name}`, async (dialog) => {
    const { definition = dataset.definition } = await get(pathOf('datasets', dataset.name, 'versions', row.version));
    const format = el('select', {}, ['csv', 'ndjson', 'parquet'].map((name) => el('option', { value: name }, name)));
    const purpose = purposeInput(definition);
    return actForm(dialog, {
      sentence: el('p', {}, `All ${count(row.rows?.accepted)} records of version ${row.version}; the audit says who took them. The browser has them all before it saves them: many millions are a task for "everline export".`),
      controls: [field('format', 'Format', format), field('purpose', 'purpose, kept in the audit', purpose)], verb: 'Download',
      act: async () => {
        const path = withQuery(pathOf('datasets', dataset.name, 'export'), { version: row.version, format: format.value });
        saveAs(`${dataset.name}.${row.version}.${format.value}`, await download(path, purpose.value ? { 'x-purpose': purpose.value } : {}, stop.signal));
        return `Version ${row.version} of ${dataset.name} is downloaded`;
      },
    });
  }, () => stop.abort());
}
