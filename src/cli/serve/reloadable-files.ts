import { type Auth, createAuth, type TokenVerifier } from '../../auth/auth.ts'
import type { Config } from '../../config/config.ts'
import { type Listeners, parseKeyPair, validityProblem } from '../../http/http.ts'
import { type FollowedFiles, followFiles, readRegularFile } from '../../input/input.ts'
import type { Telemetry } from '../../telemetry/telemetry.ts'
import { attempt } from '../process/start-errors.ts'

type ReloadableFiles = {
  readonly auth: Auth
  readonly keyPair: ReturnType<typeof parseKeyPair>
  /** Applies changes of the htpasswd and TLS files from now on. By the part's name in `/readyz`. */
  follow(api: Listeners, telemetry: Telemetry): Readonly<Record<string, FollowedFiles>>
}

/**
 * Reads the files whose changes apply without a restart: htpasswd, certificate and key.
 * @throws StartError
 */
export async function readReloadableFiles(
  config: Pick<Config, 'auth' | 'tls'>,
  verifier: TokenVerifier | undefined,
): Promise<ReloadableFiles> {
  const tlsFiles = config.tls === undefined ? [] : [config.tls.certificate, config.tls.key]
  const htpasswdFiles = config.auth.htpasswd === undefined ? [] : [config.auth.htpasswd]
  const tls = await attempt('tls', () => readAll(tlsFiles))
  const keyPair = await attempt('tls', () => parseKeyPair(tlsFiles, tls))
  const htpasswd = await attempt('auth.htpasswd', () => readAll(htpasswdFiles))
  const auth = await attempt('auth.htpasswd', () =>
    createAuth({ ...config.auth, htpasswd: htpasswd[0], verifier }),
  )

  return {
    auth,
    keyPair,
    follow: (api, { log, metrics }) => {
      let inForce = keyPair
      const users = followFiles({
        files: htpasswdFiles,
        initial: htpasswd,
        use: ([text = '']) => auth.reload(text),
        log,
      })
      const certificate = followFiles({
        files: tlsFiles,
        initial: tls,
        use: (texts) => {
          const pair = parseKeyPair(tlsFiles, texts)
          if (pair === undefined) return
          api.setKeyPair(pair)
          inForce = pair
        },
        log,
      })
      metrics.onScrape(() => metrics.htpasswdStale.set(users.problem() === undefined ? 0 : 1))
      return {
        ...(htpasswdFiles.length > 0 && { users }),
        ...(tlsFiles.length > 0 && {
          certificate: {
            ...certificate,
            problem: () => certificate.problem() ?? (inForce && validityProblem(inForce)),
          },
        }),
      }
    },
  }
}

function readAll(files: readonly string[]): Promise<string[]> {
  return Promise.all(files.map((file) => readRegularFile(file)))
}
