import { randomUUID } from 'node:crypto'
import { dirname } from 'node:path'
import { isRegistryError } from '../oci/errors.ts'
import type { Bucket, BucketSettings } from '../store/store.ts'
import { type Finding, type Step, skipped } from './finding.ts'

type CheckedBucket = {
  readonly use: 'cache' | 'hosted'
  readonly bucket: Bucket
  /** Path in front of all keys; may be empty. */
  readonly prefix: string
  /** Clients are. */
  readonly isRedirected: boolean
}

/** Larger differences end in RequestTimeTooSkewed after 15 minutes; in milliseconds. */
const maxSkew = 60_000

/**
 * What Berth needs of a bucket, tried with a small object below a path of its own, which is removed again;
 * and what the bucket's settings should say. Never throws.
 */
export async function* checkBucket(checked: CheckedBucket): AsyncGenerator<Finding> {
  const { bucket, prefix } = checked
  const key = [prefix, '_berth-doctor', randomUUID()].filter(Boolean).join('/')
  const began = Date.now()
  const written = await attempt('write', `writing ${key} to ${bucket.name}`, async () => {
    await bucket.put(key, Buffer.from('first'), 'absent')
    return { message: `wrote ${key}` }
  })
  yield written
  yield* written.outcome === 'ok' ? checkObject(checked, key, began) : checkReadable(checked, key)
  yield* checkSettings(checked)
}

/** What works without writes. */
async function* checkReadable(
  { use, bucket }: CheckedBucket,
  key: string,
): AsyncGenerator<Finding> {
  yield skipped('condition')
  yield await attempt('read', 'reading an object that does not exist', async () => {
    if ((await bucket.read(key)) !== undefined)
      return { outcome: 'failed', message: 'the bucket has an object that could not be written' }
    const without = use === 'cache' ? 'Berth stores nothing in it' : 'pushes are refused'
    return { message: `a missing object is a miss: images can be pulled, but ${without}` }
  })
  yield await attempt('list', 'listing objects', async () => {
    for await (const _ of bucket.list(dirname(key))) break
    return { message: 'objects can be listed' }
  })
  yield skipped('clock')
  yield skipped('delete')
}

async function* checkObject(
  { bucket, prefix, isRedirected }: CheckedBucket,
  key: string,
  began: number,
): AsyncGenerator<Finding> {
  yield await attempt('condition', 'writing with conditions', async () => {
    const again = await bucket.put(key, Buffer.from('second'), 'absent')
    const version = (await bucket.head(key))?.version ?? ''
    await bucket.put(key, Buffer.from('third'), { version })
    const late = await bucket.put(key, Buffer.from('fourth'), { version })
    if (again.kind === 'exists' && late.kind === 'conflict')
      return { message: 'the bucket refuses to replace an object that exists, or that has changed' }
    return {
      outcome: 'failed',
      message: 'the bucket ignores If-None-Match or If-Match',
      advice:
        'use an object store with conditional writes: replicas would overwrite what others wrote',
    }
  })
  yield await attempt('read', 'reading it, and an object that does not exist', async () => {
    const found = await bucket.read(key)
    const missing = await bucket.head(`${key}-missing`)
    const isRight = found?.bytes.toString() === 'third' && missing === undefined
    return isRight
      ? { message: 'read it; a missing object is a miss' }
      : { outcome: 'failed', message: 'the bucket does not return what was written last' }
  })
  yield await attempt('list', `listing ${prefix}`, async () => {
    const from = key.slice(0, key.lastIndexOf('/') + 1)
    for await (const page of bucket.list(from))
      if (page.objects.some((each) => each.key === key)) return { message: 'the list has it' }
    return { outcome: 'failed', message: 'the list lacks an object that was written before' }
  })
  yield await attempt('clock', 'comparing clocks', async () => {
    const modified = (await bucket.head(key))?.modified ?? began
    const skew = modified < began ? began - modified : Math.max(0, modified - Date.now())
    const seconds = Math.round(skew / 1000)
    if (skew <= maxSkew) return { message: "this machine's clock agrees with that of the bucket" }
    return {
      outcome: 'failed',
      message: `this machine's clock differs by ${seconds} s from that of the bucket`,
      advice: 'correct it (NTP): the bucket rejects signatures of other times',
    }
  })
  if (isRedirected)
    yield await attempt('redirect', 'signing a URL', async () => {
      await bucket.sign(key, 1)
      return { message: 'signed a URL for clients' }
    })
  yield await attempt('delete', 'deleting it', async () => {
    await bucket.delete([key])
    return { message: `deleted ${key}` }
  })
}

