import assert from 'node:assert/strict'
import { test } from 'node:test'
import { run } from '../support/programs.ts'

const module = new URL('../../src/credentials/run-program.ts', import.meta.url).href

test('when too many files are open, starting a program fails without affecting other programs', async () => {
  const script = `
    import { openSync } from 'node:fs'
    const { runProgram } = await import(${JSON.stringify(module)})
    try { for (;;) openSync('/dev/null') } catch {}
    const ended = await runProgram({ program: 'true', args: [], input: '', patience: 5000 })
    await new Promise((resolve) => setTimeout(resolve, 100))
    process.stdout.write(JSON.stringify(ended))`
  const few = ['sh', '-c', 'ulimit -n 60 && exec "$@"', 'sh']
  const node = [process.execPath, '--input-type=module', '--eval', script]
  const ended = await run([...few, ...node])
  assert.deepEqual(JSON.parse(ended), { kind: 'not-started', code: 'EMFILE' })
})
