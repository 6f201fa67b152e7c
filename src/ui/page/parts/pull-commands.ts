import type { Session } from '../../../api/answers.ts'
import { fullReference } from '../route.ts'
import type { Command } from './commands.tsx'

/** Whether clients reach the registry by plain HTTP, as this page does if it is on the same host. */
export function isPlainHttp({ pullHost }: Pick<Session, 'pullHost'>): boolean {
  if (pullHost === location.host) return location.protocol === 'http:'
  return /^(localhost|127\.0\.0\.1|\[::1\])(:|$)/.test(pullHost)
}

/** Clients use plain HTTP for names of this machine by themselves, except podman and ctr. */
function isLocal(host: string): boolean {
  return /^(localhost|127\.0\.0\.1|\[::1\])(:|$)/.test(host)
}

/** How clients pull an image; `reference` is a tag or a digest. */
export function pullCommands(
  session: Session,
  name: string,
  reference: string,
): readonly Command[] {
  const { pullHost, login, user } = session
  const image = `${pullHost}/${fullReference(name, reference)}`
  const isPlain = isPlainHttp(session)
  const file = `${name.slice(name.lastIndexOf('/') + 1)}.tar`
  const account = login === 'off' ? '' : ` --user ${user ?? 'USER'}`
  return [
    { tool: 'docker', text: `docker pull ${image}` },
    { tool: 'podman', text: `podman pull${isPlain ? ' --tls-verify=false' : ''} ${image}` },
    { tool: 'crane', text: `crane pull${insecure(session)} ${image} ${file}` },
    { tool: 'ctr', text: `ctr images pull${isPlain ? ' --plain-http' : ''}${account} ${image}` },
    {
      tool: 'kubectl berth',
      text: `kubectl berth pull ${fullReference(name, reference)} ${file}`,
    },
    { tool: 'pod', text: `image: ${image}` },
  ]
}

/** The flag that crane needs where it would not use plain HTTP by itself. */
export function insecure(session: Session): string {
  return isPlainHttp(session) && !isLocal(session.pullHost) ? ' --insecure' : ''
}
