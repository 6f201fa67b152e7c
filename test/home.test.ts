import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'

const isRoot = process.getuid?.() === 0

test('a user without $HOME and without an entry in /etc/passwd has a home', {
  skip: !isRoot && 'only root can become such a user',
}, () => {
  const program = `
    import { homedir } from 'node:os'
    import { ensureHome } from ${JSON.stringify(new URL('../src/home.ts', import.meta.url).href)}
    process.setuid(1_234_567)
    delete process.env.HOME
    try { console.log(homedir()) } catch { console.log('none') }
    ensureHome(process.env)
    console.log(homedir(), process.env.HOME)`
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
  })
  assert.equal(output, 'none\n/ /\n')
})
