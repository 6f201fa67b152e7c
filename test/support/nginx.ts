import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createAuthority } from './certificates.ts'
import { start } from './programs.ts'
import { portOf } from './tunnels.ts'

/** Debian's nginx with TLS in front of a server, as an Ingress publishes it. */
export interface Nginx {
  /** `https://localhost:PORT`, without a path. */
  readonly url: string
  close(): Promise<void>
}

/**
 * Publishes `http://HOST:PORT` below `/berth/` with the Host of the client, and below `/plain/` as nginx
 * does if nobody tells it about hosts: with that of the server behind it.
 */
export async function startNginx(server: string): Promise<Nginx> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-nginx-'))
  const authority = await createAuthority('nginx')
  const { certificate, key } = await authority.issue(['DNS:localhost'])
  await authority.remove()
  await writeFile(join(directory, 'tls.crt'), certificate)
  await writeFile(join(directory, 'tls.key'), key)
  const port = await unusedPort()
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${directory}/${name};`,
  )
  await writeFile(
    join(directory, 'nginx.conf'),
    `daemon off; master_process off; pid nginx.pid; error_log stderr notice;
    events {}
    http {
      access_log off; ${temporary.join(' ')}
      server {
        listen 127.0.0.1:${port} ssl;
        ssl_certificate tls.crt; ssl_certificate_key tls.key;
        location /berth/ { proxy_pass ${server}/; proxy_set_header Host $http_host; }
        location /plain/ { proxy_pass ${server}/; }
      }
    }`,
  )
  const nginx = start(['nginx', '-e', 'stderr', '-p', directory, '-c', 'nginx.conf'])
  await nginx.wrote(/event method/)
  return {
    url: `https://localhost:${port}`,
    close: async () => {
      await nginx.kill()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** nginx cannot choose one. */
async function unusedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const port = portOf(server)
  server.close()
  await once(server, 'close')
  return port
}
