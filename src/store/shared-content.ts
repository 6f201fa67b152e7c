import type { FileHandle } from 'node:fs/promises'
import type { Content, Piece, Rest } from '../oci/content.ts'
import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import type { Stamp } from '../oci/file-stamp.ts'

/** Bytes at the end of a blob that readers do not get before the whole blob is verified. */
export const tailSize = 64 * 1024

/**
 * One open file with any number of readers, each at its own pace, while the file is still being
 * written or verified.
 */
export interface SharedContent {
  /** The first `end` bytes are written and hashed. */
  advance(end: number): void
  /** Digest and size, in bytes, are verified. */
  finish(size: number): void
  /** The blob is corrupt, or its bytes are not available: all readers fail. */
  fail(error: unknown): void
  /** This file gets no more bytes: a reader that reaches `end` continues with its own content, or fails. */
  handOver(rest: () => Content): void
  /** `continues: false`: the reader fails where the file is handed over. */
  read(how?: { readonly continues: boolean }): Content
  /** Adds a holder that needs the file open. The creator is the first. */
  hold(): void
  /** Ends one hold. The file is closed when there are no holders and no readers any more. */
  release(): void
}

type SharedContentOptions = {
  readonly digest: Digest
  /** Unknown until `finish` when the upstream sends no size; no bytes are returned before. */
  readonly size: number | undefined
  readonly file: FileHandle
  /**
   * Called before the last bytes are returned: throws if the file has changed since it was
   * verified.
   */
  readonly assertUnchanged?: () => Promise<void> | void
  /** With which `assertUnchanged` finds the file unchanged; undefined before it was verified. */
  readonly stamp?: () => Stamp | undefined
  /** A reader failed to read a range of the file. */
  readonly onReadFailure?: () => void
  /** All holds have ended: no new reader may start. */
  readonly onIdle?: () => void
  /** The file is closed. */
  readonly onClosed?: () => void
}

export function createSharedContent(options: SharedContentOptions): SharedContent {
  const { digest, file, assertUnchanged, stamp, onReadFailure, onIdle, onClosed } = options
  let size = options.size ?? 0
  let end = 0
  let finished = false
  let failure: { error: unknown } | undefined
  let handedOver: (() => Content) | undefined
  let progress = Promise.withResolvers<void>()
  let holders = 1

  const wake = (): void => {
    const woken = progress
    progress = Promise.withResolvers<void>()
    woken.resolve()
  }

  /** The end of the bytes that may be read now. */
  const readable = (position: number): number => {
    // All bytes of this file: the rest starts at their end, and holds back its own end.
    if (handedOver !== undefined) return end
    const tail = Math.max(0, size - tailSize)
    if (!finished) return Math.min(end, tail)
    return position < tail ? tail : size
  }

  const restFrom = (end: number): { readonly rest?: Rest } => {
    const known = finished && end < size ? stamp?.() : undefined
    return known === undefined ? {} : { rest: { end: size, stamp: known } }
  }

  const next = async (position: number, rest: () => Content): Promise<Piece> => {
    for (;;) {
      if (failure !== undefined) throw failure.error
      const until = readable(position)
      if (position < until && until === size && finished) await assertUnchanged?.()
      if (position < until) return { kind: 'file', fd: file.fd, end: until, ...restFrom(until) }
      if (handedOver !== undefined) return rest().next(position)
      await progress.promise
    }
  }

  const release = (): void => {
    holders -= 1
    if (holders > 0) return
    onIdle?.()
    file.close().then(onClosed, onClosed)
  }

  const read: SharedContent['read'] = ({ continues } = { continues: true }) => {
    if (holders === 0) throw new Error('the file is closed, and its descriptor may be another file')
    holders += 1
    let open = true
    let rest: Content | undefined
    const continuation = () => {
      if (continues) rest ??= handedOver?.()
      if (rest === undefined)
        throw new RegistryError('UNAVAILABLE', { message: `cannot store the rest of ${digest}` })
      return rest
    }
    return {
      digest,
      size,
      next: (position) => next(position, continuation),
      close: (broken) => {
        if (!open) return
        open = false
        if (broken) onReadFailure?.()
        rest?.close(broken)
        release()
      },
    }
  }

  return {
    advance: (to) => {
      end = to
      wake()
    },
    finish: (total) => {
      size = total
      finished = true
      wake()
    },
    fail: (error) => {
      failure = { error }
      wake()
    },
    handOver: (rest) => {
      handedOver = rest
      wake()
    },
    read,
    hold: () => {
      holders += 1
    },
    release,
  }
}
