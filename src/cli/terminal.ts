import { closeSync, openSync, writeSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { InterruptedError, UsageError } from './errors.ts'

/**
 * Asks the user at the terminal, without echo. Standard output belongs to the command's result, which
 * may go to a file or a pipe: questions go to standard error or, where that is redirected as well, to
 * the controlling terminal. One reader for all questions, so that what is pasted ahead is not lost.
 * @throws InterruptedError on Ctrl-C, UsageError at the end of the input (Ctrl-D).
 */
export async function askSecrets(questions: readonly string[]): Promise<readonly string[]> {
  const terminal = openTerminal()
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() })
  const reader = createInterface({ input: process.stdin, output: silent, terminal: true })
  let interrupted = false
  reader.once('SIGINT', () => {
    interrupted = true
    reader.close()
  })
  const lines = reader[Symbol.asyncIterator]()
  const answers: string[] = []
  try {
    for (const question of questions) {
      terminal.write(`${question}: `)
      const { value, done } = await lines.next()
      terminal.write('\n')
      if (interrupted) throw new InterruptedError()
      if (done) throw new UsageError('no password was entered')
      answers.push(value)
    }
  } finally {
    reader.close()
    terminal.close()
  }
  return answers
}

function openTerminal(): { write(text: string): void; close(): void } {
  if (process.stderr.isTTY) return { write: (text) => writeSync(2, text), close: () => {} }
  try {
    const descriptor = openSync('/dev/tty', 'w')
    return { write: (text) => writeSync(descriptor, text), close: () => closeSync(descriptor) }
  } catch {
    throw new UsageError(
      'there is no terminal to ask for the password at; pass it on standard input',
    )
  }
}
