import type { Content } from '../oci/content.ts'

/** Time for a client to reconnect, in milliseconds. */
const reconnectTime = 1000

/** The clients that wait for a fill or read it. */
export interface Readers {
  /** Counts a client from now until its content is closed or `opening` fails. */
  reading(opening: Promise<(() => Content) | undefined>): Promise<Content | undefined>
  count(): number
  /** There are no clients, and the last one has had time to reconnect. */
  haveLeft(): boolean
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
    count: () => count,
    haveLeft: () => count === 0 && performance.now() - lastLeft >= reconnectTime,
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
