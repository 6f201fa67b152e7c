import { chmod, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { SuiteContext, TestContext } from 'node:test'
import { ownDirectory } from './directory.ts'

/** Small real programs `docker-credential-NAME` on the path, until the end of the test. */
export interface HelperPrograms {
  readonly directory: string
  /** The body of a shell script. `$ASKED` is its standard input. */
  write(name: string, script: string): Promise<void>
  /** It answers with this. */
  answer(name: string, username: string, secret: string): Promise<void>
  /** The calls, oldest first: operation and server. */
  invocations(): Promise<readonly string[]>
}

export async function helperPrograms(t: TestContext | SuiteContext): Promise<HelperPrograms> {
  if (!('mock' in t)) throw new Error('the programs belong to one test')
  const directory = await ownDirectory(t)
  const before = process.env['PATH']
  process.env['PATH'] = `${directory}:${before}`
  t.after(() => {
    process.env['PATH'] = before
  })
  const log = join(directory, 'asked')

  const write = async (name: string, script: string): Promise<void> => {
    const file = join(directory, `docker-credential-${name}`)
    await writeFile(file, `#!/bin/sh\n${script}\n`)
    await chmod(file, 0o755)
  }
  return {
    directory,
    write,
    answer: (name, Username, Secret) => {
      const answer = JSON.stringify({ ServerURL: 'any', Username, Secret })
      return write(
        name,
        `ASKED=$(cat; echo .)\necho "$1 \${ASKED%.}" >> ${log}\ncat <<'END'\n${answer}\nEND`,
      )
    },
    invocations: async () => {
      const text = await readFile(log, 'utf8').catch(() => '')
      return text.split('\n').filter(Boolean)
    },
  }
}
