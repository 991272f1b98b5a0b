// Takes the defences of tests/api/owasp.test.mjs out of the server, one at a time: a test that passes
// without what it is there for is no test. Works on a copy of the tree; tests/run --all runs it.
//   node tests/mutants/owasp.mjs [API1 ...]     of these items only
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const source = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const LINKED = ['.deps', 'openapi/node_modules'];

/** Item, the defence, its file, what stands there once, and what is put in its place. */
const MUTANTS = [
  ['API1', 'a dataset is looked for in the token\'s tenant', 'store/view.c',
    'int order = strcmp(tenant, s->tenant);\n        if (order == 0)\n            order = strcmp(dataset, s->dataset);',
    'int order = 0 * strcmp(tenant, s->tenant);\n        if (order == 0)\n            order = strcmp(dataset, s->dataset);'],
  ['API1', 'the token\'s list of datasets counts', 'auth/token.c', 'if (!id->datasets_listed)', 'if (dataset)'],
  ['API2', 'signatures are checked', 'auth/crypto.c', 'signature_len, message, message_len) != 1)\n        st = mismatch();',
    'signature_len, message, message_len) < -9)\n        st = mismatch();'],
  ['API2', 'a revoked token is refused', 'api/gate.c', 'return store_view_is_revoked(view, &token)', 'return !view && store_view_is_revoked(view, &token)'],
  ['API2', 'a token ends', 'auth/token.c', 'return id->expires_s > now_s - AUTH_SKEW_S && ', 'return '],
  ['API3', 'only what a caller may write is taken', 'api/ops_tenants.c', 'enum st st = jx_only(body, "", MEMBERS);',
    'enum st st = MEMBERS[0] ? ST_OK : ST_INVALID;'],
  ['API3', 'what is the server\'s own is not shown', 'api/ops_tenants.c', 'return st;\n    json_object_del(row, "hmac_key_check");', 'return st;'],
  ['API4', 'bodies have a limit', 'api/judge.c', 'return all && all < limit ? (size_t)all : limit;', 'return all ? 1000 * limit : 0;'],
  ['API4', 'batches have a limit', 'api/ops_lookup.c', 't->max_batch_keys ? t->max_batch_keys : API_BATCH_KEYS;',
    't->max_batch_keys ? t->max_batch_keys : 10 * API_BATCH_KEYS;'],
  ['API4', 'pages have a limit', 'api/route.c', 'number >= p->min && number <= p->max', 'number >= p->min'],
  ['API4', 'JSON has a depth', 'base/json_parse.c', 'if (r->depth == r->depth_max)', 'if (r->depth == 1000 * r->depth_max)'],
  ['API4', 'requests have a limit', 'api/limit.c', 'if (!passes)\n        return refuse(request, "tenant");', ''],
  ['API5', 'an operation needs its scope', 'api/gate.c', 'if (auth_identity_has_scope(identity, (enum auth_scope)request->route->scope))',
    'if (request->route->scope)'],
  ['API6', 'guesses are counted', 'auth/guess.c', 'if (settle(&g->value, value))', 'if (settle(&g->value, value) || value)'],
  ['API6', 'who guesses is noted', 'api/limit.c', 'st = api_note_guess(request, d, keys + (i - 1) * STORE_KEY_BYTES);', 'st = ST_OK;'],
  ['API7', 'no file and no plain HTTP of a caller\'s choice', 'api/ops_tenants.c', 'if (!st && *to && !auth_http_takes(to))', 'if (!st && *to == 1)'],
  ['API7', 'no address of the server\'s own network', 'api/ops_tenants.c', 'if (!st && *to && !auth_http_may_ask(to, outgoing))', 'if (!st && *to == 1)'],
  ['API7', 'SQL reads declared sources only', 'ingest/syntax_walk.c', 'if (!listed(table_functions, name))', 'if (!name)'],
  ['API7', 'paths stay in the inbox', 'store/name.c', 'return out ? st_hint(', 'return out && !path ? st_hint('],
  ['API8', 'answers about protected keys are not kept', 'api/exchange.c', 'if (is_protected)\n        api_reply_text(reply, "Cache-Control", "no-store");', '(void)is_protected;'],
  ['API8', 'pages of other origins are not listed', 'api/cors.c', 'if (strcmp(*listed, "*") == 0 || strcmp(*listed, origin) == 0)\n            return *listed;\n    return NULL;',
    'if (strcmp(*listed, "*") == 0 || strcmp(*listed, origin) == 0)\n            return *listed;\n    return origin;'],
  ['API8', 'production speaks TLS', 'api/production.c', 'if (!l->tls && !l->probes && api_listener_is_exposed(l))', 'if (!l)'],
  ['API8', 'production keeps keys elsewhere', 'api/production.c', 'if (!keys_dir)\n        return refuse_keys_in_data(data_dir, inside);', 'if (!keys_dir)\n        return ST_OK;'],
  ['API9', 'a route is all of its path', 'api/route.c', 'if (route->segment_count != count)', 'if (route->segment_count > count)'],
  ['API10', 'issuers and webhooks are asked over TLS', 'auth/http.c', '(https || is_loopback(host))', '(https || *host)'],
  ['API10', 'keys of issuers are judged', 'auth/key.c', 'if (EVP_PKEY_get_bits(key->public_key) < key->alg->min_bits)', 'if (EVP_PKEY_get_bits(key->public_key) < 512)'],
];

