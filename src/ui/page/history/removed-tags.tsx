import { useState } from 'preact/hooks'
import type { RemovedTags } from '../../../api/answers.ts'
import { api } from '../api.ts'
import { Crumbs } from '../catalogue/crumbs.tsx'
import { Digest } from '../parts/digest.tsx'
import { ErrorMessage, Loading, Message, Notice } from '../parts/message.tsx'
import { Time } from '../parts/time.tsx'
import { useTitle } from '../parts/title.ts'
import { historyLink, imageLink } from '../route.ts'
import { useAnswer } from '../use-answer.ts'
import { Content } from './content.tsx'
import { RestoreDialog } from './restore-dialog.tsx'

type Removed = RemovedTags['tags'][number]

/** Tags that were deleted, as long as the trash has them. */
export function RemovedTagsView({ name }: { readonly name: string }) {
  useTitle(`Deleted tags of ${name}`)
  const removed = useAnswer(name, (signal) => api.removedTags(name, signal))
  const [restoring, setRestoring] = useState<Removed>()
  const { value, error } = removed
  const end = name.lastIndexOf('/') + 1
  return (
    <>
      <div class="view-head">
        <Crumbs prefix={name.slice(0, end)} name={name.slice(end)} />
        <p class="actions">
          <span class="summary">Deleted tags</span>
          <a class="button" href={imageLink(name)}>
            Show the tags
          </a>
        </p>
      </div>
      {error !== undefined && <ErrorMessage error={error} onRetry={removed.reload} />}
      {removed.isLoading && <Loading label="Loading the deleted tags" />}
      {value?.truncated === true && <Notice>There are more than are shown.</Notice>}
      {value?.tags.length === 0 && (
        <Message title="No tag can be restored" icon="trash">
          <p>Deleted tags are shown here until the trash is emptied.</p>
        </Message>
      )}
      {value !== undefined && value.tags.length > 0 && (
        <div class="scroll">
          <table class="uses versions">
            <thead>
              <tr>
                <th scope="col">Tag</th>
                <th scope="col">Deleted</th>
                <th scope="col">Image</th>
                <th scope="col">Can be restored</th>
                <th scope="col">
                  <span class="hidden">Actions</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {value.tags.map((each) => (
                <tr key={each.tag}>
                  <td>
                    <a href={historyLink(name, each.tag)}>{each.tag}</a>
                  </td>
                  <td>
                    <Time at={each.removedAt} />
                  </td>
                  <td>
                    <Digest digest={each.digest} />
                  </td>
                  <td>
                    <Content content={each.content} until={each.until} />
                  </td>
                  <td class="row-actions">
                    {value.may.push && each.content !== 'deleted' && (
                      <button type="button" onClick={() => setRestoring(each)}>
                        Restore…
                      </button>
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {restoring !== undefined && (
        <RestoreDialog
          name={name}
          tag={restoring.tag}
          digest={restoring.digest}
          current={undefined}
          onClose={(isChanged) => {
            setRestoring(undefined)
            if (isChanged) removed.reload()
          }}
        />
      )}
    </>
  )
}
