import { headerSize, maxPayload } from './frame.ts'

export type Allocate = (bytes: number) => Buffer

/**
 * Buffers for frames with data, which are used again: new ones count as external memory, for which Node collects
 * garbage in its whole heap every 30 MB.
 */
export interface FrameBuffers {
  readonly allocate: Allocate
  /** Nothing may read this frame any more. */
  release(frame: Buffer): void
  /** Keeps a few of those that are free. */
  clear(): void
}

const size = headerSize + maxPayload
/** Bytes of memory that a frame takes at most. */
export const maxMemory = size
const maxIdle = 32
/** Bytes of the object for a buffer. */
const overhead = 200
/** Shorter frames would waste most of it. */
const minLength = size / 4

export function createFrameBuffers(): FrameBuffers {
  const own = new Set<ArrayBufferLike>()
  const free: ArrayBufferLike[] = []
  const create = (): ArrayBufferLike => {
    const created = new ArrayBuffer(size)
    own.add(created)
    return created
  }
  return {
    allocate: (bytes) =>
      bytes < minLength || bytes > size
        ? Buffer.allocUnsafe(bytes)
        : Buffer.from(free.pop() ?? create(), 0, bytes),
    release: ({ buffer }) => {
      if (own.has(buffer)) free.push(buffer)
    },
    clear: () => {
      for (const buffer of free.splice(maxIdle)) own.delete(buffer)
    },
  }
}

/** Bytes of memory that a frame takes. */
export function memoryOf(frame: Buffer): number {
  return frame.length < minLength ? frame.length + overhead : size
}
