/** Bytes of a buffer, and how many free ones are kept. */
export const bufferSize = 256 * 1024
const mostSpare = 32

/**
 * Large buffers to read into again and again: a fresh one is a system call, and a page fault for
 * each 4 KiB.
 */
export interface Buffers {
  take(): Buffer
  /** Nobody looks at it any more. */
  give(buffer: Buffer): void
}

export function createBuffers(): Buffers {
  const spare: Buffer[] = []
  return {
    take: () => spare.pop() ?? Buffer.allocUnsafeSlow(bufferSize),
    give: (buffer) => {
      if (spare.length < mostSpare) spare.push(buffer)
    },
  }
}
