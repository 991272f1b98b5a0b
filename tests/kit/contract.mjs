// The contract as a judge: is this answer one that openapi/everline.yaml allows? Its own reading of
// the document, beside the one that the server's routes are generated from.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { sourceDir } from './process.mjs';

const tools = createRequire(join(sourceDir, 'openapi', 'package.json'));
const { parse } = tools('yaml');
const Ajv = tools('ajv').default;

const DATE_TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$/;

export const readContract = () => parse(readFileSync(join(sourceDir, 'openapi', 'everline.yaml'), 'utf8'));

/** A copy in which an object that lists its members has no others: what is sent must be described. */
function closed(node) {
  if (Array.isArray(node)) return node.map(closed);
  if (node === null || typeof node !== 'object') return node;
  const copy = Object.fromEntries(Object.entries(node).map(([name, value]) => [name, closed(value)]));
  if (copy.type === 'object' && copy.properties && typeof copy.properties === 'object') copy.additionalProperties ??= false;
  return copy;
}

/** Of a code, which is a string without an enum: is it one that the contract explains? */
function isListed(codes, value) {
  isListed.errors = [{ message: `"${value}" is not in x-everline-codes`, params: {} }];
  return Object.hasOwn(codes, value);
}

export class Contract {
  constructor(document = readContract()) {
    this.document = closed(document);
    this.ajv = new Ajv({ strict: false, allErrors: true });
    this.ajv.addFormat('date-time', DATE_TIME);
    this.ajv.addFormat('date', /^\d{4}-\d{2}-\d{2}$/);
    this.ajv.addKeyword({ keyword: 'x-everline-codes', type: 'string', errors: true, validate: isListed });
    this.ajv.addSchema(this.document, 'contract');
    this.operations = Object.entries(this.document.paths).flatMap(([path, item]) =>
      ['get', 'put', 'post', 'delete', 'patch'].filter((method) => item[method]).map((method) => ({
        ...item[method], path, method: method.toUpperCase(),
        pattern: new RegExp(`^${path.replace(/[.]/g, '\\.').replace(/\{[^}]+\}/g, '[^/]+')}$`),
        parameters: (item[method].parameters ?? []).map((one) => this.resolve(one)),
      })));
    this.validators = new Map();
  }

  resolve(node) {
    return node?.$ref ? this.resolve(node.$ref.split('/').slice(1).reduce((at, name) => at[name], this.document)) : node;
  }

  /** The operation that a request is for, or undefined; HEAD is a GET. A path without parameters goes first. */
  operation(method, target) {
    const path = target.replace(/^https?:\/\/[^/]*/, '').split('?')[0];
    const wanted = method === 'HEAD' ? 'GET' : method;
    const found = this.operations.filter((one) => one.method === wanted && one.pattern.test(path));
    return found.find((one) => one.path === path) ?? found[0];
  }

  /** Schemas are compiled where they stand, so that their references hold. */
  validator(schema) {
    if (!this.validators.has(schema)) {
      const text = JSON.stringify(schema).replaceAll('"#/', '"contract#/');
      this.validators.set(schema, this.ajv.compile(JSON.parse(text)));
    }
    return this.validators.get(schema);
  }

  /** What is wrong with a value by its schema: [] or texts. */
  schemaFaults(schema, value) {
    const validate = this.validator(schema);
    if (validate(value)) return [];
    return validate.errors.map((error) => {
      const more = error.params.additionalProperty ? ` "${error.params.additionalProperty}"` : '';
      return `${error.instancePath || 'the body'} ${error.message}${more}`;
    });
  }

  bodyFaults(response, reply) {
    const kind = reply.headers['content-type']?.split(';')[0];
    if (!response.content) return reply.text === '' ? [] : [`a body, where the contract has none`];
    const content = response.content[kind];
    if (!content) return [`Content-Type ${kind}: ${Object.keys(response.content).join(', ')} expected`];
    if (!/[/+]json$/.test(kind)) return [];
    let value;
    try {
      value = JSON.parse(reply.text);
    } catch (error) {
      return [`the body is not JSON: ${error.message}`];
    }
    return this.schemaFaults(content.schema, value);
  }

  /** What is wrong with an answer: [] or texts. `reply`: {status, headers, text}. */
  faults(method, target, reply) {
    if (method === 'OPTIONS' && reply.status === 204) return reply.text === '' && reply.headers.allow ? [] : ['OPTIONS without Allow, or with a body'];
    const operation = this.operation(method, target);
    const responses = operation?.responses ?? { '4XX': this.document.components.responses.Problem };
    const response = this.resolve(responses[reply.status] ?? responses[`${String(reply.status)[0]}XX`]);
    if (!response) return [`status ${reply.status} is not in the contract`];
    const faults = method === 'HEAD' || reply.status === 304 ? [] : this.bodyFaults(response, reply);
    for (const [name, header] of Object.entries(response.headers ?? {})) {
      const text = reply.headers[name.toLowerCase()], { schema, required } = this.resolve(header);
      if (text === undefined && required) faults.push(`no ${name}`);
      if (text === undefined) continue;
      const value = schema.type === 'integer' ? Number(text) : text;
      faults.push(...this.schemaFaults(schema, value).map((fault) => `${name}: ${fault}`));
    }
    return faults;
  }
}
