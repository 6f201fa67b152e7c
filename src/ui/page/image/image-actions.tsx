import { useState } from 'preact/hooks'
import type { Details } from '../../../api/answers.ts'
import type { CacheAction } from '../cached/action.ts'
import { CacheButtons } from '../cached/cache-buttons.tsx'
import { CacheDialog } from '../cached/cache-dialog.tsx'
import { Icon } from '../parts/icon.tsx'
import { compareLink, historyLink } from '../route.ts'

type ActionsProps = {
  readonly name: string
  readonly reference: string
  readonly details: Details
  /** Of an index. */
  readonly platforms: readonly string[]
  readonly onRemove: (reference: string) => void
  readonly onChanged: () => void
}

/** What the user may do with the image; nothing for those who may only look. */
export function ImageActions(props: ActionsProps) {
  const { name, reference, details, platforms, onRemove, onChanged } = props
  const [action, setAction] = useState<CacheAction>()
  const isTag = !reference.includes(':')
  const mayDelete = details.may.delete
  return (
    <div class="actions">
      <a class="button" href={compareLink({ name, reference })}>
        <Icon name="compare" />
        Compare…
      </a>
      {isTag && details.kind === 'hosted' && (
        <a class="button" href={historyLink(name, reference)}>
          <Icon name="history" />
          History
        </a>
      )}
      <CacheButtons actions={cacheActionsOf(details, isTag)} onAction={setAction} />
      {isTag && mayDelete && (
        <button type="button" class="danger-quiet" onClick={() => onRemove(reference)}>
          <Icon name="trash" />
          Delete tag…
        </button>
      )}
      {mayDelete && (!isTag || details.tags.length > 1) && (
        <button type="button" class="danger-quiet" onClick={() => onRemove(details.digest)}>
          <Icon name="trash" />
          Delete image…
        </button>
      )}
      {action !== undefined && (
        <CacheDialog
          name={name}
          action={action}
          references={[reference]}
          platforms={platforms}
          onClose={() => {
            setAction(undefined)
            onChanged()
          }}
        />
      )}
    </div>
  )
}

/** Users who may pull a tag may refresh it. */
function cacheActionsOf({ kind, may, pinned }: Details, isTag: boolean): readonly CacheAction[] {
  if (kind !== 'cached') return []
  const refresh = isTag ? (['refresh'] as const) : []
  return may.cache ? [...refresh, 'prefetch', pinned ? 'unpin' : 'pin', 'evict'] : refresh
}
