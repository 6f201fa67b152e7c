import { Icon, type IconName } from '../parts/icon.tsx'
import type { CacheAction } from './action.ts'

type ButtonsProps = {
  /** What the user may do now, in this order. */
  readonly actions: readonly CacheAction[]
  readonly onAction: (action: CacheAction) => void
}

const labels: Readonly<Record<CacheAction, readonly [text: string, icon: IconName]>> = {
  refresh: ['Refresh', 'refresh'],
  prefetch: ['Prefetch…', 'download'],
  pin: ['Pin', 'pin'],
  unpin: ['Unpin', 'pin'],
  evict: ['Evict…', 'eject'],
}

export function CacheButtons({ actions, onAction }: ButtonsProps) {
  return actions.map((action) => {
    const [text, icon] = labels[action]
    return (
      <button key={action} type="button" onClick={() => onAction(action)}>
        <Icon name={icon} />
        {text}
      </button>
    )
  })
}
