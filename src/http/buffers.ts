/** Bytes of a buffer, and how many free ones are kept. */
export const bufferSize = 256 * 1024
const maxSpare = 32

/**
 * Large buffers to read into again and again: a fresh one is a system call, and a page fault for
 * each 4 KiB.
 */
export interface Buffers {
  acquire(): Buffer
  /** Nobody looks at it any more. */
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
