// The README's table of options is what the parameter table of the program says. usage: options.mjs README EVERLINE [--write]
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';

const BEGIN = '<!-- options: tests/check/options.mjs README.md build/everline --write -->\n', END = '<!-- /options -->';
const [path, program, write] = process.argv.slice(2);
const example = execFileSync(program, ['config', 'example'], { encoding: 'utf8' });

/** What lines of the example say: `# what: KIND`, then `#name = default`, below `[command]`. */
function* options() {
  let command = 'all', what;
  for (const line of example.slice(example.indexOf('\n# data directory')).split('\n')) {
    const [, section] = line.match(/^\[(.+)\]$/) ?? [], [, name, value] = line.match(/^#([a-z-]+) = ?(.*)$/) ?? [];
    if (section) command = section;
    else if (name) yield { command, name, value, what };
    else what = line.slice(2);
  }
}

function table() {
  const rows = new Map();
  for (const { command, name, value, what } of options()) {
    const [, text, kind] = what.match(/^(.*): ([A-Z:]+|https:.*)$/) ?? [, what, ''], key = `${name} ${value} ${what}`;
    if (!rows.has(key)) rows.set(key, { option: `--${name}${kind && kind === kind.toUpperCase() ? ` ${kind}` : ''}`, value, text, of: [] });
    rows.get(key).of.push(command);
  }
  const cell = (text) => text.replaceAll('|', '\\|');
  return ['| option | default | of | what |', '|---|---|---|---|',
    ...[...rows.values()].map(({ option, value, text, of }) => `| \`${option}\` | ${value && value !== 'false' ? `\`${cell(value)}\`` : ''} | ${of.join(', ')} | ${cell(text)} |`), ''].join('\n');
}

const readme = readFileSync(path, 'utf8'), begin = readme.indexOf(BEGIN), end = readme.indexOf(END);
if (begin < 0 || end < begin) throw new Error(`${path} has no place for the table: ${BEGIN.trim()} and ${END}`);
const wanted = readme.slice(0, begin) + BEGIN + table() + readme.slice(end);
if (write) writeFileSync(path, wanted);
else if (readme !== wanted) {
  console.error(`the options in ${path} are not those of the program: run node tests/check/options.mjs ${path} ${program} --write`);
  process.exit(1);
}
console.log(`${table().split('\n').length - 3} options`);
