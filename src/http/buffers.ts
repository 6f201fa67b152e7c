/** In bytes. */
export const bufferSize = 256 * 1024
/** Free buffers that are kept. */
const maxSpare = 32

/**
 * A pool of large buffers for file reads. A new buffer costs a system call and a page fault for each
 * 4 KiB.
 */
export interface Buffers {
  acquire(): Buffer
  /** The caller must not use the buffer afterwards. */
  release(buffer: Buffer): void
}

export function createBuffers(): Buffers {
  const spare: Buffer[] = []
  return {
    acquire: () => spare.pop() ?? Buffer.allocUnsafeSlow(bufferSize),
    release: (buffer) => {
      if (spare.length < maxSpare) spare.push(buffer)
    },
  }
}
