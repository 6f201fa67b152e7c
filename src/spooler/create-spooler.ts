import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { createAttempt, type Outcome } from './attempt.ts'
import { createClaims } from './claims.ts'
import { isFull } from './durable-files.ts'
import { createJobs } from './jobs.ts'
import { loadHasWriter } from './open-writers.ts'
import { assertWritable, createState, refuseLinks, tidyTemporary } from './own-directories.ts'
import { createProblems } from './problems.ts'
import { createRemoval } from './removal.ts'
import { type Entry, findEntry, listEntries } from './spool-entries.ts'
import { type Job, stateDirectory } from './spool-names.ts'
import { countFailed, createSpoolRecords, type SpoolRecord } from './spool-records.ts'
import type { Spooler, SpoolerOptions } from './spooler-options.ts'
import { createTurns } from './turns.ts'
import { watchTree } from './watch-tree.ts'

/** Bytes from which a file may not use the last workers, so that small ones need not wait. */
const largeFile = 64 * 1024 * 1024
const firstPause = 1000
const maxPause = 60_000
/** Milliseconds from a change to the scan that sees it, and between two removals of what was left behind. */
const debounce = 50
const tidyInterval = 60_000

type Waiting = {
  readonly identity: string
  readonly attempts: number
  readonly firstAt: number
  /** When it may be tried again. All times are those of `uptime`. */
  readonly notBefore: number
}

