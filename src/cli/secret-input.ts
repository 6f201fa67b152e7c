import { text } from 'node:stream/consumers'

/** A command was used in a way that cannot work; the message says what would. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/**
 * A password from a prompt that does not show it, or from standard input where that is no terminal
 * (one trailing newline is not part of it).
 */
export async function readPassword(message: string): Promise<string> {
  if (!process.stdin.isTTY) return (await text(process.stdin)).replace(/\r?\n$/, '')
  const { default: prompt } = await import('@inquirer/password')
  const [first, second] = [
    await prompt({ message, mask: true }),
    await prompt({ message: `${message} again`, mask: true }),
  ]
  if (first !== second) throw new UsageError('the passwords differ')
  return first
}
