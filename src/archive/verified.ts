import { algorithmOf, createDigester, type Digest } from '../oci/digest.ts'
import { ArchiveError } from './archive-error.ts'
import type { ArchiveFiles } from './archive-files.ts'
import { skipBytes } from './bytes.ts'

type Expected = {
  readonly files: ArchiveFiles
  /** Of the file that is read. */
  readonly name: string
  readonly digest: Digest
  /** The first byte that is returned. */
  readonly start: number
}

/**
 * The bytes of a file, from its first one. Who gets the last of them knows that they have the digest.
 * @throws ArchiveError
 */
export function verified(
  chunks: AsyncIterable<Buffer>,
  { files, name, digest, start }: Expected,
): AsyncIterable<Buffer> {
  const digester = createDigester(algorithmOf(digest))
  const check = async () => {
    await files.assertUnchanged(name)
    const actual = digester.digest()
    if (actual !== digest) throw otherDigest(name, actual)
  }
  return skipBytes(lastAfter(check, seenBy(digester, chunks)), start)
}

/** The last chunk comes when `check` has resolved: a registry does not get all bytes of a wrong blob. */
export async function* lastAfter(
  check: () => Promise<unknown>,
  chunks: AsyncIterable<Buffer>,
): AsyncGenerator<Buffer> {
  let last: Buffer | undefined
  for await (const chunk of chunks) {
    if (last !== undefined) yield last
    last = chunk
  }
  await check()
  if (last !== undefined) yield last
}

type Seen = { update(bytes: Buffer): void }

export async function* seenBy(
  digester: Seen,
  chunks: AsyncIterable<Buffer>,
): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    digester.update(chunk)
    yield chunk
  }
}

export function otherDigest(name: string, actual: Digest): ArchiveError {
  return new ArchiveError('invalid', `${name} has the digest ${actual}`)
}
