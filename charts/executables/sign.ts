import type { Platform } from './platforms.ts'
import { run } from './run.ts'

/**
 * Signs a program for macOS, which kills programs without a signature on Apple silicon: with Apple's codesign, elsewhere with
 * rcodesign. `identity`: a certificate in the keychain; none: an ad-hoc signature, which starts but is not known to Gatekeeper.
 * `unsigned`: there is no tool for it.
 */
export async function sign(
  { os }: Platform,
  file: string,
  identity = '-',
): Promise<'signed' | 'unsigned' | 'not needed'> {
  if (os !== 'darwin') return 'not needed'
  const command =
    process.platform === 'darwin'
      ? ['codesign', '--force', '--sign', identity, file]
      : ['rcodesign', 'sign', file]
  return run(command).then(
    () => 'signed' as const,
    (error: unknown) => {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return 'unsigned'
      throw error
    },
  )
}
