import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const execute = promisify(execFile)
/** Bytes of its output. */
const maxBuffer = 64 * 1024 * 1024

/** Runs a program that must succeed. What it wrote to standard output; an error has what it wrote to the other one. */
export async function run(
  [program = '', ...args]: readonly string[],
  options: { readonly cwd?: string } = {},
): Promise<string> {
  const { stdout } = await execute(program, args, { maxBuffer, ...options })
  return stdout
}
