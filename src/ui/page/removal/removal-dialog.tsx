import { useEffect, useState } from 'preact/hooks'
import type { Removal } from '../../../api/answers.ts'
import { api } from '../api.ts'
import { Dialog } from '../parts/dialog.tsx'
import { Equivalent } from '../parts/equivalent.tsx'
import { forEachOf } from '../parts/for-each-of.ts'
import { counted, formatBytes } from '../parts/format.ts'
import { Loading } from '../parts/message.tsx'
import { insecure } from '../parts/pull-commands.ts'
import { fullReference } from '../route.ts'
import { useSession } from '../session.ts'
import { asApiError } from '../use-answer.ts'
import type { Item } from './item.ts'
import { RemovalList } from './removal-list.tsx'

type RemovalDialogProps = {
  readonly name: string
  /** Tags, or one digest. */
  readonly references: readonly string[]
  /** Whether something was deleted, here or elsewhere. */
  readonly onClose: (isChanged: boolean) => void
}

type Phase = 'previewing' | 'asking' | 'removing' | 'done'

/**
 * Says what a deletion removes, what it frees and who uses it, before anything is deleted; then deletes what
 * can be deleted, and says what could not.
 */
export function RemovalDialog({ name, references, onClose }: RemovalDialogProps) {
  const session = useSession()
  const [items, setItems] = useState<readonly Item[]>(() =>
    references.map((reference) => ({ reference })),
  )
  const [phase, setPhase] = useState<Phase>('previewing')
  /** Somebody else has deleted one of them. */
  const [isGone, setGone] = useState(false)
  const removable = items.filter(({ removal }) => removal !== undefined && !removal.blocked)
  const removed = items.filter(({ removal }) => removal?.removed === true)

  const run = async (
    targets: readonly string[],
    act: (reference: string) => Promise<Removal>,
  ): Promise<void> => {
    await forEachOf(targets, async (reference) => {
      const item = await act(reference).then(
        (removal) => ({ reference, removal }),
        (thrown: unknown) => {
          const error = asApiError(thrown)
          if (error.status === 404) setGone(true)
          return { reference, error: error.message }
        },
      )
      setItems((before) => before.map((other) => (other.reference === reference ? item : other)))
    })
  }
  useEffect(() => {
    void run(references, (reference) => api.removal(name, reference)).then(() => setPhase('asking'))
  }, [])
  /** Somebody may push to the tag while the question is read. */
  const digestOf = (reference: string) =>
    removable.find((item) => item.reference === reference)?.removal?.digest
  const remove = async () => {
    setPhase('removing')
    await run(
      removable.map(({ reference }) => reference),
      (reference) => api.remove(name, reference, digestOf(reference)),
    )
    setPhase('done')
  }

  const [only] = references
  const close = () => onClose(removed.length > 0 || isGone)
  const isDigest = only?.includes(':') === true
  const what = isDigest ? 'the image' : counted(references.length, 'tag')
  return (
    <Dialog
      title={
        phase !== 'done'
          ? `Delete ${what} of ${name}?`
          : removed.length > 0
            ? 'Deleted'
            : 'Nothing was deleted'
      }
      isBusy={phase === 'removing'}
      onClose={close}
    >
      {phase === 'previewing' && <Loading label="Looking what would be deleted" />}
      {phase !== 'previewing' && <Summary items={items} phase={phase} />}
      <RemovalList items={items} isDone={phase === 'done'} />
      {phase === 'asking' && only !== undefined && (
        <Equivalent
          command={`crane delete${insecure(session)} ${session.pullHost}/${fullReference(name, only)}`}
        />
      )}
      <div class="dialog-actions">
        <button type="button" disabled={phase === 'removing'} onClick={close}>
          {phase === 'done' ? 'Close' : 'Cancel'}
        </button>
        {phase !== 'done' && (
          <button
            type="button"
            class="danger"
            disabled={phase !== 'asking' || removable.length === 0}
            onClick={remove}
          >
            {phase === 'removing'
              ? 'Deleting…'
              : `Delete ${isDigest ? 'the image' : counted(removable.length, 'tag')}`}
          </button>
        )}
      </div>
    </Dialog>
  )
}

function Summary({ items, phase }: { readonly items: readonly Item[]; readonly phase: Phase }) {
  const removals = items.flatMap(({ removal }) => (removal === undefined ? [] : [removal]))
  const counting = phase === 'asking' ? removals.filter(({ blocked }) => !blocked) : removals
  const isKnown = counting.every(({ frees }) => frees !== undefined)
  const frees = counting.reduce((sum, removal) => sum + (removal.frees ?? 0), 0)
  const inUse = counting.filter(({ inUse }) => inUse.isInUse).length
  const failed = items.filter(({ error }) => error !== undefined).length
  return (
    <div role="status">
      {failed > 0 && <p class="warning">{counted(failed, 'request')} failed.</p>}
      {inUse > 0 && (
        <p class="warning">
          {inUse === 1 ? 'A workload uses one of them.' : `Workloads use ${inUse} of them.`} Pods
          that start later cannot pull it.
        </p>
      )}
      {counting.length > 0 && isKnown && frees === 0 && (
        <p>
          This frees no space: what the tags name stays in the repository, or is needed elsewhere.
        </p>
      )}
      {counting.length > 0 && isKnown && frees > 0 && (
        <p>
          {phase === 'done' ? 'Frees' : 'This frees'}{' '}
          <strong>
            {counting.length > 1 && 'at least '}
            {formatBytes(frees)}
          </strong>{' '}
          once the registry has collected what nothing needs.
        </p>
      )}
    </div>
  )
}
