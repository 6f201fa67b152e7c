import { useState } from 'preact/hooks'
import { api } from '../api.ts'
import { Dialog } from '../parts/dialog.tsx'
import { Equivalent } from '../parts/equivalent.tsx'
import { shortDigest } from '../parts/format.ts'
import { fullReference } from '../route.ts'
import { asApiError } from '../use-answer.ts'

type RestoreDialogProps = {
  readonly name: string
  readonly tag: string
  /** What the tag will point to. */
  readonly digest: string
  /** What it points to; undefined: it was deleted. */
  readonly current: string | undefined
  /** Whether the tag was restored. */
  readonly onClose: (isChanged: boolean) => void
}

/** Asks before a tag points to an earlier image again. */
export function RestoreDialog({ name, tag, digest, current, onClose }: RestoreDialogProps) {
  const [isBusy, setBusy] = useState(false)
  const [problem, setProblem] = useState<string>()
  const restore = async () => {
    setBusy(true)
    try {
      await api.undoTag(name, tag, digest)
      onClose(true)
    } catch (error) {
      setProblem(asApiError(error).message)
      setBusy(false)
    }
  }
  return (
    <Dialog
      title={`Restore ${fullReference(name, tag)}?`}
      isBusy={isBusy}
      onClose={() => onClose(false)}
    >
      <p>
        {current === undefined ? 'The tag exists again, and points' : 'The tag points'} to{' '}
        <code>{shortDigest(digest)}</code>
        {current !== undefined && (
          <>
            {' '}
            instead of <code>{shortDigest(current)}</code>, which stays in the history
          </>
        )}
        . Pods that start later pull this image; running pods do not change.
      </p>
      {problem !== undefined && (
        <p class="warning" role="alert">
          {problem}
        </p>
      )}
      {current === undefined && (
        <Equivalent command={`berth tag undo ${fullReference(name, tag)}`} />
      )}
      <div class="dialog-actions">
        <button type="button" disabled={isBusy} onClick={() => onClose(false)}>
          Cancel
        </button>
        <button type="button" class="primary" disabled={isBusy} onClick={restore}>
          {isBusy ? 'Restoring…' : 'Restore the tag'}
        </button>
      </div>
    </Dialog>
  )
}
