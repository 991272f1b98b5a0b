// Lookups, by a form of the key's fields, and rollups as tables.

/** The definition that the served version was built by; the dataset's own when there is none. */
async function servedDefinition({ name, current, definition }) {
  return current === null ? definition : (await get(pathOf('datasets', name, 'versions', current))).definition ?? definition;
}

const textInput = (attributes = {}) => el('input', { type: 'text', autocomplete: 'off', spellcheck: 'false', autocapitalize: 'none', ...attributes });
const purposeInput = (definition) => textInput({ maxlength: 200, pattern: '[ -~]*', required: Boolean(definition.require_purpose) });
const versionInput = () => textInput({ inputmode: 'numeric', pattern: '[0-9]+', placeholder: 'current' });

function recordShown(record) {
  return record ? pairs(Object.entries(record)) : null;
}

function outcomeShown(reply, { dataset, version, outcome }) {
  const state = reply.headers.get('everline-version-state');
  return el('p', {}, toned(outcome, outcome === 'match' ? 'good' : 'warn'), ` in version ${version} of ${dataset}`, state ? toned(` (${state})`, 'bad') : null);
}

const recordColumns = (items) => Object.keys(items[0] ?? {}).map((name) => ({ head: name, free: true, cell: (item) => item[name] }));

/** The records of one key of a series, by pages. */
async function seriesShown(path, body, headers) {
  const ask = (cursor) => call('POST', cursor ? `${path}${path.includes('?') ? '&' : '?'}${new URLSearchParams({ cursor })}` : path, { body, headers });
  const first = await ask(null);
  return [outcomeShown(first.reply, first.value),
    await pages('In the order of the series', recordColumns(first.value.items),
                async (cursor) => (cursor ? await ask(cursor) : first).value, { none: 'It has no record there.' })];
}

async function recordOf(path, body, headers) {
  const { value, reply } = await call('POST', path, { body, headers });
  return [outcomeShown(reply, value), recordShown(value.record)];
}

async function showLookup(dataset) {
  const definition = await servedDefinition(dataset), { fields, normalize = {}, sort } = definition.key;
  const keys = fields.map((name) => [name, textInput({ required: true })]);
  const version = versionInput();
  const purpose = purposeInput(definition);
  const range = sort ? [['from', textInput()], ['to', textInput()], ['order', textInput({ placeholder: 'asc', pattern: 'asc|desc' })]] : [];
  const result = el('div', { 'aria-live': 'polite' });
  const ask = (event) => {
    event.preventDefault();
    const body = { key: Object.fromEntries(keys.map(([name, input]) => [name, input.value])) };
    const parameters = { version: version.value, ...Object.fromEntries(range.map(([name, input]) => [name, input.value])) };
    const path = withQuery(pathOf('datasets', dataset.name, 'lookup', ...(sort ? ['series'] : [])), parameters);
    fill(result, () => (sort ? seriesShown : recordOf)(path, body, purpose.value ? { 'x-purpose': purpose.value } : {}));
  };
  return [el('form', { onsubmit: ask, autocomplete: 'off' },
    el('div', { class: 'fields' },
      keys.map(([name, input]) => field(`key-${name}`, normalize[name] ? `${name} (${normalize[name]})` : name, input)),
      range.map(([name, input]) => field(`range-${name}`, `${name}, of ${sort}`, input)),
      field('lookup-version', 'version', version), field('purpose', 'purpose, kept in the audit', purpose)),
    el('div', { class: 'acts' }, el('button', { class: 'main' }, 'Look up'))), result];
}

/* ---- rollups ---- */

const setNames = (rollup, { dimensions, time }) => [...dimensions, ...(time && rollup.time ? [rollup.time.name] : [])];

const cellColumns = (items, metrics) => Object.keys(items[0] ?? {}).filter((name) => name !== 'suppressed').map((name) => ({
  head: name, free: true, number: metrics.includes(name),
  cell: (item) => (item.suppressed && item[name] === null ? toned('hidden', 'dim') : metrics.includes(name) ? count(item[name]) : item[name]),
}));

async function rollupForm(dataset, rollup, version) {
  const sets = rollup.grouping_sets ?? [];
  const by = el('select', {}, sets.map((set) => el('option', { value: setNames(rollup, set).join(',') }, setNames(rollup, set).join(', ') || 'the total')));
  const only = rollup.dimensions.map(({ name }) => [name, textInput({ placeholder: 'all' })]);
  const range = rollup.time ? ['from', 'to'].map((name) => [name, textInput({ placeholder: '2026-01-31' })]) : [];
  const path = pathOf('datasets', dataset, 'rollups', rollup.name), result = el('div', { 'aria-live': 'polite' });
  const ask = (event) => {
    event?.preventDefault();
    const parameters = { ...Object.fromEntries([...only, ...range].map(([name, input]) => [name, input.value])), version, limit: 100 };
    const page = async (cursor) => {
      const query = withQuery(path, { ...parameters, cursor });
      const cells = await get(sets.length ? `${query}&group_by=${encodeURIComponent(by.value)}` : query); // the total's is empty
      return cells.items.length || !cells.next ? cells : page(cells.next); // none was met on the way to it
    };
    return fill(result, async () => {
      const first = await page(null);
      return pages(`${rollup.name} of version ${first.version}`, cellColumns(first.items, rollup.metrics),
                   (cursor) => (cursor ? page(cursor) : first), { none: 'There is no such cell.' });
    });
  };
  await ask();
  return [el('form', { onsubmit: ask, autocomplete: 'off' },
    el('div', { class: 'fields' }, sets.length ? field('group-by', 'grouped by', by) : null,
       only.map(([name, input]) => field(`only-${name}`, `only ${name}`, input)),
       range.map(([name, input]) => field(`range-${name}`, `${name}, of ${rollup.time.name}`, input))),
    el('div', { class: 'acts' }, el('button', { class: 'main' }, 'Show'))), result];
}

async function showRollups({ name }) {
  const place = el('div'), version = versionInput();
  const list = () => fill(place, async () => {
    const { items, version: of } = await get(withQuery(pathOf('datasets', name, 'rollups'), { version: version.value }));
    const view = el('div');
    const which = el('select', { onchange: () => open() }, items.map((rollup) => el('option', {}, rollup.name)));
    const open = () => fill(view, () => rollupForm(name, items[which.selectedIndex], version.value));
    if (!items.length) return el('p', {}, `Version ${of} has no rollup.`);
    await open();
    return [el('div', { class: 'fields' }, field('rollup', 'rollup', which)), view];
  });
  const look = (event) => { event.preventDefault(); list(); };
  list();
  return [el('form', { onsubmit: look }, el('div', { class: 'fields' }, field('rollups-version', 'version', version)),
             el('div', { class: 'acts' }, el('button', {}, 'List'))), place];
}
