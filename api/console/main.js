// The token's form, and which view the part of the URL behind the # names. It names no more than a dataset.

function introduction() {
  return [el('h2', {}, 'With a token'),
    el('p', {}, 'What is served, who changed it and why; going back; jobs; lookups and rollups: as far as the token allows. One for all of it is made by'),
    el('pre', {}, el('code', {}, 'everline token --data DIR --tenant TENANT --ttl 1h \\\n  --scope "data:read analytics:read versions:write audit:read ingest:write"'))];
}

/** The view that location.hash names; of what names none, the list of datasets. */
function viewOf(hash) {
  const [what, name, tab] = hash.slice(1).split('/');
  if (what === 'jobs') return async () => [el('h2', {}, 'Jobs'), await showJobs()];
  if (what !== 'dataset' || !name) return showDatasets;
  try {
    const dataset = decodeURIComponent(name);
    return () => showDataset(dataset, Object.hasOwn(TABS, tab) ? tab : 'versions');
  } catch {
    return showDatasets;
  }
}

function show() {
  const { sub, tenant, scope, exp } = token ? claims() : {};
  const until = Number.isInteger(exp) && exp < 1e12 ? `until ${new Date(exp * 1000).toISOString().slice(0, 16).replace('T', ' ')}` : null;
  byId('login').hidden = Boolean(token);
  byId('who').hidden = !token;
  byId('who-text').textContent = [sub, tenant && `tenant ${tenant}`, scope, until].filter((text) => typeof text === 'string').join(' · ') || 'a token';
  showServer();
  return fill(byId('main'), token ? viewOf(location.hash) : introduction);
}

/** For what replaces what had the focus. */
const showAgain = () => show().then(() => byId('main').focus());

byId('login').addEventListener('submit', (event) => {
  const next = tokenOf(byId('token').value);
  event.preventDefault();
  byId('token').value = '';
  if (!next) return say('That is no token: it has three parts, with dots between them.');
  say('');
  keepToken(next);
  return showAgain();
});
byId('forget').addEventListener('click', () => {
  keepToken(null);
  say('The token is forgotten.');
  show().then(() => byId('token').focus());
});
window.addEventListener('hashchange', () => {
  say('');
  showAgain();
});

show();
