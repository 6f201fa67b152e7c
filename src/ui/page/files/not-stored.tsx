import { counted } from '../parts/format.ts'
import { Message } from '../parts/message.tsx'
import { layerName } from './names.ts'

type NotStoredProps = {
  readonly missing: readonly number[]
  /** Layers that can be looked into. */
  readonly others: readonly number[]
  readonly linkTo: (layer: number) => string
  readonly onRetry: () => void
}

/** Looking inside downloads nothing, so a cached image may not be here. */
export function NotStored({ missing, others, linkTo, onRetry }: NotStoredProps) {
  return (
    <div role="alert">
      <Message
        title={`${counted(missing.length, 'layer')} of it ${missing.length === 1 ? 'is' : 'are'} not stored here`}
        icon="box"
      >
        <p>
          Looking inside downloads nothing from the upstream. Pull the image through Berth, by one
          of the commands above, then try again.
        </p>
        {others.length > 0 && (
          <p>
            Stored, and can be shown:{' '}
            {others.map((at, index) => (
              <span key={at}>
                {index > 0 && ', '}
                <a href={linkTo(at)}>{layerName(at)}</a>
              </span>
            ))}
          </p>
        )}
        <button type="button" onClick={onRetry}>
          Try again
        </button>
      </Message>
    </div>
  )
}
