import type { Manifest, Session } from '../../../api/answers.ts'
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

type Pulled = {
  readonly name: string
  /** A tag or a digest. */
  readonly reference: string
  readonly kind: Manifest['kind'] | undefined
}

/** How clients pull an image, a chart or another artifact. */
export function pullCommands(
  session: Session,
  { name, reference, kind = 'image' }: Pulled,
): readonly Command[] {
  const { pullHost } = session
  const image = `${pullHost}/${fullReference(name, reference)}`
  const file = `${name.slice(name.lastIndexOf('/') + 1)}.tar`
  const plain = isPlainHttp(session) ? ' --plain-http' : ''
  const others = [
    { tool: 'crane', text: `crane pull${insecure(session)} ${image} ${file}` },
    { tool: 'kubectl berth', text: `kubectl berth pull ${fullReference(name, reference)} ${file}` },
  ]
  if (kind === 'image' || kind === 'index')
    return [...imageCommands(session, image), ...others, { tool: 'pod', text: `image: ${image}` }]
  const version = reference.includes(':') ? '' : ` --version ${reference.replaceAll('_', '+')}`
  const helm = `helm pull${plain} oci://${pullHost}/${name}${version === '' ? `@${reference}` : version}`
  const oras = { tool: 'oras', text: `oras pull${plain} ${image}` }
  return kind === 'chart' ? [{ tool: 'helm', text: helm }, oras, ...others] : [oras, ...others]
}

function imageCommands(session: Session, image: string): readonly Command[] {
  const isPlain = isPlainHttp(session)
  const account = session.login === 'off' ? '' : ` --user ${session.user ?? 'USER'}`
  return [
    { tool: 'docker', text: `docker pull ${image}` },
    { tool: 'podman', text: `podman pull${isPlain ? ' --tls-verify=false' : ''} ${image}` },
    { tool: 'ctr', text: `ctr images pull${isPlain ? ' --plain-http' : ''}${account} ${image}` },
  ]
}

/** The flag that berth needs: it uses plain HTTP for localhost by itself. */
export function plainHttp(session: Session): string {
  return isPlainHttp(session) && !isLocal(session.pullHost) ? ' --plain-http' : ''
}

/** The flag that crane needs where it would not use plain HTTP by itself. */
export function insecure(session: Session): string {
  return isPlainHttp(session) && !isLocal(session.pullHost) ? ' --insecure' : ''
}
