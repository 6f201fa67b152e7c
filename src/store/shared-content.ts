import type { FileHandle } from 'node:fs/promises'
import type { Content, Piece } from '../oci/content.ts'
import type { Digest } from '../oci/digest.ts'

/** How much of a blob's end is kept from readers until the whole is known to be right, in bytes. */
export const heldBack = 64 * 1024

/**
 * One open file that any number of readers read at their own pace, while it is still being written
 * or verified.
 */
export interface SharedContent {
  /** The first `end` bytes are there, and hashed. */
  advance(end: number): void
  /** Digest and size, in bytes, are right. */
  finish(size: number): void
  /** They are wrong, or cannot be had: every reader is told. */
  fail(error: unknown): void
  /**
   * No more comes from this file: a reader that reaches `end` goes on with a content of its own.
   */
  handOver(rest: () => Content): void
  read(): Content
  /** One more who needs the file open. Its maker is the first. */
  hold(): void
  /** One of them lets go. When all have, and all readers are gone, the file is closed. */
  release(): void
}

type SharedContentOptions = {
  readonly digest: Digest
  /** Unknown until `finish` where an upstream does not say; nothing is handed out before. */
  readonly size: number | undefined
  readonly file: FileHandle
  /**
   * Called before the last stretch is handed out: throws if the file has changed since it was found
   * right.
   */
  readonly prove?: () => void
  /** A reader could not read where it was told to. */
  readonly onBroken?: () => void
  /** All have let go: nobody may begin to read any more. */
  readonly onIdle?: () => void
  /** The file is closed. */
  readonly onClosed?: () => void
}

export function createSharedContent(options: SharedContentOptions): SharedContent {
  const { digest, file, prove, onBroken, onIdle, onClosed } = options
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

  /** The end of what may be read now. */
  const readable = (position: number): number => {
    // All of what is here: the rest begins where it ends, and holds back an end of its own.
    if (handedOver !== undefined) return end
    const tail = Math.max(0, size - heldBack)
    if (!finished) return Math.min(end, tail)
    if (position < tail) return tail
    prove?.()
    return size
  }

  const next = async (position: number, rest: () => Content): Promise<Piece> => {
    for (;;) {
      if (failure !== undefined) throw failure.error
      const until = readable(position)
      if (position < until) return { kind: 'file', fd: file.fd, end: until }
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

  const read = (): Content => {
    if (holders === 0) throw new Error('the file is closed, and its descriptor may be another file')
    holders += 1
    let open = true
    let rest: Content | undefined
    const goOn = () => {
      rest ??= handedOver?.()
      if (rest === undefined) throw new Error('handed over to nobody')
      return rest
    }
    return {
      digest,
      size,
      next: (position) => next(position, goOn),
      close: (broken) => {
        if (!open) return
        open = false
        if (broken) onBroken?.()
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