async function* checkSettings(checked: CheckedBucket): AsyncGenerator<Finding> {
  const { use, bucket, prefix } = checked
  const settings = await bucket.settings().catch(() => undefined)
  if (settings === undefined) {
    const advice = `grant ${bucket.settingsPermission} to have them checked; Berth itself does not need it`
    const message = `cannot read the settings of ${bucket.name}`
    return yield { ...skipped('lifecycle'), message, advice }
  }
  const { location, retentionDays, endsUploads = false, rules } = settings
  const base = prefix === '' ? '' : `${prefix}/`
  const covering = rules.filter((rule) => base.startsWith(rule.prefix))
  if (location !== undefined) yield ok('location', `the bucket is in ${location}`)
  if (use === 'hosted') yield* checkHosted(settings, base)
  if (retentionDays !== undefined)
    yield failed('lifecycle', {
      message: `no object can be replaced or deleted for ${retentionDays} days`,
      advice: 'remove the retention policy of the bucket, or use another one',
    })
  if (!endsUploads) {
    const isAborted = covering.some(({ abortsUploads }) => abortsUploads)
    yield ok(
      'lifecycle',
      `${isAborted ? 'a' : 'no'} rule aborts incomplete multipart uploads`,
      isAborted
        ? undefined
        : 'add a lifecycle rule with AbortIncompleteMultipartUpload after one day: uploads of a process that was killed cost money and are not listed',
    )
  }
  if (use !== 'cache') return
  const isLimited = covering.some(({ expiresObjects }) => expiresObjects)
  yield ok(
    'lifecycle',
    `${isLimited ? 'a' : 'no'} rule expires objects below ${prefix}`,
    isLimited ? undefined : 'add one, after 30 days for example: Berth does not limit the bucket',
  )
}

function* checkHosted(
  { isVersioned, softDeleteDays, rules }: BucketSettings,
  base: string,
): Generator<Finding> {
  if (softDeleteDays === undefined)
    yield ok(
      'versioning',
      `the bucket ${isVersioned ? 'keeps' : 'does not keep'} old versions`,
      isVersioned
        ? undefined
        : 'enable versioning, with a lifecycle rule that expires noncurrent versions: it brings back what was deleted by mistake',
    )
  else yield ok('versioning', `the bucket keeps what was deleted for ${softDeleteDays} days`)
  const deleting = rules.find(
    (rule) => rule.expiresObjects && (base.startsWith(rule.prefix) || rule.prefix.startsWith(base)),
  )
  if (deleting !== undefined)
    yield failed('lifecycle', {
      message: `a rule deletes objects of images below ${deleting.prefix || 'all prefixes'}`,
      advice:
        'remove the lifecycle rule, or limit it to noncurrent versions: images are deleted by retention rules',
    })
}

type Result = Pick<Finding, 'message' | 'advice'> & { readonly outcome?: 'failed' }

async function attempt(step: Step, what: string, work: () => Promise<Result>): Promise<Finding> {
  try {
    return { step, outcome: 'ok', requests: [], ...(await work()) }
  } catch (error) {
    const advice = isRegistryError(error) ? error.advice : undefined
    const message = error instanceof Error ? error.message : String(error)
    return { step, outcome: 'failed', message: `${what}: ${message}`, advice, requests: [] }
  }
}

function ok(step: Step, message: string, advice?: string): Finding {
  return { step, outcome: 'ok', message, advice, requests: [] }
}

function failed(step: Step, result: Pick<Finding, 'message' | 'advice'>): Finding {
  return { step, outcome: 'failed', requests: [], ...result }
}
