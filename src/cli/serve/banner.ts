import type { AddressInfo } from 'node:net'
import type { Config } from '../../config/config.ts'

type BannerOptions = {
  readonly config: Config
  readonly file: string | undefined
  readonly listening: readonly AddressInfo[]
  readonly admin: readonly AddressInfo[]
}

/** Upstreams on lines of their own. */
const maxUpstreams = 4

/** For a person who has just started Berth in a terminal: its addresses, upstreams and a command to try. */
export function banner({ config, file, listening, admin }: BannerOptions): string {
  const scheme = config.tls === undefined ? 'http' : 'https'
  const host = `${config.listen.host || 'localhost'}:${listening[0]?.port}`
  const { upstreams, hosted, mirrors, storage, auth } = config
  const listed = upstreams
    .slice(0, maxUpstreams)
    .map(({ prefix, url }) => `${host}/${prefix && `${prefix}/`}…  from  ${url}`)
  const rest =
    upstreams.length > listed.length
      ? [
          `and ${upstreams.length - listed.length} more: ${upstreams
            .slice(maxUpstreams)
            .map(({ prefix }) => prefix)
            .join(', ')}`,
        ]
      : []
  return [
    '',
    line(
      'Listening on',
      listening
        .map(formatAddress)
        .map((address) => `${scheme}://${address}`)
        .join(' and '),
    ),
    line(
      'Proxies',
      [...listed, ...rest].join(`\n${' '.repeat(20)}`) || 'nothing: no upstreams are configured',
    ),
    line(
      'Hosts',
      hosted.map(({ prefix }) => `${host}/${prefix && `${prefix}/`}…`).join(', ') || 'nothing',
    ),
    ...(hosted.length > 0 ? [line('Pushes', pushes(config))] : []),
    ...mirrors.map(({ listen, upstream }) =>
      line(
        'Mirrors',
        `${upstream || 'the default upstream'} on ${listen.host}:${listen.port}, for docker`,
      ),
    ),
    line('Storage', storage.directory),
    line(
      'Users',
      auth.htpasswd === undefined ? 'none: no login is required' : `those in ${auth.htpasswd}`,
    ),
    line('Metrics', `http://${admin.map(formatAddress)[0]}/metrics`),
    line(
      'Configuration',
      file ?? 'the embedded default (print it with berth serve --print-config)',
    ),
    line('Try', example(config, host)),
    '',
  ].join('\n')
}

/** Who may push to hosted repositories. */
function pushes({ storage, auth }: Config): string {
  if (storage.hosted.readOnly) return 'denied: storage.hosted.readOnly is true'
  const rules = auth.access.filter(({ actions }) => actions.includes('push'))
  if (rules.length === 0) return 'denied: no rule under auth.access allows them'
  return `allowed to ${rules.map(({ repositories }) => repositories.join(', ')).join(', ')}`
}

function example({ upstreams, auth, tls }: Config, host: string): string {
  const hub = upstreams.find(({ prefix }) => prefix === 'docker.io')
  const image = hub === undefined ? 'PROJECT/REPO/IMAGE:TAG' : 'docker.io/library/busybox:latest'
  const login = auth.htpasswd === undefined ? '' : ' --creds USER:PASSWORD'
  const insecure = tls === undefined ? ' --tls-verify=false' : ''
  return `skopeo inspect${insecure}${login} docker://${host}/${image}`
}

function line(title: string, text: string): string {
  return `  ${title.padEnd(18)}${text}`
}

function formatAddress({ address, family, port }: AddressInfo): string {
  return family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`
}
