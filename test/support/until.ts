import { setTimeout as sleep } from 'node:timers/promises'

/** Tries again until it does not reject. Rejects with the last reason. */
export async function until<T>(
  what: string,
  step: () => T | Promise<T>,
  seconds = 120,
): Promise<T> {
  const deadline = performance.now() + seconds * 1000
  for (;;) {
    try {
      return await step()
    } catch (cause) {
      if (performance.now() > deadline)
        throw new Error(`not within ${seconds} seconds: ${what}`, { cause })
      await sleep(250)
    }
  }
}
