import type { ComponentType } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { Loading, Message } from './parts/message.tsx'

/** After the first paint, in milliseconds: what may be needed next is loaded. */
const prefetchAfter = 2000

/**
 * A component whose modules are loaded when it is first rendered, or in advance a while after it was declared.
 * `load` imports its module, so that build-page.ts finds the file.
 */
export function onDemand<Props extends object>(
  load: () => Promise<ComponentType<Props>>,
): ComponentType<Props> {
  let loaded: ComponentType<Props> | undefined
  const loadOnce = async () => {
    loaded ??= await load()
    return loaded
  }
  setTimeout(() => loadOnce().catch(() => {}), prefetchAfter)

  return function OnDemand(props: Props) {
    const [state, setState] = useState<'loading' | 'loaded' | 'failed'>('loading')
    const Component = loaded
    useEffect(() => {
      if (loaded !== undefined) return
      loadOnce().then(
        () => setState('loaded'),
        () => setState('failed'),
      )
    }, [])
    if (Component !== undefined) return <Component {...props} />
    return state === 'failed' ? <OtherVersion /> : <Loading label="Loading" />
  }
}

/** Modules are below a hash of the page, and Berth serves one version. */
function OtherVersion() {
  return (
    <Message title="This part of the page cannot be loaded" icon="alert" isView>
      <p>Berth cannot be reached, or serves another version of the page since an upgrade.</p>
      <button type="button" class="primary" onClick={() => location.reload()}>
        Reload the page
      </button>
    </Message>
  )
}
