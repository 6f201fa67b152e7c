import type { Content } from '../oci/content.ts'

/** A reader who comes back within this, in milliseconds, had only lost its connection. */
const grace = 1000

/** Who waits for a fill or reads it. */
export interface Readers {
  /** Counts from now on until the content, if one comes, is closed. */
  reading(opening: Promise<(() => Content) | undefined>): Promise<Content | undefined>
  /** Whether there has been nobody for a while. */
  areGone(): boolean
}

export function createReaders(): Readers {
  let count = 0
  let lastLeft = performance.now()
  const leave = (): void => {
    count -= 1
    lastLeft = performance.now()
  }

  return {
    reading: async (opening) => {
      count += 1
      try {
        const read = await opening
        if (read !== undefined) return withOnClose(read(), leave)
      } catch (error) {
        leave()
        throw error
      }
      leave()
      return undefined
    },
    areGone: () => count === 0 && performance.now() - lastLeft >= grace,
  }
}

function withOnClose(content: Content, onClose: () => void): Content {
  let isOpen = true
  return {
    ...content,
    close: (broken) => {
      content.close(broken)
      if (isOpen) onClose()
      isOpen = false
    },
  }
}
