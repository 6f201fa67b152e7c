import { useState } from 'preact/hooks'
import type { Details } from '../../../api/answers.ts'
import { api } from '../api.ts'
import { shortDigest } from '../parts/format.ts'
import { Icon } from '../parts/icon.tsx'
import { asApiError } from '../use-answer.ts'

type ActionsProps = {
  readonly name: string
  readonly reference: string
  readonly details: Details
  readonly onRemove: (reference: string) => void
  readonly onChanged: () => void
}

/** What the user may do with the image; nothing for those who may only look. */
export function ImageActions({ name, reference, details, onRemove, onChanged }: ActionsProps) {
  const isTag = !reference.includes(':')
  const mayDelete = details.may.delete
  return (
    <div class="actions">
      {isTag && details.kind === 'cached' && (
        <Refresh name={name} tag={reference} onChanged={onChanged} />
      )}
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
    </div>
  )
}

type RefreshProps = {
  readonly name: string
  readonly tag: string
  readonly onChanged: () => void
}

/** Compares the tag with the upstream now, instead of when its time is over. */
function Refresh({ name, tag, onChanged }: RefreshProps) {
  const [state, setState] = useState<{ readonly isBusy: boolean; readonly text: string }>({
    isBusy: false,
    text: '',
  })
  const refresh = async () => {
    setState({ isBusy: true, text: '' })
    const text = await api.refresh(name, tag).then(
      ({ changed, digest }) =>
        changed ? `The tag is now ${shortDigest(digest)}` : 'The tag has not changed',
      (error: unknown) => asApiError(error).message,
    )
    setState({ isBusy: false, text })
    onChanged()
  }
  return (
    <>
      <span role="status" class="summary">
        {state.text}
      </span>
      <button type="button" disabled={state.isBusy} onClick={refresh}>
        <Icon name="refresh" />
        {state.isBusy ? 'Refreshing…' : 'Refresh'}
      </button>
    </>
  )
}
