import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { main } from '../support/command.ts'
import { ownDirectory } from '../support/directory.ts'
import { run } from '../support/programs.ts'

/** A directory with `berth` and a file, and the script of a shell. */
async function setScene(t: TestContext, shell: string) {
  const directory = await ownDirectory(t)
  const path = join(directory, 'bin')
  await mkdir(path)
  const berth = `#!/bin/sh\nexec ${process.execPath} ${main} "$@"\n`
  await writeFile(join(path, 'berth'), berth, { mode: 0o755 })
  await writeFile(join(directory, 'app.tar'), '')
  const environment = { PATH: `${path}:/usr/bin:/bin`, HOME: directory, TERM: 'dumb' }
  const script = join(directory, 'script')
  const stdout = await run([join(path, 'berth'), 'completion', shell], { environment })
  await writeFile(script, stdout)
  return { script, directory, environment }
}

/** Lines, what completes each, and what must not. */
const cases: readonly (readonly [string, readonly string[], string])[] = [
  ['berth im', ['image'], 'push'],
  ['berth image pu', ['push', 'pull'], 'list'],
  ['berth why --output ', ['text', 'json'], 'app.tar'],
  ['berth image push ap', ['app.tar'], 'image'],
]

test('bash', async (t) => {
  const { script, directory, environment } = await setScene(t, 'bash')
  const complete = async (line: string) => {
    const text = `. ${script}; COMP_LINE=$1; COMP_POINT=\${#1}; _berth_complete 2>/dev/null; printf '%s\\n' "\${COMPREPLY[@]}"`
    const stdout = await run(['bash', '--norc', '-c', text, 'bash', line], {
      environment,
      directory,
    })
    return stdout.split('\n').filter(Boolean)
  }
  for (const [line, wanted] of cases) assert.deepEqual(await complete(line), wanted, line)
  // What bash replaces begins after the last = or :.
  assert.deepEqual(await complete('berth why --output=j'), ['json'])
})

test('zsh', async (t) => {
  const { script, directory, environment } = await setScene(t, 'zsh')
  // A terminal of zsh's own, in which somebody types, as zsh's tests have it.
  const text = `zmodload zsh/zpty; zpty z zsh -f -i; zpty -w z 'PS1= ; autoload -Uz compinit; compinit -D -u; . ${script}; cd ${directory}; print READY'
    while zpty -r z out; do [[ $out == *READY* && $out != *print* ]] && break; done
    zpty -w -n z "$1"$'\\t\\t'; deadline=$((SECONDS + 40))
    while (( SECONDS < deadline )); do zpty -r -t z out && print -rn -- "$out"; [[ -n $2 && $seen$out == *$2* ]] && break; seen+=$out; sleep 0.1; done; zpty -d z`
  for (const [line, wanted] of cases) {
    const stdout = await run(
      ['zsh', '-f', '-c', text, 'zsh', line, wanted.toSorted().at(-1) ?? ''],
      {
        environment,
        directory,
      },
    )
    for (const word of wanted) assert.ok(stdout.includes(word), `${line}: ${stdout}`)
  }
})

test('fish', async (t) => {
  const { script, directory, environment } = await setScene(t, 'fish')
  for (const [line, wanted, other] of cases) {
    const text = `source ${script}; complete -C ${JSON.stringify(line)}`
    const stdout = await run(['fish', '--no-config', '-c', text], { environment, directory })
    const found = stdout.split('\n').map((each) => each.split('\t')[0])
    for (const word of wanted) assert.ok(found.includes(word), `${line}: ${stdout}`)
    assert.ok(!found.includes(other), `${line}: ${stdout}`)
  }
})
