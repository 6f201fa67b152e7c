import type { Overview } from '../../../api/answers.ts'
import { Icon } from '../parts/icon.tsx'
import { Time } from '../parts/time.tsx'
import { prefixLink } from '../route.ts'

const states = { ok: 'no problem', problem: 'problem', down: 'down' } as const

/** Where images come from, and whether Berth can get them. */
export function Upstreams({ upstreams }: Pick<Overview, 'upstreams'>) {
  return (
    <ul class="cards">
      {upstreams.map(({ name, prefix, url, identity, expires, state, problem, push }) => (
        <li key={name} class={`card state-${state}`}>
          <p class="card-head">
            <Icon name={state === 'ok' ? 'check' : 'alert'} />
            <a href={prefixLink(prefix === '' ? '' : `${prefix}/`)}>{name}</a>
            <span class={state === 'ok' ? 'badge good' : 'badge bad'}>{states[state]}</span>
            {push && <span class="badge">push</span>}
          </p>
          {url !== undefined && (
            <p class="summary">
              <code>{url}</code> as {identity}
              {expires !== undefined && (
                <>
                  , until <Time at={expires} />
                </>
              )}
            </p>
          )}
          {problem !== undefined && <p class="card-problem">{problem}</p>}
        </li>
      ))}
    </ul>
  )
}
