import { text } from 'node:stream/consumers'
import { UsageError } from './errors.ts'
import { askSecrets } from './terminal.ts'

/** @throws UsageError for a name that no login could have (RFC 7617). */
export function checkUser(user: string): void {
  if (!/^[^:\p{Cc}]+$/u.test(user))
    throw new UsageError('a user name must not contain colons or control characters')
}

/**
 * A password that exists: asked for once at a terminal, else read from standard input (one trailing
 * newline is not part of it).
 * @throws UsageError for one that no login could have.
 */
export async function readPassword(question: string): Promise<string> {
  return checkPassword(await readSecret([question]))
}

/** A new password: at a terminal it is asked for twice, since nobody sees a typing error. */
export async function readNewPassword(question: string): Promise<string> {
  return checkPassword(await readSecret([question, `${question}, again`]))
}

async function readSecret(questions: readonly string[]): Promise<string> {
  if (!process.stdin.isTTY) return (await text(process.stdin)).replace(/\r?\n$/, '')
  const answers = await askSecrets(questions)
  if (new Set(answers).size !== 1) throw new UsageError('the passwords differ')
  return answers[0] ?? ''
}

function checkPassword(password: string): string {
  if (password === '') throw new UsageError('the password is empty')
  if (/\p{Cc}/u.test(password))
    throw new UsageError('the password contains control characters, such as newlines')
  return password
}