const tree = mkdtempSync(join(tmpdir(), 'everline-mutants-'));
process.on('exit', () => rmSync(tree, { recursive: true, force: true }));
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

function fail(text) {
  console.error(text);
  process.exit(1);
}
const run = (program, args, env = {}) => spawnSync(program, args, { cwd: tree, encoding: 'utf8', env: { ...process.env, ...env }, maxBuffer: 1 << 28 });

function build() {
  const { status, stdout } = run('cmake', ['--build', '--preset', 'release', '--target', 'everline', 'everline-ingest', '--', '--quiet']);
  return status === 0 ? '' : stdout;
}

/** The items whose test fails. */
function failing(item) {
  const { stdout } = run(process.execPath, ['--test', '--test-reporter', 'tap', `--test-name-pattern=^${item} `, 'tests/api/owasp.test.mjs'],
    { EVERLINE_SOURCE_DIR: tree, EVERLINE_BUILD_DIR: join(tree, 'build') });
  const results = [...stdout.matchAll(/^ *(not ok|ok) \d+ - (API\d+) (?!.*# SKIP)/gm)];
  if (results.length === 0) fail(`no test of ${item} was run:\n${stdout}`);
  return results.filter(([, result]) => result === 'not ok').map(([, , name]) => name);
}

cpSync(source, tree, { recursive: true, filter: (path) => {
  const name = relative(source, path);
  return !LINKED.includes(name) && !(dirname(path) === source && (basename(path) === '.git' || basename(path).startsWith('build')));
} });
for (const name of LINKED) symlinkSync(realpathSync(join(source, name)), join(tree, name));
const configured = run('cmake', ['--preset', 'release', '-DEVERLINE_WERROR=OFF']);
if (configured.status !== 0) fail(configured.stderr);
const wrong = build();
if (wrong) fail(wrong);

const chosen = process.argv.slice(2), survivors = [];
const wanted = MUTANTS.filter(([item]) => chosen.length === 0 || chosen.includes(item));
for (const item of new Set(wanted.map(([name]) => name)))
  if (failing(item).length > 0) fail(`${item} fails as it is`);
for (const [item, defence, file, from, to] of wanted) {
  const path = join(tree, file), text = readFileSync(path, 'utf8');
  if (text.split(from).length !== 2) fail(`${file} has not once: ${from}`);
  writeFileSync(path, text.replace(from, () => to));
  const errors = build();
  if (errors) fail(`${item}, ${defence}: what is left does not compile\n${errors}`);
  const killed = failing(item).includes(item);
  console.log(`${killed ? 'fails' : 'PASSES'}  ${item}  without: ${defence}`);
  if (!killed) survivors.push(`${item}: ${defence}`);
  writeFileSync(path, text);
}
if (survivors.length > 0) fail(`these tests pass without what they are there for:\n${survivors.join('\n')}`);
console.log(`${wanted.length} defences, and each is missed by its test`);
