import { closeSync, openSync, writeSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { InterruptedError, UsageError } from '../process/errors.ts'

/**
 * Prompts at the terminal, without echo. Standard output is for the command's result, which may go to a
 * file or a pipe: prompts go to standard error or, if that is redirected too, to the controlling
 * terminal. One reader for all prompts, so that lines that are pasted together are not lost.
 * @throws InterruptedError on Ctrl-C, UsageError at the end of the input (Ctrl-D).
 */
export async function promptForSecrets(prompts: readonly string[]): Promise<readonly string[]> {
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
    for (const prompt of prompts) {
      terminal.write(`${prompt}: `)
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
      'cannot prompt for the password without a terminal; pass it on standard input',
    )
  }
}
