import { text } from 'node:stream/consumers'

/** A command was used in a way that cannot work; the message says what would. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** @throws UsageError for a name that no login could have (RFC 7617). */
export function checkUser(user: string): void {
  if (!/^[^:\p{Cc}]+$/u.test(user))
    throw new UsageError('a user name has no colon and no control characters')
}

/**
 * A password from a prompt that does not show it, or from standard input where that is no terminal
 * (one trailing newline is not part of it).
 * @throws UsageError for one that no login could have.
 */
export async function readPassword(message: string): Promise<string> {
  const password = await readSecret(message)
  if (password === '') throw new UsageError('the password is empty')
  if (/\p{Cc}/u.test(password))
    throw new UsageError('the password has control characters, such as newlines')
  return password
}

async function readSecret(message: string): Promise<string> {
  if (!process.stdin.isTTY) return (await text(process.stdin)).replace(/\r?\n$/, '')
  const { default: prompt } = await import('@inquirer/password')
  const [first, second] = [
    await prompt({ message, mask: true }),
    await prompt({ message: `${message} again`, mask: true }),
  ]
  if (first !== second) throw new UsageError('the passwords differ')
  return first
}
