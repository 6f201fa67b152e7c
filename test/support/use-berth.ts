import { after, afterEach, before, beforeEach } from 'node:test'
import { type Berth, checkInvariants, removeBerth, type StartOptions, startBerth } from './berth.ts'

/** The Berth of the running test. It is not there before the test's hooks have run. */
export interface UsedBerth extends Berth {
  /** Starts a Berth in place of the running one, if any, which is checked and removed. */
  start(options: StartOptions): Promise<void>
}

type UseOptions = Partial<StartOptions> & {
  /** One for all tests of the file or suite. */
  readonly shared?: boolean
  /** What else must be true at the end of a test, before the Berth stops. */
  readonly check?: (berth: Berth) => Promise<void>
}

/**
 * A Berth for each test of a file or suite: started before it if there is a configuration, else by `start`;
 * its invariants are checked and its files removed after it.
 */
export function useBerth({ shared = false, check, ...options }: UseOptions = {}): UsedBerth {
  let running: Berth | undefined
  const current = (): Berth => {
    if (running === undefined) throw new Error('no Berth is running')
    return running
  }
  /** Checks the running Berth and stops it; its files remain for one with the same directory. */
  const end = async (next?: StartOptions): Promise<void> => {
    const berth = running
    if (berth === undefined) return
    try {
      await checkInvariants(berth)
      await check?.(berth)
    } finally {
      running = undefined
      await (next?.directory === berth.directory ? berth.stop() : removeBerth(berth))
    }
  }
  const start = async (next: StartOptions): Promise<void> => {
    await end(next)
    running = await startBerth(next)
  }
  const { config } = options
  if (config !== undefined) (shared ? before : beforeEach)(() => start({ ...options, config }))
  ;(shared ? after : afterEach)(() => end())

  return {
    get url() {
      return current().url
    },
    get admin() {
      return current().admin
    },
    get cache() {
      return current().cache
    },
    get directory() {
      return current().directory
    },
    get service() {
      return current().service
    },
    logs: () => current().logs(),
    metric: (line) => current().metric(line),
    restart: async () => {
      running = await current().restart()
      return running
    },
    stop: () => current().stop(),
    start,
  }
}
