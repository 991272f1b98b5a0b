// What the server gives out of its own memory, as C: the bytes, the same by gzip, and an entity tag.
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';

function array(name, content) {
  const lines = [];
  for (let i = 0; i < content.length; i += 20) lines.push(`    ${[...content.subarray(i, i + 20)].join(', ')},`);
  return `static const unsigned char ${name}[] = {\n${lines.join('\n')}\n};\n`;
}

/** A struct api_fixed of that name. */
export function fixed(name, content) {
  const tag = createHash('sha256').update(content).digest('hex').slice(0, 32);
  return `${array(`${name}_BYTES`, content)}${array(`${name}_GZIP`, gzipSync(content, { level: 9 }))}`
    + `static const struct api_fixed ${name} = {${name}_BYTES, sizeof ${name}_BYTES, ${name}_GZIP, sizeof ${name}_GZIP, "\\"${tag}\\""};\n`;
}
