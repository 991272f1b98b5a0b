// Writes what is derived from the contract and kept beside it, so that nobody needs our tools to use it:
//   everline-3.1.yaml               the same contract in OpenAPI 3.1
//   sdk/typescript/src/generated/   the TypeScript client, by @hey-api/openapi-ts
// usage: node derive.mjs [OUTPUT_DIRECTORY]      (here, when none is named)
// tests/check/derived fails when what is kept is not what this writes.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createClient } from '@hey-api/openapi-ts';
import { parse, stringify } from 'yaml';

const here = dirname(fileURLToPath(import.meta.url));
const SOURCE = join(here, 'everline.yaml'), SDK = join('sdk', 'typescript');

/** A schema of OpenAPI 3.0 as JSON Schema 2020-12, which 3.1 has. */
function schema(old) {
  if (old === null || typeof old !== 'object' || old.$ref) return old;
  const { nullable, example, format, ...rest } = old;
  for (const word of ['exclusiveMinimum', 'exclusiveMaximum', 'discriminator', 'xml'])
    if (word in rest) throw new Error(`derive.mjs does not know "${word}"`);
  if (format === 'binary') return { description: rest.description, contentMediaType: 'application/octet-stream' };
  const next = {};
  for (const [word, value] of Object.entries(rest)) {
    if (word === 'properties') next[word] = mapped(value, schema);
    else if (['items', 'additionalProperties', 'not'].includes(word)) next[word] = schema(value);
    else if (['oneOf', 'anyOf', 'allOf'].includes(word)) next[word] = value.map(schema);
    else next[word] = value;
  }
  if (format !== undefined) next.format = format;
  if (example !== undefined) next.examples = [example];
  if (!nullable) return next;
  if (next.enum) next.enum = [...next.enum, null];
  if (next.type) return { ...next, type: [next.type, 'null'] };
  throw new Error('nullable needs a type');
}

const mapped = (object, fn) => Object.fromEntries(Object.entries(object).map(([name, value]) => [name, fn(value)]));

/** Everything that is not a schema stays as it is. */
function upgraded(node) {
  if (Array.isArray(node)) return node.map(upgraded);
  if (node === null || typeof node !== 'object') return node;
  return Object.fromEntries(Object.entries(node).map(([name, value]) => {
    if (name === 'example' || name === 'examples') return [name, value];
    if (name === 'schema') return [name, schema(value)];
    if (name === 'schemas') return [name, mapped(value, schema)];
    return [name, upgraded(value)];
  }));
}

const output = resolve(process.argv[2] ?? here);
mkdirSync(output, { recursive: true });
const document = parse(readFileSync(SOURCE, 'utf8'));
writeFileSync(join(output, 'everline-3.1.yaml'),
  `# Derived from everline.yaml by derive.mjs; change that, and run "npm run derive".\n${
    stringify({ ...upgraded(document), openapi: '3.1.0' }, { lineWidth: 110, aliasDuplicateObjects: false })}`);
await createClient({
  input: SOURCE,
  output: { path: join(output, SDK, 'src', 'generated'), tsConfigPath: join(here, SDK, 'tsconfig.json') },
  plugins: ['@hey-api/client-fetch', '@hey-api/typescript', '@hey-api/sdk'],
  logs: { level: 'silent' },
});
