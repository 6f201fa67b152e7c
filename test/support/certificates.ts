import { execFile } from 'node:child_process'
import { mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { removeDirectory } from './directory.ts'

const run = promisify(execFile)

/** A certificate and its key, as PEM. */
export type KeyPair = { readonly certificate: string; readonly key: string }

/** A certificate authority of a test's own. */
export interface Authority {
  /** Path of its certificate. */
  readonly file: string
  /** A server's pair for names such as `DNS:localhost` and `IP:127.0.0.1`. */
  issue(names: readonly string[], options?: { readonly expired?: boolean }): Promise<KeyPair>
  remove(): Promise<void>
}

export async function createAuthority(name: string): Promise<Authority> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-authority-'))
  const openssl = (...args: string[]) => run('openssl', args, { cwd: directory })
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  await openssl(
    'req',
    '-x509',
    ...newKey,
    '-keyout',
    'ca.key',
    '-out',
    'ca.pem',
    '-days',
    '2',
    '-subj',
    `/CN=${name}`,
  )
  let issued = 0

  return {
    file: join(directory, 'ca.pem'),

    issue: async (names, { expired = false } = {}) => {
      issued += 1
      const base = `leaf-${issued}`
      await writeFile(join(directory, `${base}.ext`), `subjectAltName=${names.join(',')}\n`)
      await openssl(
        'req',
        '-new',
        ...newKey,
        '-keyout',
        `${base}.key`,
        '-out',
        `${base}.csr`,
        '-subj',
        '/CN=test',
      )
      await openssl(
        'x509',
        '-req',
        '-in',
        `${base}.csr`,
        '-CA',
        'ca.pem',
        '-CAkey',
        'ca.key',
        '-out',
        `${base}.pem`,
        '-extfile',
        `${base}.ext`,
        '-days',
        expired ? '-1' : '2',
      )
      return {
        certificate: await readFile(join(directory, `${base}.pem`), 'utf8'),
        key: await readFile(join(directory, `${base}.key`), 'utf8'),
      }
    },

    remove: () => removeDirectory(directory),
  }
}
