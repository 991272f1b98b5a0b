// Reads the contract and writes what the server needs of it:
//   api_routes.h    the route table: method, path, scope, thread, body limit, parameters, handler
//   api_openapi.h   the contract as JSON bytes, for GET /openapi.json
// usage: node openapi/generate.mjs everline.yaml OUTPUT_DIRECTORY
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { fixed } from './fixed.mjs';

const SCOPES = {
  none: '0',
  'data:read': 'AUTH_DATA_READ',
  'analytics:read': 'AUTH_ANALYTICS_READ',
  'ingest:write': 'AUTH_INGEST_WRITE',
  'versions:write': 'AUTH_VERSIONS_WRITE',
  'audit:read': 'AUTH_AUDIT_READ',
  'tenant:admin': 'AUTH_TENANT_ADMIN',
  'platform:admin': 'AUTH_PLATFORM_ADMIN',
};
const AUDITED = { none: 'API_AUDITED_NOT', act: 'API_AUDITED_ACT', lookup: 'API_AUDITED_LOOKUP' };
const TYPES = { string: 'API_TEXT', integer: 'API_INTEGER', boolean: 'API_BOOLEAN' };
/** By x-everline-thread: which function of the handler runs where. */
const HANDLERS = {
  worker: (handler) => `.data = ${handler}`,
  catalog: (handler) => `.control = ${handler}`,
  pool: (handler) => `.control = ${handler},\n     .before = ${handler}_before`,
  helper: (handler) => `.control = ${handler},\n     .later = ${handler}_later`,
};
/** By x-everline-place: on which listeners it is. */
const PLACES = { undefined: 'API_ROUTE_API', probe: 'API_ROUTE_PROBE', metrics: 'API_ROUTE_METRICS' };
const STREAM = 'application/octet-stream';
const METHODS = ['get', 'put', 'post', 'delete'];

function fail(where, what) {
  throw new Error(`${where}: ${what}`);
}

function resolve(document, item) {
  if (!item.$ref) return item;
  return item.$ref.split('/').slice(1).reduce((node, name) => node[name], document);
}

/** What the router checks; a keyword that it does not know would be a promise that nobody keeps. */
const KEYWORDS = {
  string: ['type', 'minLength', 'maxLength', 'enum'],
  integer: ['type', 'minimum', 'maximum', 'default'],
  boolean: ['type', 'default'],
};

function parameterRow(where, document, parameter) {
  const schema = resolve(document, parameter.schema ?? {});
  const { type, minimum, maximum, minLength, maxLength, enum: words } = schema;
  if (!TYPES[type]) fail(where, `parameter ${parameter.name} has no usable type`);
  const unknown = Object.keys(schema).find((k) => !KEYWORDS[type].includes(k));
  if (unknown) fail(where, `parameter ${parameter.name}: nothing checks "${unknown}"`);
  if (words) return `{"${parameter.name}", ${TYPES[type]}, 0, 0, "${words.join(', ')}"}`;
  const [low, high] = type === 'integer' ? [minimum, maximum] : [minLength ?? 0, maxLength];
  if (type !== 'boolean' && (low === undefined || high === undefined))
    fail(where, `parameter ${parameter.name} lacks its bounds`);
  return `{"${parameter.name}", ${TYPES[type]}, ${low ?? 0}, ${high ?? 0}, NULL}`;
}

