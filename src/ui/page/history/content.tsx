import type { RemovedTags } from '../../../api/answers.ts'
import { Time } from '../parts/time.tsx'

type ContentProps = {
  readonly content: RemovedTags['tags'][number]['content']
  readonly until: string | undefined
}

/** Whether something can be restored, and for how long. */
export function Content({ content, until }: ContentProps) {
  if (content === 'deleted') return <span class="badge">no, its content was deleted</span>
  if (until === undefined) return <>yes</>
  return (
    <span title="Earlier if the disk is nearly full">
      from the trash, which is emptied <Time at={until} />
    </span>
  )
}
