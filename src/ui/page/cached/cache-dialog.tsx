import { useEffect, useRef, useState } from 'preact/hooks'
import { api } from '../api.ts'
import { Dialog } from '../parts/dialog.tsx'
import { Equivalent } from '../parts/equivalent.tsx'
import { forEachOf } from '../parts/for-each-of.ts'
import { counted, formatBytes } from '../parts/format.ts'
import { Loading } from '../parts/message.tsx'
import { fullReference } from '../route.ts'
import { useSession } from '../session.ts'
import { act, type CacheAction, type CacheItem, preview } from './action.ts'
import { CacheItems } from './cache-items.tsx'
import { PlatformChoice } from './platform-choice.tsx'

type CacheDialogProps = {
  readonly name: string
  readonly action: CacheAction
  /** Tags, or one digest. */
  readonly references: readonly string[]
  /** Of the images, as far as they are known. */
  readonly platforms: readonly string[]
  readonly onClose: () => void
}

type Phase = 'previewing' | 'asking' | 'running' | 'done'

/** In the command for a terminal. */
const maxNamed = 5
/** What costs something asks first; the others begin at once. */
const firstPhase: Readonly<Record<CacheAction, Phase>> = {
  refresh: 'running',
  prefetch: 'asking',
  pin: 'running',
  unpin: 'running',
  evict: 'previewing',
}
const verbs: Readonly<Record<CacheAction, string>> = {
  refresh: 'Refresh',
  prefetch: 'Prefetch',
  pin: 'Pin',
  unpin: 'Unpin',
  evict: 'Evict',
}

/** Does something with images in the cache, and says for each what became of it. */
export function CacheDialog({ name, action, references, platforms, onClose }: CacheDialogProps) {
  const session = useSession()
  const [items, setItems] = useState<readonly CacheItem[]>(() =>
    references.map((reference) => ({ reference })),
  )
  const [phase, setPhase] = useState(firstPhase[action])
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set(platforms))
  const isOpen = useRef(true)

  const replace = (item: CacheItem) =>
    setItems((before) => before.map((other) => (other.reference === item.reference ? item : other)))
  const each = (work: (acting: Parameters<typeof act>[1]) => Promise<CacheItem>) =>
    forEachOf(references, async (reference) =>
      replace(
        await work({
          name,
          reference,
          platforms: chosen.size === platforms.length ? [] : [...chosen],
          onProgress: replace,
          isWatched: () => isOpen.current,
        }),
      ),
    )
  const run = async () => {
    setPhase('running')
    await each((acting) => act(action, acting))
    setPhase('done')
  }
  useEffect(() => {
    if (phase === 'running') void run()
    if (phase === 'previewing') void each(preview).then(() => setPhase('asking'))
    return () => {
      isOpen.current = false
    }
  }, [])

  const [only = ''] = references
  const what = only.includes(':') ? 'the image' : counted(references.length, 'tag')
  const isPart = action === 'prefetch' && chosen.size < platforms.length
  const options = isPart ? [...chosen].map((platform) => ` --platform ${platform}`).join('') : ''
  const images = references
    .slice(0, maxNamed)
    .map((reference) => `${session.pullHost}/${fullReference(name, reference)}`)
  const evictable = items.filter(({ eviction }) => eviction && eviction.blocked === undefined)
  const mayRun =
    action === 'evict' ? evictable.length > 0 : platforms.length === 0 || chosen.size > 0
  const running = items.filter(({ prefetch }) => prefetch?.state === 'running')
  // A prefetch continues without the page.
  const isBusy = phase === 'running' && action !== 'prefetch'
  return (
    <Dialog title={`${verbs[action]} ${what} of ${name}`} isBusy={isBusy} onClose={onClose}>
      <Explanation action={action} items={items} phase={phase} />
      {action === 'prefetch' && phase === 'asking' && platforms.length > 1 && (
        <PlatformChoice platforms={platforms} chosen={chosen} onChoose={setChosen} />
      )}
      {phase === 'previewing' && <Loading label="Looking what would be evicted" />}
      <CacheItems items={items} isDone={phase === 'done'} />
      {phase === 'asking' && (
        <Equivalent command={`berth ${action}${options} ${images.join(' ')}`} />
      )}
      <div class="dialog-actions">
        {running.length > 0 && (
          <button
            type="button"
            onClick={() =>
              void forEachOf(
                running.flatMap(({ prefetch }) => prefetch?.digest ?? []),
                (digest) =>
                  api.cancelPrefetch(name, digest).then(
                    () => {},
                    () => {},
                  ),
              )
            }
          >
            Cancel the prefetch
          </button>
        )}
        <button type="button" disabled={isBusy} onClick={onClose}>
          {phase === 'asking' || phase === 'previewing' ? 'Cancel' : 'Close'}
        </button>
        {(phase === 'asking' || phase === 'previewing') && (
          <button
            type="button"
            class={action === 'evict' ? 'danger' : 'primary'}
            disabled={phase !== 'asking' || !mayRun}
            onClick={() => void run()}
          >
            {verbs[action]} {what}
          </button>
        )}
      </div>
    </Dialog>
  )
}

/** What is said at the end. */
const outcomes: Readonly<Record<CacheAction, string>> = {
  refresh: 'Compared with the upstream now.',
  prefetch: 'Later pulls need no upstream.',
  pin: 'A pinned image is never evicted. A tag that moves has to be pinned again.',
  unpin: 'From now on it is evicted as others are, when the cache needs room.',
  evict: 'The next pull fetches the image from its upstream again.',
}

type ExplanationProps = {
  readonly action: CacheAction
  readonly items: readonly CacheItem[]
  readonly phase: Phase
}

function Explanation({ action, items, phase }: ExplanationProps) {
  const failed = items.filter(({ isFailed }) => isFailed).length
  return (
    <div role="status">
      {failed > 0 && <p class="warning">{counted(failed, 'request')} failed.</p>}
      {phase === 'done' && failed < items.length && <p>{outcomes[action]}</p>}
      {action === 'prefetch' && phase === 'asking' && (
        <p>
          Downloads what is missing into the cache in the background, so that later pulls need no
          upstream.
        </p>
      )}
      {action === 'prefetch' && phase === 'running' && (
        <p>The download continues when this is closed; the overview shows it.</p>
      )}
      {action === 'evict' && phase !== 'previewing' && <Freed items={items} phase={phase} />}
    </div>
  )
}

function Freed({ items, phase }: Pick<ExplanationProps, 'items' | 'phase'>) {
  const found = items.flatMap(({ eviction }) =>
    eviction === undefined || eviction.blocked !== undefined ? [] : [eviction],
  )
  if (found.length === 0) return null
  const frees = found.reduce((sum, eviction) => sum + eviction.frees, 0)
  return (
    <p>
      {phase === 'done' ? 'This freed' : 'This frees'}{' '}
      <strong>
        {found.length > 1 && phase !== 'done' && 'at least '}
        {formatBytes(frees)}
      </strong>{' '}
      of the cache.{phase === 'asking' && ` ${outcomes.evict}`}
    </p>
  )
}