function operationRow(document, path, method, operation) {
  const where = `${method.toUpperCase()} ${path}`;
  const id = operation.operationId ?? fail(where, 'no operationId');
  const scope = (operation['x-everline-scope'] ?? '').split(' ')
    .map((one) => SCOPES[one] ?? fail(where, 'no known x-everline-scope')).join(' | ');
  const isPublic = operation.security?.length === 0;
  if (isPublic !== (scope === '0')) fail(where, 'security and x-everline-scope disagree');
  const thread = operation['x-everline-thread'];
  if (!HANDLERS[thread]) fail(where, `x-everline-thread is one of ${Object.keys(HANDLERS).join(', ')}`);
  const place = PLACES[operation['x-everline-place']] ?? fail(where, 'no known x-everline-place');
  const limit = operation['x-everline-body-limit'];
  if (!Number.isInteger(limit)) fail(where, 'no x-everline-body-limit');
  if ((limit > 0) !== Boolean(operation.requestBody)) fail(where, 'requestBody and its limit disagree');

  for (const range of ['4XX', '5XX'])
    if (!operation.responses[range]) fail(where, `no ${range} response: every operation can be refused and can fail`);

  // A streamed body is application/octet-stream here, and any type in truth; beside it there may be one
  // that is not streamed.
  const stream = operation['x-everline-stream'] === true;
  const types = Object.keys(operation.requestBody?.content ?? {}).filter((t) => !(stream && t === STREAM));
  if (limit > 0 && types.length !== 1 && !(stream && types.length === 0)) fail(where, 'a body has one media type');

  const parameters = (operation.parameters ?? []).map((p) => resolve(document, p));
  // What is sent again must not be done again: the other methods are idempotent by themselves.
  const audited = AUDITED[operation['x-everline-audit'] ?? 'none'] ?? fail(where, 'no known x-everline-audit');
  const repeatable = parameters.some((p) => p.in === 'header' && p.name === 'Idempotency-Key');
  if (repeatable !== (method === 'post' && audited === AUDITED.act)) fail(where, 'a POST that changes something, and nothing else, takes an Idempotency-Key');
  if (repeatable && !['409', '422', '507'].every((status) => operation.responses[status])) fail(where, 'an Idempotency-Key can be answered by 409, 422 and 507');
  const segments = path.split('/').slice(1);
  const inPath = segments.filter((s) => s.startsWith('{')).map((s) => {
    const name = s.slice(1, -1);
    const found = parameters.find((p) => p.in === 'path' && p.name === name);
    return parameterRow(where, document, found ?? fail(where, `path parameter ${name} is not described`));
  });
  // An object in the query stands for parameters that the dataset names: the handler's to judge.
  const query = parameters.filter((p) => p.in === 'query');
  const isFree = (p) => p.schema?.type === 'object' && p.style === 'form' && p.explode === true;
  const inQuery = query.filter((p) => !isFree(p)).map((p) => parameterRow(where, document, p));
  const handler = `api_op_${id.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`)}`;
  return {
    id, thread, handler,
    row: `    {.operation = "${id}",
     .method = "${method.toUpperCase()}",
     .segments = {${segments.map((s) => (s.startsWith('{') ? 'NULL' : `"${s}"`)).join(', ')}},
     .segment_count = ${segments.length},
     .path_params = {${inPath.join(', ') || '{0}'}},
     .path_param_count = ${inPath.length},
     .query_params = {${inQuery.join(', ') || '{0}'}},
     .query_param_count = ${inQuery.length},
     .free_query = ${query.some(isFree)},
     .place = ${place},
     .scope = ${scope},
     .body_limit = ${limit},
     .media_type = ${types.length ? `"${types[0]}"` : 'NULL'},
     .repeatable = ${repeatable},
     .stream = ${stream},
     .audited = ${audited},
     ${HANDLERS[thread](handler)}},`,
  };
}

function routes(document) {
  const operations = Object.entries(document.paths).flatMap(([path, item]) =>
    METHODS.filter((m) => item[m]).map((m) => operationRow(document, path, m, item[m])));
  const ids = operations.map((o) => o.id);
  if (new Set(ids).size !== ids.length) fail('paths', 'an operationId is there twice');
  const simple = (name) => `enum st ${name}(struct api_reply *reply, struct api_request *request);`;
  const control = (name) =>
    `enum st ${name}(struct api_reply *reply, struct api_request *request, struct store *s,\n` +
    '    struct store_wait *wait);';
  const declarations = operations.flatMap((o) => [
    o.thread === 'worker' ? simple(o.handler) : control(o.handler),
    ...(o.thread === 'pool' ? [`enum st ${o.handler}_before(struct api_request *request);`] : []),
    ...(o.thread === 'helper' ? [simple(`${o.handler}_later`)] : []),
  ]);
  return `/* Generated by openapi/generate.mjs from openapi/everline.yaml. */
${declarations.join('\n')}

static const struct api_route API_ROUTES[] = {
${operations.map((o) => o.row).join('\n')}
};

static const char *const API_OPERATIONS[] = {
${ids.map((id) => `    "${id}",`).join('\n')}
    NULL,
};
`;
}

/** What the codes mean, for people: the page at /docs does not show x-everline-codes. */
function tableOfCodes(codes) {
  const rows = Object.entries(codes).map(([code, said]) => {
    const [where, ...meaning] = said.replaceAll('|', '\\|').split(': ');
    return `| \`${code}\` | ${where} | ${meaning.join(': ')} |`;
  });
  return ['# Codes of failures', '', '| code | where | what it means, what to do |', '|---|---|---|', ...rows].join('\n');
}

function contract(document) {
  const { info, components: { schemas: { Code } } } = document;
  const description = `${info.description}\n\n${tableOfCodes(Code['x-everline-codes'])}\n\n${Code.description}`;
  return `/* Generated by openapi/generate.mjs from openapi/everline.yaml. */
${fixed('API_OPENAPI', Buffer.from(JSON.stringify({ ...document, info: { ...info, description } }, withNames)))}`;
}

/** The page at /docs shows the example of a body only when it has a name. */
function withNames(key, value) {
  if (key !== 'content') return value;
  return Object.fromEntries(Object.entries(value).map(([type, { example, ...rest }]) =>
    [type, example === undefined ? rest : { ...rest, examples: { example: { value: example } } }]));
}

const [input, output] = process.argv.slice(2);
if (!output) {
  console.error('usage: node openapi/generate.mjs everline.yaml OUTPUT_DIRECTORY');
  process.exit(2);
}
try {
  const document = parse(readFileSync(input, 'utf8'));
  mkdirSync(output, { recursive: true });
  writeFileSync(join(output, 'api_routes.h'), routes(document));
  writeFileSync(join(output, 'api_openapi.h'), contract(document));
} catch (error) {
  console.error(`${input}: ${error.message}`);
  process.exit(1);
}
