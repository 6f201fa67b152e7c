import { randomUUID } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { createClaims } from './claims.ts'
import { codeOf } from './durable-files.ts'
import { loadHasWriter } from './open-writers.ts'
import { type PublishedImage, RejectedFile, UnfinishedFile } from './publish.ts'
import { createRemoval } from './removal.ts'
import { type Entry, findEntry, listEntries } from './spool-entries.ts'
import { type Job, orderKey, parseSpoolPath, stateDirectory } from './spool-names.ts'
import { countFailed, createSpoolRecords, type SpoolRecord } from './spool-records.ts'
import type { Spooler, SpoolerOptions } from './spooler-options.ts'
import { watchTree } from './watch-tree.ts'

/** Bytes from which a file may not use the last workers, so that small ones need not wait. */
const largeFile = 64 * 1024 * 1024
const firstPause = 1000
const maxPause = 60_000
/** Milliseconds from a change to the scan that sees it. */
const debounce = 50

type Waiting = {
  readonly identity: string
  readonly attempts: number
  readonly firstAt: number
  /** When it may be tried again, and since when it is known to be unchanged. */
  readonly notBefore: number
}

/** Watches a directory, and publishes the files that are dropped there. */
export async function createSpooler(options: SpoolerOptions): Promise<Spooler> {
  const {
    root,
    publish,
    prefix = '',
    layoutsAtTop,
    workers,
    settle,
    maxIncomplete = 60_000,
    rescan = 5000,
    done,
    onEvent,
    now = Date.now,
  } = options
  const state = join(root, stateDirectory)
  const owner = { instance: randomUUID(), host: hostname(), pid: process.pid }
  const claims = createClaims(join(state, 'claims'), owner)
  const records = createSpoolRecords(root, done)
  const removal = createRemoval(root, owner)
  const hasWriter = loadHasWriter()
  const stopping = new AbortController()
  /** By path: attempts so far. By order key: who works on it. */
  const waiting = new Map<string, Waiting>()
  const active = new Map<string, { readonly key: string; readonly isLarge: boolean }>()
  const running = new Set<Promise<void>>()
  let entries: readonly Entry[] = []
  let failed = 0
  let problem: string | undefined
  let scannedAt = now()
  let nextScan: NodeJS.Timeout | undefined
  let nextScanAt = Number.POSITIVE_INFINITY
  let scanning: Promise<void> | undefined

  for (const directory of ['claims', 'tmp', 'removing'])
    await mkdir(join(state, directory), { recursive: true })

  const pauseOf = (attempts: number) => Math.min(firstPause * 2 ** (attempts - 1), maxPause)

  const scan = async (): Promise<void> => {
    for (const error of await removal.recover()) report(error)
    const found = await listEntries(root, { layoutsAtTop })
    entries = found.toSorted((a, b) => a.modified - b.modified || (a.path < b.path ? -1 : 1))
    const paths = new Set(entries.map(({ path }) => path))
    for (const path of waiting.keys()) if (!paths.has(path)) waiting.delete(path)
    failed = await countFailed(root)
    await records.prune(now())
    scannedAt = now()
    startWork()
  }

  /** Starts what is complete, in the order of its age; of each tag only the oldest. */
  const startWork = (): void => {
    if (stopping.signal.aborted) return
    const busy = new Set([...active.values()].map(({ key }) => key))
    for (const entry of entries) {
      const job = jobOf(entry)
      const key = orderKey(job)
      const isFree = key === '' || !busy.has(key)
      if (key !== '') busy.add(key)
      if (!isFree || active.has(entry.path) || !isDue(entry, job)) continue
      const isLarge = entry.size >= largeFile
      if (!hasWorker(isLarge)) continue
      active.set(entry.path, { key, isLarge })
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

  const jobOf = ({ path, kind }: Entry): Job => {
    if (kind === 'other')
      return { kind: 'invalid', reason: 'neither a file nor an OCI layout without other files' }
    const job = parseSpoolPath(path, prefix)
    return kind === 'layout' && job.kind === 'push' ? { ...job, isArchive: true } : job
  }

  /** A file of an unknown age is new to us; one that was renamed into the spool may be old. */
  const isDue = (entry: Entry, job: Job): boolean => {
    const before = waiting.get(entry.path)
    if (before !== undefined && before.identity === entry.identity) return now() >= before.notBefore
    // The content of a file that deletes does not matter.
    if (now() - entry.modified >= settle || job.kind === 'delete') return true
    waiting.set(entry.path, {
      identity: entry.identity,
      attempts: 0,
      firstAt: now(),
      notBefore: now() + settle,
    })
    scanSoon(settle)
    return false
  }

  const handle = async (entry: Entry, job: Job): Promise<void> => {
    const before = waiting.get(entry.path)
    const known = before?.identity === entry.identity ? before : undefined
    const attempts = (known?.attempts ?? 0) + 1
    const startedAt = new Date(now()).toISOString()
    const claim = await claims.claim(entry.path).catch(report)
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
      const outcome = await attempt(entry, job, known?.firstAt ?? now())
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
          const isMoved = await removal.takeAway(entry, (from) =>
            records.fail(entry, rejected, from),
          )
          waiting.delete(entry.path)
          // Another file has its name now, and its own chance.
          if (!isMoved) return scanSoon(0)
          return onEvent({ kind: 'finished', record: rejected })
        }
        case 'published': {
          const { images } = outcome
          const result = record({ state: job.kind === 'delete' ? 'deleted' : 'pushed', images })
          await records.done(result)
          waiting.delete(entry.path)
          if (!(await removal.remove(entry))) scanSoon(0)
          return onEvent({ kind: 'finished', record: result })
        }
      }
    } catch (error) {
      report(error)
      postpone(entry, { attempts, pause: pauseOf(attempts) })
    } finally {
      await claim.release().catch(report)
    }
  }

  type Outcome =
    | { readonly kind: 'published'; readonly images: readonly PublishedImage[] }
    | { readonly kind: 'rejected'; readonly reason: string; readonly code?: string | undefined }
    /** `pause`: milliseconds until another attempt makes sense, if the file does not change. */
    | { readonly kind: 'unfinished'; readonly pause: number }
    | { readonly kind: 'retry'; readonly error: unknown }

  const attempt = async (entry: Entry, job: Job, firstAt: number): Promise<Outcome> => {
    if (job.kind === 'invalid') return { kind: 'rejected', reason: job.reason }
    const path = join(root, entry.path)
    let writer: boolean | 'unknown' = 'unknown'
    try {
      if (entry.kind === 'file') writer = await hasWriter(path)
      if (writer === true) return { kind: 'unfinished', pause: settle }
      onEvent({ kind: 'started', path: entry.path, size: entry.size })
      return { kind: 'published', images: await publish(job, { path, signal: stopping.signal }) }
    } catch (error) {
      if (stopping.signal.aborted) return { kind: 'unfinished', pause: settle }
      if (error instanceof UnfinishedFile) {
        const limit = writer === false ? maxIncomplete : 10 * maxIncomplete
        const left = Math.max(firstAt, entry.modified) + limit - now()
        if (left <= 0) return { kind: 'rejected', reason: error.message }
        return { kind: 'unfinished', pause: left }
      }
      if (error instanceof RejectedFile)
        return { kind: 'rejected', reason: error.message, code: error.code }
      if (unreadable.includes(codeOf(error)))
        return { kind: 'rejected', reason: `cannot read the file: ${codeOf(error)}` }
      return { kind: 'retry', error }
    }
  }

  const postpone = (
    { path, identity }: Entry,
    { attempts, pause }: { readonly attempts: number; readonly pause: number },
  ): void => {
    const before = waiting.get(path)
    const firstAt = before?.identity === identity ? before.firstAt : now()
    waiting.set(path, { identity, attempts, firstAt, notBefore: now() + pause })
    scanSoon(pause)
  }

  const report = (error: unknown): undefined => {
    problem = error instanceof Error ? error.message : String(error)
    onEvent({ kind: 'broken', error })
  }

  const scanSoon = (delay: number): void => {
    const at = now() + Math.max(delay, debounce)
    if (stopping.signal.aborted || at >= nextScanAt) return
    clearTimeout(nextScan)
    nextScanAt = at
    nextScan = setTimeout(scanNow, at - now())
  }

  const scanNow = (): void => {
    if (stopping.signal.aborted) return
    nextScanAt = Number.POSITIVE_INFINITY
    if (scanning !== undefined) return scanSoon(debounce)
    scanning = scan()
      .then(() => {
        problem = undefined
      }, report)
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
      problem,
      sinceScan: now() - scannedAt,
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

const unreadable = ['EACCES', 'EPERM', 'ELOOP', 'EISDIR', 'ENXIO']