/** Watches a directory, and publishes the files that are dropped there. */
export async function createSpooler(options: SpoolerOptions): Promise<Spooler> {
  const {
    root,
    publish,
    prefix = '',
    directories,
    workers,
    settle,
    maxIncomplete = 60_000,
    rescan = 5000,
    done,
    results,
    onEvent,
    now = Date.now,
    uptime = () => performance.now(),
  } = options
  const owner = { instance: randomUUID(), host: hostname(), pid: process.pid }
  const claims = createClaims(join(root, stateDirectory, 'claims'), owner)
  const records = createSpoolRecords(root, { ...done, results })
  const removal = createRemoval(root, owner)
  const jobOf = createJobs({ prefix, directories })
  const problems = createProblems(onEvent)
  const stopping = new AbortController()
  const attempt = createAttempt({
    root,
    publish,
    hasWriter: loadHasWriter(),
    signal: stopping.signal,
    settle,
    maxIncomplete,
    onStart: ({ path, size }) => onEvent({ kind: 'started', path, size }),
    uptime,
  })
  /** By path: attempts so far, and what is being worked on. */
  const waiting = new Map<string, Waiting>()
  const active = new Map<string, { readonly job: Job; readonly isLarge: boolean }>()
  const running = new Set<Promise<void>>()
  let entries: readonly Entry[] = []
  let failed = 0
  let scannedAt = uptime()
  let checkedAt = Number.NEGATIVE_INFINITY
  let tidiedAt = Number.NEGATIVE_INFINITY
  let nextScan: NodeJS.Timeout | undefined
  let nextScanAt = Number.POSITIVE_INFINITY
  let scanning: Promise<void> | undefined

  await createState(root)

  const pauseOf = (attempts: number) => Math.min(firstPause * 2 ** (attempts - 1), maxPause)

  /** @returns What is wrong, although the spool was read. */
  const scan = async (): Promise<readonly unknown[]> => {
    await refuseLinks(root)
    const errors = [...(await removal.recover())]
    const collect = (error: unknown) => void errors.push(error)
    const found = await listEntries(root, {
      layoutsAtTop: directories === undefined,
      onError: collect,
    })
    entries = found.toSorted((a, b) => a.modified - b.modified || (a.path < b.path ? -1 : 1))
    const paths = new Set(entries.map(({ path }) => path))
    for (const path of waiting.keys()) if (!paths.has(path)) waiting.delete(path)
    startWork()
    if (uptime() - checkedAt >= rescan || problems.current() !== undefined)
      await check().catch(collect)
    scannedAt = uptime()
    return errors
  }

  /** What changes seldom, and is not reported by the kernel. */
  const check = async (): Promise<void> => {
    checkedAt = uptime()
    failed = await countFailed(root)
    await records.prune(now())
    if (uptime() - tidiedAt >= tidyInterval) {
      tidiedAt = uptime()
      await claims.tidy()
      await tidyTemporary(root)
    }
    await assertWritable(root)
  }

  /** Starts what is complete, in the order of its age; of each tag only the oldest. */
  const startWork = (): void => {
    if (stopping.signal.aborted) return
    const turns = createTurns()
    for (const { job } of active.values()) turns.take(job)
    for (const entry of entries) {
      const job = jobOf(entry)
      const isFree = turns.take(job)
      if (!isFree || active.has(entry.path) || !isDue(entry, job)) continue
      const isLarge = entry.size >= largeFile
      if (!hasWorker(isLarge)) continue
      active.set(entry.path, { job, isLarge })
      const work = handle(entry, job).finally(() => {
        active.delete(entry.path)
        running.delete(work)
        entries = entries.filter(({ path }) => path !== entry.path || waiting.has(path))
        startWork()
      })
      running.add(work)
    }
  }

  const hasWorker = (isLarge: boolean): boolean => {
    if (active.size >= workers) return false
    const large = [...active.values()].filter((each) => each.isLarge).length
    return !isLarge || large < Math.max(Math.floor(workers / 2), 1)
  }

  /** A file of an unknown age is new to us; one that was renamed into the spool may be old. */
  const isDue = (entry: Entry, job: Job): boolean => {
    const before = waiting.get(entry.path)
    if (before !== undefined && before.identity === entry.identity)
      return uptime() >= before.notBefore
    // The content of a file that deletes does not matter.
    if (now() - entry.modified >= settle || job.kind === 'delete') return true
    waiting.set(entry.path, {
      identity: entry.identity,
      attempts: 0,
      firstAt: uptime(),
      notBefore: uptime() + settle,
    })
    scanSoon(settle)
    return false
  }

  const handle = async (entry: Entry, job: Job): Promise<void> => {
    const before = waiting.get(entry.path)
    const known = before?.identity === entry.identity ? before : undefined
    const attempts = (known?.attempts ?? 0) + 1
    const startedAt = new Date(now()).toISOString()
    const claim = await claims.claim(entry.path).catch(problems.add)
    if (claim === undefined) return postpone(entry, { attempts: attempts - 1, pause: 1000 })
    try {
      const current = await findEntry(root, entry.path)
      if (current?.identity !== entry.identity) {
        waiting.delete(entry.path)
        return scanSoon(0)
      }
      const record = (rest: Pick<SpoolRecord, 'state' | 'images' | 'reason' | 'code'>) => ({
        file: entry.path,
        size: entry.size,
        attempts,
        startedAt,
        finishedAt: new Date(now()).toISOString(),
        ...rest,
      })
      const outcome: Outcome = await attempt(entry, job, known?.firstAt ?? uptime())
      switch (outcome.kind) {
        case 'retry':
          onEvent({
            kind: 'retry',
            path: entry.path,
            pause: pauseOf(attempts),
            error: outcome.error,
          })
          return postpone(entry, { attempts, pause: pauseOf(attempts) })
        case 'unfinished':
          return postpone(entry, { attempts: attempts - 1, pause: outcome.pause })
        case 'rejected': {
          const { reason, code } = outcome
          const rejected = record({ state: 'failed', images: [], reason, code })
          const isMoved = await removal.move(entry, (from) => records.fail(entry, rejected, from))
          waiting.delete(entry.path)
          if (isMoved) await records.result(rejected).catch(problems.add)
          // The next scan counts it.
          checkedAt = Number.NEGATIVE_INFINITY
          // Another file has its name now, and its own chance.
          if (!isMoved) return scanSoon(0)
          return onEvent({ kind: 'finished', record: rejected })
        }
        case 'published': {
          const { images } = outcome
          const result = record({ state: job.kind === 'delete' ? 'deleted' : 'pushed', images })
          const isRecorded = await recordDone(result)
          await records.result(result).catch(problems.add)
          waiting.delete(entry.path)
          if (!(await removal.remove(entry))) scanSoon(0)
          // Now there is room for it.
          if (!isRecorded) await records.done(result).catch(problems.add)
          return onEvent({ kind: 'finished', record: result })
        }
      }
    } catch (error) {
      problems.add(error)
      postpone(entry, { attempts, pause: pauseOf(attempts) })
    } finally {
      await claim.release().catch(problems.add)
    }
  }

  /** False: the disk is full. */
  const recordDone = async (record: SpoolRecord): Promise<boolean> => {
    try {
      await records.done(record)
      return true
    } catch (error) {
      if (isFull(error)) return false
      throw error
    }
  }

  const postpone = (
    { path, identity }: Entry,
    { attempts, pause }: { readonly attempts: number; readonly pause: number },
  ): void => {
    const before = waiting.get(path)
    const firstAt = before?.identity === identity ? before.firstAt : uptime()
    waiting.set(path, { identity, attempts, firstAt, notBefore: uptime() + pause })
    scanSoon(pause)
  }

  const scanSoon = (delay: number): void => {
    const pause = Math.max(delay, debounce)
    const at = uptime() + pause
    if (stopping.signal.aborted || at >= nextScanAt) return
    clearTimeout(nextScan)
    nextScanAt = at
    nextScan = setTimeout(scanNow, pause)
  }

  const scanNow = (): void => {
    if (stopping.signal.aborted) return
    nextScanAt = Number.POSITIVE_INFINITY
    if (scanning !== undefined) return scanSoon(debounce)
    scanning = scan()
      .catch((error: unknown) => [error])
      .then(problems.set)
      .finally(() => {
        scanning = undefined
        scanSoon(rescan)
      })
  }

  const watcher = watchTree(root, () => scanSoon(0))
  scanNow()

  return {
    status: () => ({
      files: entries.length,
      oldest: Math.max(0, ...entries.slice(0, 1).map(({ modified }) => (now() - modified) / 1000)),
      active: [...active.keys()],
      failed,
      problem: problems.current(),
      sinceScan: uptime() - scannedAt,
    }),
    stop: async () => {
      stopping.abort(new Error('the spooler is stopping'))
      watcher?.close()
      clearTimeout(nextScan)
      await scanning
      await Promise.allSettled(running)
    },
  }
}
