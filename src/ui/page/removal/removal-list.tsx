import type { Removal } from '../../../api/answers.ts'
import { counted, formatBytes } from '../parts/format.ts'
import { Icon } from '../parts/icon.tsx'
import type { Item } from './item.ts'

type ListProps = { readonly items: readonly Item[]; readonly isDone: boolean }

/** Each reference, and what its removal means. */
export function RemovalList({ items, isDone }: ListProps) {
  return (
    <ul class="removals">
      {items.map((item) => (
        <li key={item.reference}>
          <Icon name={iconOf(item, isDone)} />
          <div>
            <code>{item.reference}</code>
            {linesOf(item).map(({ text, isWarning }) => (
              <p key={text} class={isWarning ? 'warning' : undefined}>
                {text}
              </p>
            ))}
          </div>
        </li>
      ))}
    </ul>
  )
}

function iconOf({ removal, error }: Item, isDone: boolean) {
  if (error !== undefined || removal?.blocked !== undefined) return 'alert'
  return isDone && removal?.removed === true ? 'check' : 'trash'
}

type Line = { readonly text: string; readonly isWarning: boolean }

function linesOf({ removal, error }: Item): readonly Line[] {
  if (error !== undefined) return [{ text: error, isWarning: true }]
  if (removal === undefined) return []
  const { blocked, inUse, remainingTags, tags, manifests, frees } = removal
  if (blocked !== undefined) return [{ text: `Cannot be deleted: ${blocked}`, isWarning: true }]
  const lines: Line[] = []
  if (inUse.isInUse) lines.push({ text: `In use${usersOf(inUse.uses)}`, isWarning: true })
  else if (!inUse.known && inUse.problem !== undefined)
    lines.push({
      text: `It is not known whether workloads use it: ${inUse.problem}`,
      isWarning: false,
    })
  if (remainingTags.length > 0)
    lines.push({
      text: `The image keeps ${counted(remainingTags.length, 'tag')}: ${listed(remainingTags)}`,
      isWarning: false,
    })
  if (tags.length > 1)
    lines.push({ text: `Removes ${counted(tags.length, 'tag')}: ${listed(tags)}`, isWarning: true })
  if (manifests.length > 0)
    lines.push({
      text: `Removes ${counted(manifests.length, 'manifest')}${frees === undefined ? '' : `, frees ${formatBytes(frees)}`}`,
      isWarning: false,
    })
  return lines
}

/** Empty for users who may not know. */
export function usersOf(uses: Removal['inUse']['uses']): string {
  if (uses.length === 0) return ' by a workload'
  const names = uses.map(({ kind, namespace, name }) => `${kind} ${namespace}/${name}`)
  return ` by ${listed([...new Set(names)])}`
}

function listed(tags: readonly string[]): string {
  const shown = tags.slice(0, 8).join(', ')
  return tags.length > 8 ? `${shown} and ${tags.length - 8} more` : shown
}
