import type { ImageSource } from '../../archive/archive.ts'
import { formatSize } from '../../oci/amounts.ts'
import type { Digest } from '../../oci/digest.ts'
import type { Tag } from '../../oci/reference.ts'
import type { Remote } from '../../remote/remote.ts'
import { type Pushed, pushImage } from '../../transfer/transfer.ts'
import type { Target } from '../login/registry-options.ts'
import { type Printing, print } from '../output/image-output.ts'
import { UsageError } from '../process/errors.ts'
import { openProgress } from './progress-display.ts'
import { describeRetry } from './transfer-progress.ts'

export type SendFlags = Printing & { readonly parallel: string }

type Sending = {
  readonly source: ImageSource
  /** One of the source's images. */
  readonly digest: Digest
  readonly remote: Remote
  readonly target: Target
  readonly tags: readonly Tag[]
  readonly flags: SendFlags
  /** A repository of the same registry that may have the blobs. */
  readonly mountFrom?: Target['name'] | undefined
  /** `$TERM`. */
  readonly terminal: string | undefined
  readonly signal: AbortSignal
}

/** Pushes an image, with progress on standard error and the result on standard output. */
export async function sendImage(sending: Sending): Promise<void> {
  const { source, digest, remote, target, tags, flags, mountFrom, terminal, signal } = sending
  const parallel = parseParallel(flags.parallel)
  const progress = openProgress({ flags, terminal })
  try {
    const pushed = await pushImage({
      source,
      image: digest,
      remote,
      name: target.name,
      tags,
      mountFrom,
      parallel,
      onProgress: progress?.update,
      onRetry: ({ error, pause }) => progress?.note(`${error.message}; ${describeRetry(pause)}`),
      onUnlisted: ({ message }) => progress?.note(message),
      signal,
    })
    progress?.close()
    print(flags, report(target, tags, pushed), describe)
  } finally {
    progress?.close()
  }
}

/** @throws UsageError if the target is a digest, which follows from the image. */
export function tagOf({ reference }: Target): Tag {
  if ('tag' in reference) return reference.tag
  throw new UsageError('a push needs a tag: the digest follows from the image')
}

/** @throws UsageError */
export function parseParallel(text: string): number {
  const count = Number(text)
  if (!Number.isInteger(count) || count < 1 || count > 64)
    throw new UsageError('--parallel: expected a number from 1 to 64')
  return count
}

type Report = Pushed & { readonly image: string; readonly tags: readonly Tag[] }

function report({ host, name }: Target, tags: readonly Tag[], pushed: Pushed): Report {
  return { image: `${host}/${name}@${pushed.digest}`, tags, ...pushed }
}

function describe({ image, tags, sent, present }: Report): string {
  return `${image}\ntags: ${tags.join(', ')}; sent ${formatSize(sent)}, the registry had ${formatSize(present)}`
}
