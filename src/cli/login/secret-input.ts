import { text } from 'node:stream/consumers'
import { promptForSecrets } from '../output/terminal.ts'
import { UsageError } from '../process/errors.ts'

/** @throws UsageError for a name that Basic authentication cannot transmit (RFC 7617). */
export function checkUser(user: string): void {
  if (!/^[^:\p{Cc}]+$/u.test(user))
    throw new UsageError('a user name must not contain colons or control characters')
}

/**
 * An existing password: one prompt at a terminal, otherwise standard input without one trailing newline.
 * @throws UsageError for an empty password or one with control characters.
 */
export async function readPassword(prompt: string): Promise<string> {
  return checkPassword(await readSecret([prompt]))
}

/** A new password: two prompts at a terminal, because a typing error is not visible. */
export async function readNewPassword(prompt: string): Promise<string> {
  return checkPassword(await readSecret([prompt, `${prompt}, again`]))
}

async function readSecret(prompts: readonly string[]): Promise<string> {
  if (!process.stdin.isTTY) return (await text(process.stdin)).replace(/\r?\n$/, '')
  const answers = await promptForSecrets(prompts)
  if (new Set(answers).size !== 1) throw new UsageError('the two passwords differ')
  return answers[0] ?? ''
}

function checkPassword(password: string): string {
  if (password === '') throw new UsageError('the password is empty')
  if (/\p{Cc}/u.test(password))
    throw new UsageError('the password contains control characters, such as newlines')
  return password
}
