/** Free buffers of one size that are kept. */
const maxSpare = 32

/**
 * A pool of large buffers for file reads. A new buffer costs a system call and a page fault for each
 * 4 KiB.
 */
export interface Buffers {
  acquire(size: number): Buffer
  /** The caller must not use the buffer afterwards. */
  release(buffer: Buffer): void
}

export function createBuffers(): Buffers {
  const spare = new Map<number, Buffer[]>()
  return {
    acquire: (size) => spare.get(size)?.pop() ?? Buffer.allocUnsafeSlow(size),
    release: (buffer) => {
      const kept = spare.get(buffer.length) ?? []
      if (kept.length < maxSpare) kept.push(buffer)
      spare.set(buffer.length, kept)
    },
  }
}
