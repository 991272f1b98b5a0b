// What completes command lines in a shell: made of the same tables as the command line, and run by the shell itself.
import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { everline } from '../kit/everline.mjs';
import { run, tempDir } from '../kit/process.mjs';

/** The script of that shell, as a file, and as it is. */
async function completion(shell) {
  const script = await everline(['completion', shell]), file = join(tempDir('script'), `completion.${shell}`);
  assert.deepEqual([script.code, script.stderr], [0, '']);
  writeFileSync(file, script.stdout);
  return { file, text: script.stdout };
}

test('bash completes commands, options and files', async () => {
  const { file, text } = await completion('bash'), cwd = tempDir('completion');
  for (const name of ['members.csv', 'two words.csv']) writeFileSync(join(cwd, name), '');
  /** What is offered for the last of these words. */
  const offered = async (...words) => {
    const ask = `set -eu; source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); eval "$(complete -p everline | sed -E 's/.* -F (\\S+) .*/\\1/')" || true; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const result = await run('bash', ['--norc', '-c', ask, 'bash', file, 'everline', ...words], { cwd });
    assert.deepEqual([result.code, result.stderr], [0, ''], words.join(' '));
    return result.stdout.split('\n').filter(Boolean);
  };
  const help = (await everline(['--help'])).stdout;
  const commands = [...help.matchAll(/^ {2}([a-z]+)(?: ([a-z-]+))? +[A-Z]/gm)].map(([, first, second]) => [first, second]);
  assert.deepEqual((await offered('')).sort(), [...new Set(commands.map(([first]) => first)), 'help'].sort());
  assert.deepEqual(await offered('ver'), ['versions', 'verify', 'version']);
  assert.deepEqual(await offered('help', 'ver'), ['versions', 'verify', 'version']);
  for (const group of ['tenant', 'dataset', 'jobs', 'config'])
    assert.deepEqual((await offered(group, '')).filter((word) => !word.startsWith('--')).sort(), commands.filter(([first, second]) => first === group && second).map(([, second]) => second).sort());
  assert.deepEqual(await offered('help', 'dataset', 'l'), ['list']);
  for (const [first, second] of commands) {
    const words = second ? [first, second] : [first], own = (await everline([...words, '--help'])).stdout;
    const known = [...own.matchAll(/^ {2}(--[a-z-]+)/gm)].map(([, option]) => option);
    const here = await offered(...words, '--');
    assert.deepEqual(here.sort(), [...new Set([...known, '--config', '--help'])].sort(), words.join(' '));
  }
  assert.deepEqual(await offered('ingest', 'things', '--te'), ['--tenant', '--temp-disk']);
  assert.deepEqual(await offered('ingest', 'things', '--source', 'm'), ['members.csv']);
  assert.deepEqual(await offered('ingest', 'things', '--tenant', 'm'), [], 'nobody knows the tenants');
  assert.deepEqual((await offered('dataset', 'put', '')).sort(), ['members.csv', 'two words.csv']);
  assert.deepEqual(await offered('nothing', 'x', '--'), []);
  assert.doesNotMatch(text, /--token\b(?!-)/, 'a token is not for the command line');
});

/** What a shell says of these words: of each candidate its word. */
const SHELLS = {
  zsh: (file) => (words) => ['zsh', ['-fc', `compdef() { }; _files() { print -rl -- *(N) }
    _describe() { local list one; for list in "\${@:2}"; do [[ $list == -- ]] && continue; for one in "\${(P@)list}"; do print -r -- "\${one%%:*}"; done; done }
    source "$1"; shift; words=("$@"); CURRENT=$#; _everline || true`, 'zsh', file, 'everline', ...words]],
  fish: (file) => (words) => ['fish', ['--no-config', '-c', 'source $argv[1]; complete -C (string join " " -- $argv[2..])', file, 'everline', ...words]],
};
for (const [shell, asking] of Object.entries(SHELLS)) {
  const there = process.env.PATH.split(':').some((directory) => existsSync(join(directory, shell)));
  test(`${shell} completes commands, options and files`, { skip: !there && `${shell} is not installed` }, async () => {
    const { file, text } = await completion(shell), ask = asking(file), cwd = tempDir('completion');
    writeFileSync(join(cwd, 'members.csv'), '');
    /** What is offered for the last of these words. */
    const offered = async (...words) => {
      const result = await run(...ask(words), { cwd });
      assert.deepEqual([result.code, result.stderr], [0, ''], words.join(' '));
      return result.stdout.split('\n').map((line) => line.split('\t')[0]).filter((word) => word && word.startsWith(words.at(-1))).sort();
    };
    const help = (await everline(['--help'])).stdout;
    const commands = [...help.matchAll(/^ {2}([a-z]+)(?: ([a-z-]+))? +[A-Z]/gm)].map(([, first, second]) => [first, second]);
    assert.deepEqual(await offered(''), [...new Set(commands.map(([first]) => first)), 'help'].sort());
    assert.deepEqual(await offered('help', 'ver'), ['verify', 'version', 'versions']);
    for (const group of ['tenant', 'dataset', 'token', 'jobs', 'config'])
      assert.deepEqual((await offered(group, '')).filter((word) => !word.startsWith('-')), commands.filter(([first, second]) => first === group && second).map(([, second]) => second).sort(), group);
    for (const [first, second] of commands) {
      const words = second ? [first, second] : [first], own = (await everline([...words, '--help'])).stdout;
      const known = [...own.matchAll(/^ {2}(--[a-z-]+)/gm)].map(([, option]) => option);
      assert.deepEqual(await offered(...words, '--'), [...new Set([...known, '--config', '--help'])].sort(), words.join(' '));
    }
    assert.deepEqual(await offered('ingest', 'things', '--te'), ['--temp-disk', '--tenant']);
    assert.deepEqual(await offered('ingest', 'things', '--source', 'm'), ['members.csv']);
    assert.deepEqual(await offered('ingest', 'things', '--tenant', 'm'), [], 'nobody knows the tenants');
    assert.deepEqual(await offered('dataset', 'put', ''), ['members.csv']);
    assert.doesNotMatch(text, /--token\b(?!-)|-l token\b(?!-)/, 'a token is not for the command line');
  });
}

test('a completion says of each word what it is for, and a shell without one is told which have', async () => {
  const [{ text: zsh }, { text: fish }] = [await completion('zsh'), await completion('fish')];
  assert.match(zsh, /^#compdef everline$/m);
  assert.match(zsh, /'--data:data directory'/);
  assert.match(zsh, /second\+=\( 'put:Make a tenant and its keys, or change it'\)/);
  assert.ok(zsh.includes("'--ca-file:PEM of who may vouch for the server of --url (default: the system'\\''s)'"));
  assert.match(fish, /^complete -c everline -n "__everline_is 'tenant put'" -l data -r -F -d 'data directory'$/m);
  assert.ok(fish.includes("-l ca-file -r -F -d 'PEM of who may vouch for the server of --url (default: the system\\'s)'\n"));
  const other = await everline(['completion', 'tcsh']);
  assert.deepEqual([other.code, other.stdout], [2, '']);
  assert.match(other.stderr, /"tcsh" is none of bash, zsh and fish/);
});
